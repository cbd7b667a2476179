//! `POST /predict`: rows in, predictions out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use axum::response::Response;
use serde::Serialize;

use super::json::json;
use crate::fault::{PredictFault, RowError};
use crate::prediction::Predictions;
use crate::request_id::RequestId;
use crate::service::{Answer, BodyFormat, Service};

/// The answer to a request.
#[derive(Serialize)]
struct AnswerBody<'a> {
    predictions: Predictions<'a>,
    model: &'a str,
    version: u32,
    digest: String,
    request_id: &'a str,
}

/// The answer to a request whose values do not fit the signature.
#[derive(Serialize)]
struct RowErrors<'a> {
    errors: &'a [RowError],
    more_errors: bool,
    request_id: &'a str,
}

/// The answer to a request that failed otherwise.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorText<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ErrorText<'a> {
    code: &'a str,
    message: String,
}

/// Predicts with the default model.
pub(super) async fn predict(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(service.predict_body(None, &headers, &body).await)
}

/// Predicts with a model by its name.
pub(super) async fn predict_model(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(service.predict_body(Some(&model), &headers, &body).await)
}

impl Service {
    async fn predict_body(
        &self,
        model: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Answer, PredictFault> {
        self.predict(model, format(headers)?, body).await
    }
}

/// Returns the format that the content type names; JSON if there is none.
fn format(headers: &HeaderMap) -> Result<BodyFormat, PredictFault> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(BodyFormat::Json) };
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        "application/json" => Ok(BodyFormat::Json),
        "text/csv" => Ok(BodyFormat::Csv),
        "application/vnd.apache.arrow.stream" => Ok(BodyFormat::Arrow),
        _ => Err(PredictFault::ContentType(stagewright_text::Untrusted::new(text).to_string())),
    }
}

fn answer(result: Result<Answer, PredictFault>) -> Response {
    match result {
        Ok(Answer { version, id, values }) => json(&AnswerBody {
            predictions: Predictions { task: version.task(), values: &values, width: version.contents.width() },
            model: &version.model,
            version: version.version,
            digest: version.digest.to_string(),
            request_id: id.as_str(),
        }),
        Err(fault) => refusal(&fault, &RequestId::unanswered()),
    }
}

/// Answers a request that failed.
fn refusal(fault: &PredictFault, id: &RequestId) -> Response {
    if let Some(cause) = fault.cause() {
        tracing::warn!("request {id}: {fault}: {cause}");
    }
    let mut response = match fault {
        PredictFault::Rows { errors, is_cut } => {
            json(&RowErrors { errors, more_errors: *is_cut, request_id: id.as_str() })
        }
        fault => json(&ErrorBody {
            error: ErrorText { code: fault.code(), message: fault.to_string() },
            request_id: id.as_str(),
        }),
    };
    *response.status_mut() = fault.status();
    if let Some(wait) = fault.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
    }
    response
}
