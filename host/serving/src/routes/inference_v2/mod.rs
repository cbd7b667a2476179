//! `/v2`: the Open Inference Protocol, version 2, over REST.
//!
//! `docs/compatibility.md` lists every deviation.
//!
//! - `metadata`: server and models
//! - `refusal`: why a request was refused
//! - `request`: from tensors to rows
//! - `response`: from predictions to tensors
//! - `binary`: tensors as bytes after the JSON

mod binary;
mod metadata;
mod refusal;
mod request;
mod response;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use stagewright_text::Untrusted;

use self::refusal::Refusal;
use self::request::{Body, Request};
use super::json::json as answer;
use crate::fault::PredictFault;
use crate::handled::Handled;
use crate::protocol::Protocol;
use crate::request_id::RequestId;
use crate::served_version::ServedVersion;
use crate::service::Service;

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(model))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(model))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
}

/// Model and version of a path.
#[derive(serde::Deserialize)]
struct Named {
    model: String,
    version: Option<String>,
}

async fn server() -> Response {
    answer(&metadata::server())
}

async fn live() -> Response {
    answer(&json!({ "live": true }))
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    let is_ready = service.models().all(|model| model.current().is_some());
    readiness(&json!({ "ready": is_ready }), is_ready)
}

async fn model(State(service): State<Arc<Service>>, Path(named): Path<Named>) -> Response {
    match named.find(&service) {
        Ok(version) => answer(&metadata::model(&version)),
        Err(refusal) => refused(&refusal),
    }
}

async fn model_ready(State(service): State<Arc<Service>>, Path(named): Path<Named>) -> Response {
    match named.find(&service) {
        Ok(_) => readiness(&json!({ "name": named.model, "ready": true }), true),
        // The model is served, and no version of it is loaded yet.
        Err(Refusal::Failed(PredictFault::Unavailable)) => {
            readiness(&json!({ "name": named.model, "ready": false }), false)
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Returns an answer whose status tells whether something is ready.
fn readiness(body: &Value, is_ready: bool) -> Response {
    let mut response = answer(body);
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn infer(
    State(service): State<Arc<Service>>,
    Path(named): Path<Named>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match predict(&service, &named, &headers, &body).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    }
}

async fn predict(service: &Service, named: &Named, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refusal> {
    let version = named.find(service)?;
    check_content_type(headers)?;
    let body = Body::split(headers, body)?;
    let (rows, wanted) = {
        let request = Request::parse(&body)?;
        let wanted = request.wanted(version.task())?;
        (request.decode(&version.decoder)?, wanted)
    };
    let answer = service.predict_rows(version, rows).await?;
    let mut response = response::response(&answer, &wanted);
    response.extensions_mut().insert(Handled::answered(&answer, Protocol::V2));
    Ok(response)
}

/// Refuses a content type other than those that stock clients send. The protocol names none.
fn check_content_type(headers: &HeaderMap) -> Result<(), PredictFault> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" | "application/octet-stream" => Ok(()),
        _ => Err(PredictFault::ContentType(Untrusted::new(text).to_string())),
    }
}

impl Named {
    /// Returns the version that is served under this name.
    fn find(&self, service: &Service) -> Result<Arc<ServedVersion>, Refusal> {
        let served = service.version(Some(&self.model))?;
        match &self.version {
            Some(version) if *version != served.version.to_string() => Err(Refusal::NoVersion {
                model: served.model.clone(),
                version: Untrusted::new(version).cut(100).to_string(),
                served: served.version,
            }),
            _ => Ok(served),
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::NoVersion { .. } => StatusCode::NOT_FOUND,
        // The protocol's status for a request that is invalid in any way.
        Refusal::Failed(PredictFault::Rows { .. }) => StatusCode::BAD_REQUEST,
        Refusal::Failed(fault) => fault.status(),
    };
    let mut response = answer(&json!({ "error": refusal.to_string() }));
    *response.status_mut() = status;
    let id = RequestId::unanswered();
    let code = match refusal {
        Refusal::Invalid(_) => "bad_request",
        Refusal::NoVersion { .. } => "no_version",
        Refusal::Failed(fault) => fault.code(),
    };
    response.extensions_mut().insert(Handled::failed(id.clone(), Protocol::V2, code));
    if let Refusal::Failed(fault) = refusal {
        if let Some(cause) = fault.cause() {
            tracing::warn!("request {id}: {fault}: {cause}");
        }
        if let Some(wait) = fault.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
        }
    }
    response
}
