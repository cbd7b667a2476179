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
    let outputs: Vec<Value> = wanted.outputs.iter().map(|output| tensor(answer, *output, &mut tensors)).collect();
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
fn tensor(answer: &Answer, wanted: WantedOutput, tensors: &mut Vec<u8>) -> Value {
    let WantedOutput { output, is_binary } = wanted;
    let (task, width) = (answer.version.task(), answer.version.contents.width());
    let rows = answer.values.len() / width;
    let shape = match output.columns {
        None => json!([rows]),
        Some(columns) => json!([rows, columns]),
    };
    let mut parameters = Map::new();
    if let (Task::MultiClass { classes }, Some(_)) = (task, output.columns) {
        // Parameters are texts, numbers and truth values.
        parameters.insert("classes".to_owned(), Value::from(classes.as_slice()).to_string().into());
    }
    let before = tensors.len();
    let labels = || answer.values.chunks_exact(width).map(|values| label(task, values).unwrap_or_default());
    let mut tensor = json!({ "name": output.name, "shape": shape, "datatype": output.datatype });
    match (output.datatype, is_binary) {
        ("BYTES", true) => labels().for_each(|label| append_text(tensors, label)),
        ("BYTES", false) => tensor["data"] = labels().collect(),
        (_, true) => answer.values.iter().for_each(|value| tensors.extend_from_slice(&value.to_le_bytes())),
        (_, false) => tensor["data"] = answer.values.iter().copied().collect(),
    }
    if is_binary {
        parameters.insert("binary_data_size".to_owned(), (tensors.len() - before).into());
    }
    if !parameters.is_empty() {
        tensor["parameters"] = parameters.into();
    }
    tensor
}
