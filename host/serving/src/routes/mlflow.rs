//! MLflow's scoring protocol: `/invocations`, `/ping`, `/version`.
//!
//! A client of `mlflow models serve` finds the same paths, bodies, answers and status codes.
//! `docs/compatibility.md` lists every deviation; `tests/compatibility/mlflow` holds what mlflow
//! answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use stagewright_data::{DecodedRequest, JsonColumn, RequestDecoder, RequestFault, json_members};
use stagewright_lifecycle::predict::label;
use stagewright_store::DataType;
use stagewright_text::Untrusted;

use super::json::json as answer;
use super::sentence::sentence;
use crate::fault::PredictFault;
use crate::handled::Handled;
use crate::protocol::Protocol;
use crate::service::{Answer, Failure, Service, is_long, off_thread_if};
use crate::traffic::Route;

/// The members of a request of which exactly one holds the rows.
const FORMS: [&str; 4] = ["dataframe_split", "dataframe_records", "instances", "inputs"];

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The content type is not supported. The answer is text.
    #[error("{0}")]
    ContentType(String),
    /// The request breaks the protocol.
    #[error("{0}")]
    Invalid(String),
    /// It failed as a request of any protocol may.
    #[error("{}", sentence(.0))]
    Failed(#[from] PredictFault),
}

impl From<RequestFault> for Refusal {
    fn from(fault: RequestFault) -> Self {
        Self::Failed(fault.into())
    }
}

/// The formats of a body.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Csv,
}

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/invocations", post(invocations)).route("/ping", get(ping)).route("/version", get(version))
}

/// Answers 200 once the default model is loaded.
async fn ping(State(service): State<Arc<Service>>) -> Response {
    let status = if service.version(None).is_ok() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    // The body that mlflow sends.
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], "\n").into_response()
}

/// Names the version of the server.
async fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

async fn invocations(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    let chosen = format(&headers).and_then(|format| Ok((format, service.route(None, &headers)?)));
    let (format, route) = match chosen {
        Ok(chosen) => chosen,
        Err(refusal) => return refused(&Failure::unserved(refusal)),
    };
    let is_long = is_long(&body);
    let decode = move |route: &Route| {
        let rows = match format {
            Format::Json => decode(route.decoder(), &body)?,
            Format::Csv => route.decoder().csv(&body)?,
        };
        Ok((rows, ()))
    };
    let predicted = match service.predict(route, is_long, decode).await {
        Ok((predicted, ())) => predicted,
        Err(failure) => return refused(&failure),
    };
    let (version, arm, is_long) = (predicted.version.clone(), predicted.arm, predicted.is_long());
    let written = off_thread_if(is_long, || answered(predicted)).await;
    written.unwrap_or_else(|fault| refused(&Failure::of(version, arm, fault.into())))
}

fn answered(predicted: Answer) -> Response {
    let mut response = answer(&json!({ "predictions": predictions(&predicted) }));
    response.extensions_mut().insert(Handled::answered(predicted, Protocol::Mlflow));
    response
}

/// Returns the format that the content type names. Its only parameter is the charset UTF-8.
fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = |reason: &str| Err(Refusal::ContentType(format!("{reason}, not `{}`", Untrusted::new(text).cut(200))));
    let mut parts = text.split(';').map(str::trim);
    let format = match parts.next().unwrap_or_default() {
        "application/json" => Format::Json,
        "text/csv" => Format::Csv,
        _ => return refuse("the content type is application/json or text/csv"),
    };
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !name.eq_ignore_ascii_case("charset") || !value.trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return refuse("the content type has no parameter but charset=utf-8");
        }
    }
    Ok(format)
}

/// Decodes a body of JSON: an object with one member that holds the rows.
fn decode(decoder: &RequestDecoder, body: &[u8]) -> Result<DecodedRequest, Refusal> {
    let members = json_members(body)?;
    let mut found = members.iter().filter(|(name, _)| FORMS.contains(&name.as_str()));
    let (Some((form, text)), None) = (found.next(), found.next()) else {
        return Err(invalid(format!("the body is a JSON object with exactly one of the members {}", FORMS.join(", "))));
    };
    match (form.as_str(), text.as_bytes().first()) {
        ("dataframe_split", _) => split(decoder, text),
        ("dataframe_records", Some(b'[')) => Ok(decoder.json(text.as_bytes())?),
        ("dataframe_records", _) => Err(invalid("`dataframe_records` is a list of objects")),
        (_, Some(b'{')) => by_column(decoder, text),
        (_, Some(b'[')) => list(decoder, text),
        (form, _) => Err(invalid(format!("`{form}` is a list of rows, or an object of columns"))),
    }
}

/// Decodes `dataframe_split`: names apart from values.
fn split(decoder: &RequestDecoder, text: &str) -> Result<DecodedRequest, Refusal> {
    let (mut columns, mut data) = (None, None);
    for (name, value) in json_members(text.as_bytes())? {
        match name.as_str() {
            "columns" => columns = Some(value),
            "data" => data = Some(value),
            "index" => {}
            other => {
                let other = Untrusted::new(other).cut(100).to_string();
                return Err(invalid(format!("`dataframe_split` has columns, data and index, and not `{other}`")));
            }
        }
    }
    match (columns, data) {
        (Some(columns), Some(data)) => Ok(decoder.json_split(columns, data)?),
        _ => Err(invalid("`dataframe_split` needs columns and data")),
    }
}

/// Decodes an object of columns, each a list; or a single row, if none is a list.
fn by_column(decoder: &RequestDecoder, text: &str) -> Result<DecodedRequest, Refusal> {
    let members = json_members(text.as_bytes())?;
    let is_list = |value: &str| value.starts_with('[');
    if !members.iter().any(|(_, value)| is_list(value)) {
        return Ok(decoder.json(format!("[{text}]").as_bytes())?);
    }
    if let Some((name, _)) = members.iter().find(|(_, value)| !is_list(value)) {
        let name = Untrusted::new(name).cut(100).to_string();
        return Err(invalid(format!("the column `{name}` is not a list, and another one is")));
    }
    let rows = decoder.json_rows(members[0].1.as_bytes())?.len();
    let columns: Vec<JsonColumn<'_>> =
        members.iter().map(|(name, values)| JsonColumn { name, values, is_tensor: false }).collect();
    Ok(decoder.json_columns(rows, &columns)?)
}

/// Decodes a list of objects, or of lists with a value for each feature in the signature's order.
fn list(decoder: &RequestDecoder, text: &str) -> Result<DecodedRequest, Refusal> {
    let rows = decoder.json_rows(text.as_bytes())?;
    if rows.first().is_some_and(|row| row.starts_with('[')) {
        let fields = decoder.features().fields();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        return Ok(decoder.json_split(&Value::from(names).to_string(), text)?);
    }
    Ok(decoder.json(text.as_bytes())?)
}

/// Returns labels or values, as `predict` of a model does in mlflow. A label has the type of the
/// target.
fn predictions(answer: &Answer) -> Value {
    let (task, contents) = (answer.version.task(), &answer.version.contents);
    let target = contents.signature.fields.field(&contents.target).map(|field| field.data_type);
    answer
        .values
        .chunks_exact(contents.width())
        .map(|values| match label(task, values) {
            Some(label) => of_type(label, target),
            None => values[0].into(),
        })
        .collect()
}

/// Returns a label as a value of the target's type, as far as its text is one.
fn of_type(label: &str, target: Option<DataType>) -> Value {
    let parsed = match target {
        Some(DataType::Int64) => label.parse::<i64>().ok().map(Value::from),
        Some(DataType::Float64) => label.parse::<f64>().ok().map(Value::from),
        Some(DataType::Boolean) => label.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    parsed.unwrap_or_else(|| label.into())
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::Invalid(message.into())
}

/// Answers a request that failed.
fn refused(failure: &Failure<Refusal>) -> Response {
    let refusal = &failure.fault;
    let handled = |word| Handled::of_failure(failure, Protocol::Mlflow, word);
    let (status, code, word) = match refusal {
        Refusal::ContentType(message) => {
            let mut response = (StatusCode::UNSUPPORTED_MEDIA_TYPE, message.clone()).into_response();
            response.extensions_mut().insert(handled("unsupported_content_type"));
            return response;
        }
        Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "BAD_REQUEST", "bad_request"),
        Refusal::Failed(fault) => {
            let (status, code) = status(fault);
            (status, code, fault.code())
        }
    };
    let mut response = answer(&json!({ "error_code": code, "message": refusal.to_string() }));
    *response.status_mut() = status;
    response.extensions_mut().insert(handled(word));
    if let Refusal::Failed(fault) = refusal {
        if let Some(cause) = fault.cause() {
            tracing::warn!("request {}: {fault}: {cause}", failure.id);
        }
        if let Some(wait) = fault.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
        }
    }
    response
}

/// Returns the status of a fault and mlflow's word for it.
fn status(fault: &PredictFault) -> (StatusCode, &'static str) {
    match fault {
        PredictFault::Unreadable(_) => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        // The protocol's status for a request that is invalid in any way.
        PredictFault::Rows { .. } => (StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE"),
        PredictFault::NoModel(_) => (fault.status(), "RESOURCE_DOES_NOT_EXIST"),
        PredictFault::TooLarge(_) => (fault.status(), "INVALID_PARAMETER_VALUE"),
        PredictFault::Overloaded => (fault.status(), "REQUEST_LIMIT_EXCEEDED"),
        PredictFault::Unavailable => (fault.status(), "TEMPORARILY_UNAVAILABLE"),
        _ => (fault.status(), "INTERNAL_ERROR"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_data::{RequestOptions, Signature};
    use stagewright_store::Field;

    #[test]
    fn a_label_has_the_type_of_the_target() {
        assert_eq!(of_type("1", Some(DataType::Int64)), json!(1));
        assert_eq!(of_type("true", Some(DataType::Boolean)), json!(true));
        assert_eq!(of_type("1", Some(DataType::Utf8)), json!("1"));
        assert_eq!(of_type("Yes", Some(DataType::Int64)), json!("Yes"));
        assert_eq!(of_type("Yes", None), json!("Yes"));
    }

    #[test]
    fn a_content_type_is_json_or_csv_in_utf_8() {
        let of = |text: &'static str| format(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]));
        for accepted in ["application/json", "text/csv;charset=UTF-8", "application/json; charset=\"utf-8\""] {
            assert!(of(accepted).is_ok(), "{accepted}");
        }
        for refused in ["", "text/plain", "application/json; format=pandas-split", "text/csv; charset=latin-1"] {
            assert!(matches!(of(refused), Err(Refusal::ContentType(_))), "{refused}");
        }
        assert!(matches!(format(&HeaderMap::new()), Err(Refusal::ContentType(_))));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

        // invariant: No body of MLflow's scoring protocol panics or is the server's fault.
        #[test]
        fn a_mutated_request_is_decoded_or_refused(
            form in 0..BODIES.len(),
            place in proptest::prelude::any::<usize>(),
            byte in proptest::sample::select(b"0129-.,:[]{}\"nullt\\e \xff".to_vec()),
            removed in 0..9_usize,
        ) {
            let mut body = BODIES[form].as_bytes().to_vec();
            let place = place % body.len();
            body.drain(place..body.len().min(place + removed));
            body.insert(place, byte);
            if let Err(refusal) = decode(&decoder(), &body) {
                let failure = Failure::unserved(refusal);
                proptest::prop_assert!(refused(&failure).status().is_client_error(), "{}", failure.fault);
            }
        }
    }

    const BODIES: [&str; 6] = [
        r#"{"dataframe_split": {"columns": ["tenure", "plan"], "data": [[1, "a"], [2, "b"]]}}"#,
        r#"{"dataframe_records": [{"tenure": 1, "plan": "a"}, {"tenure": 2, "plan": "b"}], "params": {}}"#,
        r#"{"instances": [[1, "a"], [2, "b"]]}"#,
        r#"{"instances": [{"tenure": 1, "plan": "a"}, {"tenure": 2, "plan": "b"}]}"#,
        r#"{"inputs": {"tenure": [1, 2], "plan": ["a", "b"]}}"#,
        r#"{"inputs": {"tenure": 1, "plan": "a"}}"#,
    ];

    fn decoder() -> RequestDecoder {
        let fields = vec![Field::new("tenure", DataType::Int64), Field::new("plan", DataType::Utf8)];
        RequestDecoder::new(&Signature::new(fields).unwrap(), RequestOptions::default())
    }

    #[test]
    fn each_form_becomes_the_same_rows() {
        let rows = |body: &str| decode(&decoder(), body.as_bytes()).unwrap().batch;
        let first = rows(BODIES[0]);
        assert_eq!(first.num_rows(), 2);
        for body in &BODIES[1..5] {
            assert_eq!(rows(body), first, "{body}");
        }
        assert_eq!(rows(BODIES[5]), first.slice(0, 1));
    }
}
