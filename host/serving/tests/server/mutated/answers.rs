//! Whether an answer has the form of its interface.

use serde_json::Value;

use super::request::{INFER, Request};
use crate::bed::Reply;

/// Checks the form of an answer. Returns how many rows an answer of predictions has; `None` if the
/// request wants no output.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn check(request: &Request, reply: &Reply) -> Result<Option<usize>, String> {
    match reply.status {
        200 => predictions(request, reply),
        400..500 => error(request, reply).map(|()| None),
        status => Err(format!("the status is {status}")),
    }
}

/// Returns the rows of an answer.
fn predictions(request: &Request, reply: &Reply) -> Result<Option<usize>, String> {
    if request.path == INFER {
        return tensors(reply);
    }
    let body = json(&reply.body)?;
    let member = if request.path == "/outcomes" { "outcomes" } else { "predictions" };
    let rows = body[member].as_array().ok_or_else(|| format!("there are no {member}"))?;
    let is_right = |row: &Value| match request.path {
        "/outcomes" => row["result"].is_string() && row.get("request_id").is_some(),
        "/invocations" => row == "yes" || row == "no",
        _ => has_label(row),
    };
    if let Some(row) = rows.iter().find(|row| !is_right(row)) {
        return Err(format!("{row} is no answer for a row"));
    }
    let id = reply.header("x-request-id");
    if request.path == "/predict" && (body["request_id"].as_str() != id || body["version"] != 3) {
        return Err("version or identifier is missing".to_owned());
    }
    Ok(Some(rows.len()))
}

fn has_label(row: &Value) -> bool {
    let label = |probability: f64| if probability >= 0.5 { "yes" } else { "no" };
    row["probability"].as_f64().is_some_and(|it| (0.0..=1.0).contains(&it) && row["label"] == label(it))
}

/// Returns the rows of outputs, each of which has as many values as its shape says.
fn tensors(reply: &Reply) -> Result<Option<usize>, String> {
    let length = reply.header("inference-header-content-length").map(|length| length.parse::<usize>());
    let length = length.transpose().map_err(|error| error.to_string())?.unwrap_or(reply.body.len());
    let (text, mut bytes) = reply.body.split_at_checked(length).ok_or("the JSON is longer than the body")?;
    let body = json(text)?;
    let mut rows = None;
    for output in body["outputs"].as_array().ok_or("there are no outputs")? {
        let shape = output["shape"][0].as_u64().ok_or("there is no shape")? as usize;
        let values = match output["parameters"]["binary_data_size"].as_u64() {
            None => output["data"].as_array().ok_or("there is no data")?.len(),
            Some(size) => {
                let (own, rest) = bytes.split_at_checked(size as usize).ok_or("bytes are missing")?;
                bytes = rest;
                if output["datatype"] == "BYTES" { texts(own)? } else { own.len() / 8 }
            }
        };
        if values != shape || *rows.get_or_insert(shape) != shape {
            return Err(format!("{values} values of {shape}, after {rows:?}"));
        }
    }
    if bytes.is_empty() { Ok(rows) } else { Err(format!("{} bytes are left", bytes.len())) }
}

fn texts(mut bytes: &[u8]) -> Result<usize, String> {
    let mut count = 0;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("a text is cut")?;
        if text != b"yes" && text != b"no" {
            return Err(format!("{text:?} is no label"));
        }
        (bytes, count) = (rest, count + 1);
    }
    Ok(count)
}

/// Checks an error.
fn error(request: &Request, reply: &Reply) -> Result<(), String> {
    if request.path == "/invocations" && reply.status == 415 {
        return if reply.text().is_empty() { Err("there is no reason".to_owned()) } else { Ok(()) };
    }
    let body = json(&reply.body)?;
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let has_id = body["request_id"].as_str() == reply.header("x-request-id") && is_text(&body["request_id"]);
    let is_right = match request.path {
        INFER => is_text(&body["error"]),
        "/invocations" => is_text(&body["error_code"]) && is_text(&body["message"]),
        "/predict" if reply.status == 422 => {
            let errors = body["errors"].as_array().is_some_and(|errors| {
                !errors.is_empty() && errors.iter().all(|it| it["row"].is_u64() && is_text(&it["message"]))
            });
            errors && has_id
        }
        _ => is_text(&body["error"]["code"]) && is_text(&body["error"]["message"]) && has_id,
    };
    if is_right { Ok(()) } else { Err("the error has another form".to_owned()) }
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the answer is no JSON: {error}"))
}
