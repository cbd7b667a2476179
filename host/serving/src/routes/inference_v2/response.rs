//! From predictions to tensors.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use stagewright_data::Task;
use stagewright_lifecycle::predict::label;

use super::binary::append_text;
use super::request::{JSON_LENGTH, Wanted, WantedOutput};
use crate::routes::json::json as answer_of;
use crate::service::Answer;

/// Returns the response with the outputs that are wanted.
pub(super) fn response(answer: &Answer, wanted: &Wanted) -> Response {
    let mut tensors = Vec::new();
    let (task, values) = (answer.version.task(), &answer.values);
    let outputs: Vec<Value> = wanted.outputs.iter().map(|output| tensor(task, values, *output, &mut tensors)).collect();
    let mut body = json!({
        "model_name": answer.version.model,
        "model_version": answer.version.version.to_string(),
        "parameters": { "request_id": answer.id.as_str() },
        "outputs": outputs,
    });
    if let Some(id) = &wanted.id {
        body["id"] = id.as_str().into();
    }
    if !wanted.outputs.iter().any(|output| output.is_binary) {
        return answer_of(&body);
    }
    let mut bytes = body.to_string().into_bytes();
    let length = bytes.len();
    bytes.append(&mut tensors);
    let kind = HeaderValue::from_static("application/octet-stream");
    let mut response = ([(CONTENT_TYPE, kind)], bytes).into_response();
    response.headers_mut().insert(JSON_LENGTH, length.into());
    response
}

/// Returns one output. Its values are appended to `tensors` if it is wanted as bytes.
fn tensor(task: &Task, values: &[f64], wanted: WantedOutput, tensors: &mut Vec<u8>) -> Value {
    let WantedOutput { output, is_binary } = wanted;
    let width = stagewright_lifecycle::model::width(task);
    let shape = match output.columns {
        None => json!([values.len() / width]),
        Some(columns) => json!([values.len() / width, columns]),
    };
    let mut parameters = Map::new();
    if let (Task::MultiClass { classes }, Some(_)) = (task, output.columns) {
        // Parameters are texts, numbers and truth values.
        parameters.insert("classes".to_owned(), Value::from(classes.as_slice()).to_string().into());
    }
    let before = tensors.len();
    let labels = || values.chunks_exact(width).map(|values| label(task, values).unwrap_or_default());
    let mut tensor = json!({ "name": output.name, "shape": shape, "datatype": output.datatype });
    match (output.datatype, is_binary) {
        ("BYTES", true) => labels().for_each(|label| append_text(tensors, label)),
        ("BYTES", false) => tensor["data"] = labels().collect(),
        (_, true) => values.iter().for_each(|value| tensors.extend_from_slice(&value.to_le_bytes())),
        (_, false) => tensor["data"] = values.iter().copied().collect(),
    }
    if is_binary {
        parameters.insert("binary_data_size".to_owned(), (tensors.len() - before).into());
    }
    if !parameters.is_empty() {
        tensor["parameters"] = parameters.into();
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::inference_v2::metadata::outputs;

    fn tensors(task: &Task, values: &[f64], is_binary: bool) -> (Vec<Value>, Vec<u8>) {
        let mut bytes = Vec::new();
        let of = |output| tensor(task, values, WantedOutput { output, is_binary }, &mut bytes);
        (outputs(task).into_iter().map(of).collect(), bytes)
    }

    #[test]
    fn each_task_has_its_outputs() {
        assert_eq!(
            tensors(&Task::Regression, &[1.5, -2.0], false).0,
            [json!({ "name": "value", "datatype": "FP64", "shape": [2], "data": [1.5, -2.0] })]
        );
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        assert_eq!(
            tensors(&binary, &[0.25], false).0,
            [
                json!({ "name": "label", "datatype": "BYTES", "shape": [1], "data": ["No"] }),
                json!({ "name": "probability", "datatype": "FP64", "shape": [1], "data": [0.25] }),
            ]
        );
        let classes = Task::MultiClass { classes: vec!["a".into(), "b".into(), "c".into()] };
        assert_eq!(
            tensors(&classes, &[0.1, 0.2, 0.7, 0.5, 0.3, 0.2], false).0,
            [
                json!({ "name": "label", "datatype": "BYTES", "shape": [2], "data": ["c", "a"] }),
                json!({ "name": "probabilities", "datatype": "FP64", "shape": [2, 3],
                    "parameters": { "classes": r#"["a","b","c"]"# }, "data": [0.1, 0.2, 0.7, 0.5, 0.3, 0.2] }),
            ]
        );
        assert_eq!(tensors(&classes, &[], false).0[1]["shape"], json!([0, 3]), "no rows");
    }

    #[test]
    fn bytes_follow_in_the_order_of_outputs() {
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        let (outputs, bytes) = tensors(&binary, &[0.25, 0.75], true);
        let sizes: Vec<_> = outputs.iter().map(|output| &output["parameters"]["binary_data_size"]).collect();
        assert_eq!(sizes, [13, 16]);
        assert!(outputs.iter().all(|output| output.get("data").is_none()));
        let mut expected = b"\x02\0\0\0No\x03\0\0\0Yes".to_vec();
        expected.extend([0.25_f64, 0.75].iter().flat_map(|value| value.to_le_bytes()));
        assert_eq!(bytes, expected);
    }
}
