//! From tensors to rows.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::http::HeaderMap;
use serde_json::Value;
use stagewright_data::{DecodedRequest, JsonColumn, RequestDecoder, Task, json_elements, json_members};
use stagewright_store::DataType;
use stagewright_text::Untrusted;

use super::refusal::Refusal;
use super::{binary, metadata};

/// The header that tells how many bytes of the body are JSON. Tensors follow as bytes.
pub(super) const JSON_LENGTH: &str = "inference-header-content-length";

/// The parameter of a tensor that tells how many bytes it has after the JSON.
const BINARY_SIZE: &str = "binary_data_size";

/// A body: its JSON, and the bytes after it.
pub(super) struct Body<'a> {
    json: &'a [u8],
    tensors: &'a [u8],
}

/// A request as written.
pub(super) struct Request<'a> {
    id: Option<String>,
    is_binary: bool,
    /// The outputs that are named, each as its JSON text.
    outputs: Option<Vec<&'a str>>,
    inputs: Vec<Input<'a>>,
}

/// A tensor of a request.
struct Input<'a> {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    /// The values as the JSON text of an array, in which arrays are dimensions.
    data: Cow<'a, str>,
}

/// An output that a client wants.
#[derive(Clone, Copy)]
pub(super) struct WantedOutput {
    pub(super) output: metadata::Output,
    /// Whether its values follow the JSON as bytes.
    pub(super) is_binary: bool,
}

/// The parts of a response besides the predictions.
pub(super) struct Wanted {
    pub(super) id: Option<String>,
    pub(super) outputs: Vec<WantedOutput>,
}

impl<'a> Body<'a> {
    /// Divides a body where the header says that its JSON ends.
    pub(super) fn split(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Refusal> {
        let Some(length) = headers.get(JSON_LENGTH) else { return Ok(Self { json: body, tensors: &[] }) };
        let length = length.to_str().ok().and_then(|text| text.trim().parse().ok());
        let parts = length.and_then(|length: usize| body.split_at_checked(length));
        let (json, tensors) = parts.ok_or_else(|| {
            invalid(format!("`Inference-Header-Content-Length` is no number up to the body's {} bytes", body.len()))
        })?;
        Ok(Self { json, tensors })
    }
}

impl<'a> Request<'a> {
    /// Reads the envelope of a request. The values are decoded later.
    pub(super) fn parse(body: &Body<'a>) -> Result<Self, Refusal> {
        let mut request = Self { id: None, is_binary: false, outputs: None, inputs: Vec::new() };
        let mut tensors = body.tensors;
        let mut has_inputs = false;
        for (name, text) in json_members(body.json)? {
            match name.as_str() {
                "id" => request.id = Some(read(text, "`id`", "a text")?),
                "parameters" => {
                    let parameters: serde_json::Map<String, Value> = read(text, "`parameters`", "an object")?;
                    request.is_binary = is_set(&parameters.into(), "binary_data_output");
                }
                "outputs" => request.outputs = Some(elements("outputs", text)?),
                "inputs" => {
                    has_inputs = true;
                    for input in elements("inputs", text)? {
                        request.inputs.push(Input::parse(input, &mut tensors)?);
                    }
                }
                _ => {}
            }
        }
        if !has_inputs || request.inputs.is_empty() {
            return Err(invalid("the request has no `inputs`: send a tensor for each feature"));
        }
        if !tensors.is_empty() {
            let bytes = tensors.len();
            return Err(invalid(format!("{bytes} bytes after the JSON belong to no tensor: set `{BINARY_SIZE}`")));
        }
        Ok(request)
    }

    /// Returns what the response shall have: the outputs that the request names, or all.
    pub(super) fn wanted(&self, task: &Task) -> Result<Wanted, Refusal> {
        let all = metadata::outputs(task);
        let Some(named) = &self.outputs else {
            let outputs = all.into_iter().map(|output| WantedOutput { output, is_binary: self.is_binary });
            return Ok(Wanted { id: self.id.clone(), outputs: outputs.collect() });
        };
        // An answer has each output once: a short request must not multiply it.
        if named.len() > all.len() {
            let (named, own) = (named.len(), all.len());
            let names = names_of(&all);
            return Err(invalid(format!("`outputs` names {named} outputs, and the model has {own}: {names}")));
        }
        let mut outputs: Vec<WantedOutput> = Vec::with_capacity(named.len());
        for text in named {
            let wanted = self.wanted_output(&all, text)?;
            let name = wanted.output.name;
            if outputs.iter().any(|earlier| earlier.output.name == name) {
                return Err(invalid(format!("the output `{name}` is named twice")));
            }
            outputs.push(wanted);
        }
        Ok(Wanted { id: self.id.clone(), outputs })
    }

    /// Reads an element of `outputs`.
    fn wanted_output(&self, all: &[metadata::Output], text: &str) -> Result<WantedOutput, Refusal> {
        let wanted: Value = read(text, "an output", "an object")?;
        let name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
        let output = all.iter().find(|output| output.name == name).copied();
        let output = output
            .ok_or_else(|| invalid(format!("the model has no output `{}`: it has {}", shown(name), names_of(all))))?;
        let parameters = wanted.get("parameters").unwrap_or(&Value::Null);
        if parameters.get("classification").is_some_and(|classes| classes != 0) {
            return Err(invalid("the extension `classification` is not supported"));
        }
        let is_binary = match parameters.get("binary_data") {
            Some(_) => is_set(parameters, "binary_data"),
            None => self.is_binary,
        };
        Ok(WantedOutput { output, is_binary })
    }

    /// Decodes the tensors by the signature: a tensor for each feature, or one tensor of two
    /// dimensions with a column for each feature.
    pub(super) fn decode(&self, decoder: &RequestDecoder) -> Result<DecodedRequest, Refusal> {
        let fields = decoder.features().fields();
        if let [input] = &self.inputs[..]
            && let [rows, columns] = input.shape[..]
            && !(columns == 1 && fields.iter().any(|field| field.name == input.name))
        {
            return input.decode_matrix(decoder, rows, columns);
        }
        let rows = self.inputs[0].shape[0];
        let mut names = HashSet::with_capacity(self.inputs.len());
        for input in &self.inputs {
            input.check_column(rows)?;
            if !names.insert(input.name.as_str()) {
                return Err(invalid(format!("two tensors are named `{}`", shown(&input.name))));
            }
        }
        let columns: Vec<JsonColumn<'_>> = self
            .inputs
            .iter()
            .map(|input| JsonColumn { name: &input.name, values: &input.data, is_tensor: true })
            .collect();
        Ok(decoder.json_columns(rows, &columns)?)
    }
}

impl<'a> Input<'a> {
    /// Reads a tensor. Its values are the member `data`, or the next bytes of `tensors`.
    fn parse(text: &'a str, tensors: &mut &[u8]) -> Result<Self, Refusal> {
        let (mut name, mut shape, mut datatype, mut parameters, mut data) = (None, None, None, Value::Null, None);
        for (member, value) in json_members(text.as_bytes())? {
            match member.as_str() {
                "name" => name = Some(read::<String>(value, "the `name` of a tensor", "a text")?),
                "shape" => shape = Some(read::<Vec<usize>>(value, "the `shape` of a tensor", "a list of numbers")?),
                "datatype" => datatype = Some(read::<String>(value, "the `datatype` of a tensor", "a text")?),
                "parameters" => parameters = read(value, "the `parameters` of a tensor", "an object")?,
                "data" => data = Some(value),
                _ => {}
            }
        }
        let name = name.ok_or_else(|| invalid("a tensor has no `name`"))?;
        let lacks = |member: &str| invalid(format!("the tensor `{}` has no `{member}`", shown(&name)));
        let (shape, datatype) = (shape.ok_or_else(|| lacks("shape"))?, datatype.ok_or_else(|| lacks("datatype"))?);
        if !matches!(shape[..], [_] | [_, _]) {
            return Err(invalid(format!(
                "the tensor `{}` has {} dimensions: send [n], [n, 1] or [n, k]",
                shown(&name),
                shape.len()
            )));
        }
        if !binary::DATATYPES.contains(&&*datatype) {
            let known = binary::DATATYPES.join(", ");
            return Err(invalid(format!(
                "the tensor `{}` has the unknown datatype `{}`: use one of {known}",
                shown(&name),
                shown(&datatype)
            )));
        }
        let data = match (parameters.get(BINARY_SIZE), data) {
            (None, Some(data)) => Cow::Borrowed(data),
            (None, None) => return Err(lacks("data")),
            (Some(_), Some(_)) => {
                return Err(invalid(format!("the tensor `{}` has both `data` and `{BINARY_SIZE}`", shown(&name))));
            }
            (Some(size), None) => {
                let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
                let parts = size.and_then(|size| tensors.split_at_checked(size));
                let (bytes, rest) = parts.ok_or_else(|| {
                    invalid(format!(
                        "`{BINARY_SIZE}` of the tensor `{}` is no number up to the bytes that are left",
                        shown(&name)
                    ))
                })?;
                *tensors = rest;
                let values = binary::json_values(&datatype, bytes)
                    .map_err(|problem| invalid(format!("the tensor `{}` {problem}", shown(&name))))?;
                Cow::Owned(values)
            }
        };
        Ok(Self { name, shape, datatype, data })
    }

    /// Refuses a tensor that is no column of this many rows.
    fn check_column(&self, rows: usize) -> Result<(), Refusal> {
        match self.shape[..] {
            [own] | [own, 1] if own == rows => Ok(()),
            [own] | [own, 1] => {
                let name = shown(&self.name);
                Err(invalid(format!("the tensor `{name}` has {own} rows, and the first one has {rows}")))
            }
            _ => Err(invalid(format!(
                "the tensor `{}` has the shape {:?}: of several tensors, each is a column, [n] or [n, 1]",
                shown(&self.name),
                self.shape
            ))),
        }
    }

    /// Decodes a tensor that has all features, in the signature's order.
    fn decode_matrix(&self, decoder: &RequestDecoder, rows: usize, columns: usize) -> Result<DecodedRequest, Refusal> {
        let fields = decoder.features().fields();
        let name = shown(&self.name);
        let is_number = |data_type| matches!(data_type, DataType::Boolean | DataType::Int64 | DataType::Float64);
        if let Some(field) = fields.iter().find(|field| !is_number(field.data_type)) {
            let (feature, kind) = (shown(&field.name), field.data_type);
            return Err(invalid(format!(
                "the tensor `{name}` has two dimensions, and the feature `{feature}` is {kind}: send a tensor for each feature"
            )));
        }
        if self.datatype == "BYTES" {
            return Err(invalid(format!(
                "the tensor `{name}` has two dimensions and the datatype BYTES: send numbers"
            )));
        }
        if columns != fields.len() {
            let features = fields.len();
            return Err(invalid(format!(
                "the tensor `{name}` has {columns} columns, and the model {features} features"
            )));
        }
        Ok(decoder.json_matrix(rows, &self.data)?)
    }
}

/// Reads a member of the envelope.
fn read<T: serde::de::DeserializeOwned>(text: &str, which: &str, wanted: &str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|_| invalid(format!("{which} is not {wanted}")))
}

/// Divides a member of the envelope that is a list.
fn elements<'a>(member: &str, text: &'a str) -> Result<Vec<&'a str>, Refusal> {
    json_elements(text.as_bytes()).map_err(|fault| invalid(format!("`{member}`: {fault}")))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::Invalid(message.into())
}

/// Returns a member of parameters as a truth value.
fn is_set(parameters: &Value, name: &str) -> bool {
    parameters.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Returns the names of outputs for a message.
fn names_of(outputs: &[metadata::Output]) -> String {
    outputs.iter().map(|output| output.name).collect::<Vec<_>>().join(", ")
}

/// Returns a name of the client as messages show it.
fn shown(text: &str) -> String {
    Untrusted::new(text).cut(100).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stagewright_data::{RequestOptions, Signature};
    use stagewright_store::Field;

    fn decoder() -> RequestDecoder {
        let signature = Signature::new(vec![
            Field::new("tenure", DataType::Int64),
            Field::new("charges", DataType::Float64).with_nullable(true),
        ]);
        RequestDecoder::new(&signature.unwrap(), RequestOptions::default())
    }

    fn decode(json: &[u8], tensors: &[u8]) -> Result<DecodedRequest, Refusal> {
        let request = Request::parse(&Body { json, tensors })?;
        request.wanted(&Task::Regression)?;
        request.decode(&decoder())
    }

    const COLUMNS: &str = r#"{"id": "1", "inputs": [
        {"name": "tenure", "shape": [2], "datatype": "INT64", "data": [1, 20]},
        {"name": "charges", "shape": [2, 1], "datatype": "FP64", "data": [[1.5], [null]]}],
        "outputs": [{"name": "value", "parameters": {"binary_data": false}}]}"#;
    const MATRIX: &str =
        r#"{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}]}"#;
    const BYTES: &str = r#"{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "INT8",
        "parameters": {"binary_data_size": 2}}]}"#;

    #[test]
    fn each_form_becomes_the_same_rows() {
        let columns = decode(COLUMNS.as_bytes(), &[]).unwrap();
        assert_eq!((columns.rows(), columns.batch.num_columns()), (2, 2));
        assert_eq!(decode(MATRIX.as_bytes(), &[]).unwrap().rows(), 2);
        let bytes = decode(BYTES.as_bytes(), &[1, 2]).unwrap().batch;
        let flat = MATRIX.replace("[2, 2]", "[1, 2]").replace("[[1, 2], [3, 4]]", "[1, 2]");
        assert_eq!(bytes, decode(flat.as_bytes(), &[]).unwrap().batch);
    }

    #[test]
    fn bytes_that_belong_to_no_tensor_are_refused() {
        let told = |json: &str, tensors: &[u8]| decode(json.as_bytes(), tensors).unwrap_err().to_string();
        assert!(told(BYTES, &[1, 2, 3]).contains("1 bytes after the JSON belong to no tensor"));
        assert!(told(BYTES, &[1]).contains("`binary_data_size` of the tensor `x`"));
        assert!(told(MATRIX, &[1]).contains("belong to no tensor"));
        assert!(told(&BYTES.replace("\"INT8\"", "\"FP64\""), &[1, 2]).contains("2 bytes"));
    }

    #[test]
    fn outputs_are_named_at_most_once_each() {
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        let told = |outputs: &str| {
            let json = MATRIX.replacen('{', &format!("{{\"outputs\": {outputs}, "), 1);
            let request = Request::parse(&Body { json: json.as_bytes(), tensors: &[] })?;
            request.wanted(&binary).map(|wanted| wanted.outputs.len())
        };
        let refused = |outputs: &str| told(outputs).unwrap_err().to_string();
        let (label, probability) = (r#"{"name": "label"}"#, r#"{"name": "probability"}"#);
        assert_eq!(told("[]").unwrap(), 0);
        assert_eq!(told(&format!("[{label}]")).unwrap(), 1);
        assert_eq!(told(&format!("[{probability}, {label}]")).unwrap(), 2);
        assert_eq!(refused(&format!("[{label}, {label}]")), "the output `label` is named twice");
        let many = format!("[{}]", vec![probability; 50_000].join(","));
        assert_eq!(refused(&many), "`outputs` names 50000 outputs, and the model has 2: label, probability");
        assert!(refused(r#"[{"name": "value"}]"#).contains("no output `value`: it has label, probability"));
    }

    #[test]
    fn a_list_that_is_none_or_too_long_is_named() {
        let refused = |member: &str, value: &str| {
            let json = format!(r#"{{"{member}": {value}}}"#);
            Request::parse(&Body { json: json.as_bytes(), tensors: &[] }).err().map(|refusal| refusal.to_string())
        };
        let many = format!("[{}1]", "1,".repeat((1 << 16) + 4096));
        for member in ["outputs", "inputs"] {
            let told = |problem: &str| Some(format!("`{member}`: {problem}"));
            assert_eq!(refused(member, "{}"), told("`{}` is not an array of values"));
            assert_eq!(refused(member, &many), told("the array has more than 69632 elements: send fewer"));
        }
    }

    // The names of tensors are compared without a pass over all earlier ones for each.
    #[test]
    fn many_tensors_are_compared_in_little_time() {
        let tensor = |number: usize| format!(r#"{{"name":"x{number}","shape":[0],"datatype":"INT8","data":[]}}"#);
        let mut tensors: Vec<String> = (0..60_000).map(tensor).collect();
        tensors.push(tensor(59_999));
        let json = format!(r#"{{"inputs":[{}]}}"#, tensors.join(","));
        let began = std::time::Instant::now();
        let told = decode(json.as_bytes(), &[]).unwrap_err().to_string();
        assert_eq!(told, "two tensors are named `x59999`");
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }

    #[test]
    fn a_body_is_divided_where_its_header_says() {
        let split = |length: &'static str| {
            let headers = HeaderMap::from_iter([(JSON_LENGTH.parse().unwrap(), length.parse().unwrap())]);
            Body::split(&headers, b"{}12").map(|body| (body.json.to_vec(), body.tensors.to_vec()))
        };
        assert_eq!(split("2").unwrap(), (b"{}".to_vec(), b"12".to_vec()));
        assert_eq!(split("4").unwrap().1, b"");
        for wrong in ["5", "-1", "", "two", "99999999999999999999999"] {
            assert!(matches!(split(wrong), Err(Refusal::Invalid(_))), "{wrong}");
        }
    }

    /// Changes a text at some places, as a careless or hostile client might.
    fn mutated(text: &str, changes: &[(usize, u8, bool)]) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for (place, byte, is_removed) in changes {
            let place = place % bytes.len().max(1);
            if *is_removed {
                bytes.drain(place..bytes.len().min(place + usize::from(*byte) % 9));
            } else if let Some(it) = bytes.get_mut(place) {
                *it = *byte;
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        // invariant: No body of the Open Inference Protocol panics, is the server's fault, or
        // becomes another number of rows than its shapes say.
        #[test]
        fn a_mutated_request_is_refused_or_has_the_rows_of_its_shape(
            form in 0..3_usize,
            changes in prop::collection::vec((any::<usize>(), prop::sample::select(b"0129-.,:[]{}\"nullt\\e \xff".to_vec()), any::<bool>()), 1..4),
            tensors in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let body = mutated([COLUMNS, MATRIX, BYTES][form], &changes);
            match decode(&body, &tensors) {
                Ok(rows) => {
                    let json: Value = serde_json::from_slice(&body).unwrap();
                    prop_assert_eq!(json["inputs"][0]["shape"][0].as_u64(), Some(rows.rows() as u64));
                }
                Err(refusal) => {
                    let failure = crate::service::Failure::unserved(refusal);
                    prop_assert!(super::super::refused(&failure).status().is_client_error(), "{}", failure.fault);
                }
            }
        }
    }
}
