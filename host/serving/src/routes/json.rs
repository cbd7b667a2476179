//! Answers of JSON.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

/// The bytes that an answer has room for, before it grows. The prediction of a row takes fewer.
const USUAL_LENGTH: usize = 512;

/// Returns an answer of JSON with status 200.
pub(super) fn json(body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(USUAL_LENGTH);
    match serde_json::to_writer(&mut text, body) {
        Ok(()) => written(text.into()),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns an answer of JSON that is written already, with status 200.
pub(super) fn written(json: Bytes) -> Response {
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
