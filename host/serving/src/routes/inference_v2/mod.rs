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
use crate::served_version::ServedVersion;
use crate::service::{Failure, Service, is_long, off_thread_if};
use crate::traffic::Route;

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
        Err(refusal) => refused(&Failure::unserved(refusal)),
    }
}

async fn model_ready(State(service): State<Arc<Service>>, Path(named): Path<Named>) -> Response {
    match named.find(&service) {
        Ok(_) => readiness(&json!({ "name": named.model, "ready": true }), true),
        // The model is served, and no version of it is loaded yet.
        Err(Refusal::Failed(PredictFault::Unavailable)) => {
            readiness(&json!({ "name": named.model, "ready": false }), false)
        }
        Err(refusal) => refused(&Failure::unserved(refusal)),
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
    let route = match named.route(&service, &headers) {
        Ok(route) => route,
        Err(refusal) => return refused(&Failure::unserved(refusal)),
    };
    let is_long = is_long(&body);
    let decode = move |route: &Route| {
        check_content_type(&headers)?;
        let body = Body::split(&headers, &body)?;
        let request = Request::parse(&body)?;
        let wanted = request.wanted(route.version.task())?;
        Ok((request.decode(route.decoder())?, wanted))
    };
    let (answer, wanted) = match service.predict(route, is_long, decode).await {
        Ok(answered) => answered,
        Err(failure) => return refused(&failure),
    };
    let (version, arm, is_long) = (answer.version.clone(), answer.arm, answer.is_long());
    let write = move || {
        let mut response = response::response(&answer, &wanted);
        response.extensions_mut().insert(Handled::answered(answer, Protocol::V2));
        response
    };
    let written = off_thread_if(is_long, write).await;
    written.unwrap_or_else(|fault| refused(&Failure::of(version, arm, fault.into())))
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
        match &self.version {
            Some(version) => Ok(self.named(service, version)?.version),
            None => Ok(service.version(Some(&self.model))?),
        }
    }

    /// Returns who answers a request: the version that it names, or whoever the deployment of the
    /// model chooses.
    fn route(&self, service: &Service, headers: &HeaderMap) -> Result<Route, Refusal> {
        match &self.version {
            Some(version) => self.named(service, version),
            None => Ok(service.route(Some(&self.model), headers)?),
        }
    }

    fn named(&self, service: &Service, version: &str) -> Result<Route, Refusal> {
        let served = service.version(Some(&self.model))?;
        // A number in another form, such as `03`, names nothing.
        let number = version.parse().ok().filter(|number: &u32| number.to_string() == version);
        let route = number.and_then(|number| service.model(Some(&self.model)).ok()?.route_to(number));
        route.ok_or_else(|| Refusal::NoVersion {
            model: served.model.clone(),
            version: Untrusted::new(version).cut(100).to_string(),
            served: served.version,
        })
    }
}

/// Answers a request that failed.
fn refused(failure: &Failure<Refusal>) -> Response {
    let refusal = &failure.fault;
    let status = match refusal {
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::NoVersion { .. } => StatusCode::NOT_FOUND,
        // The protocol's status for a request that is invalid in any way.
        Refusal::Failed(PredictFault::Rows { .. }) => StatusCode::BAD_REQUEST,
        Refusal::Failed(fault) => fault.status(),
    };
    let mut response = answer(&json!({ "error": refusal.to_string() }));
    *response.status_mut() = status;
    let code = match refusal {
        Refusal::Invalid(_) => "bad_request",
        Refusal::NoVersion { .. } => "no_version",
        Refusal::Failed(fault) => fault.code(),
    };
    response.extensions_mut().insert(Handled::of_failure(failure, Protocol::V2, code));
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
