//! `/models/NAME/deployment`: starting, advancing and aborting deployments, for operators.
//!
//! A server that follows a production location has no registry, and so no deployments.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value};
use stagewright_deployment::{OperationError, View};
use stagewright_store::{DeploymentError, StoreError};

use super::json::json;
use super::predict::refusal;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::service::{Failure, Service, off_thread_if};
use crate::traffic::{OperationFault, Operations, PromotionFault};

/// The most bytes of a body. The registry takes no longer plan.
const LONGEST_BODY: usize = 64 << 10;

/// The most bytes of a reason.
const LONGEST_REASON: usize = 2000;

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/models/{model}/deployment", get(status).post(start))
        .route("/models/{model}/deployment/advance", post(advance))
        .route("/models/{model}/deployment/abort", post(abort))
}

/// Describes the active deployment of a model, or else the last one.
async fn status(State(service): State<Arc<Service>>, Path(model): Path<String>) -> Response {
    operate(&service, model, StatusCode::OK, |operations, model| operations.status(model)).await
}

/// Starts a deployment. The body is its plan, with a `reason`.
async fn start(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (reason, plan) = match read(&headers, &body) {
        Ok(read) => read,
        Err(refusal) => return refusal.answer(&RequestId::unanswered()),
    };
    let start = move |operations: &Operations, model: &str| operations.start(model, &plan.into(), &reason);
    operate(&service, model, StatusCode::CREATED, start).await
}

/// Makes the next step of a deployment, of which the last may be a promotion.
async fn advance(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reason = match read_reason(&headers, &body) {
        Ok(reason) => reason,
        Err(refusal) => return refusal.answer(&RequestId::unanswered()),
    };
    operate(&service, model, StatusCode::OK, move |operations, model| operations.advance(model, &reason)).await
}

/// Ends a deployment: the champion answers everything again.
async fn abort(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reason = match read_reason(&headers, &body) {
        Ok(reason) if reason.is_empty() => {
            let refusal = bad_request("giving up needs a reason\nhint: send {\"reason\": \"TEXT\"}");
            return refusal.answer(&RequestId::unanswered());
        }
        Ok(reason) => reason,
        Err(refusal) => return refusal.answer(&RequestId::unanswered()),
    };
    operate(&service, model, StatusCode::OK, move |operations, model| operations.abort(model, &reason)).await
}

/// Does something with the deployments of a model, on a thread that may wait for the registry.
async fn operate(
    service: &Service,
    model: String,
    status: StatusCode,
    work: impl FnOnce(&Operations, &str) -> Result<View, OperationFault> + Send + 'static,
) -> Response {
    if let Err(fault) = service.model(Some(&model)) {
        return refusal(Failure::unserved(fault));
    }
    let Some(operations) = service.operations().cloned() else {
        let text = "this server follows a production location, which has no deployments\n\
                    hint: ask a server that follows the registry";
        return Refusal::of_text(StatusCode::NOT_IMPLEMENTED, "no_registry", text).answer(&RequestId::unanswered());
    };
    match off_thread_if(true, move || work(&operations, &model)).await {
        Ok(Ok(view)) => {
            let mut response = json(&view);
            *response.status_mut() = status;
            response
        }
        Ok(Err(fault)) => refused(&fault).answer(&RequestId::unanswered()),
        Err(fault) => refusal(Failure::unserved(fault)),
    }
}

/// Reads a body: its `reason`, and the other members. An empty one has none.
///
/// The content type must be that of JSON: a page of a foreign site cannot send it without the
/// consent of the server, which gives none.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<(String, Map<String, Value>), Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let text = "the content type is not application/json\nhint: send `Content-Type: application/json`";
        return Err(Refusal::of_text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type", text));
    }
    if body.len() > LONGEST_BODY {
        let text = "the body has more than 64 KiB\nhint: a plan has a few lines";
        return Err(Refusal::of_text(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text));
    }
    if body.trim_ascii().is_empty() {
        return Ok(Default::default());
    }
    let not_json = |_| bad_request("the body is no JSON object\nhint: docs/deployments.md shows one");
    let mut members: Map<String, Value> = serde_json::from_slice(body).map_err(not_json)?;
    let reason = match members.remove("reason") {
        None => String::new(),
        Some(Value::String(reason)) if reason.len() <= LONGEST_REASON => one_line(&reason),
        Some(_) => return Err(bad_request("`reason` is no text of at most 2000 bytes")),
    };
    Ok((reason, members))
}

/// Reads a body that has nothing but a reason.
fn read_reason(headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
    let (reason, others) = read(headers, body)?;
    match others.keys().next() {
        None => Ok(reason),
        Some(name) => {
            let name = stagewright_text::Untrusted::new(name).cut(100);
            Err(bad_request(&format!("unknown member `{name}`\nhint: send {{\"reason\": \"TEXT\"}}")))
        }
    }
}

/// Returns a text in one line, as the audit shows it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn bad_request(text: &str) -> Refusal {
    Refusal::of_text(StatusCode::BAD_REQUEST, "bad_request", text)
}

/// Returns the error that a client sees. The log has what it must not see.
fn refused(fault: &OperationFault) -> Refusal {
    let told = |status, code| Refusal::of_text(status, code, &fault.to_string());
    let store = match fault {
        OperationFault::Operation(OperationError::Plan(_)) => return told(StatusCode::BAD_REQUEST, "bad_deployment"),
        OperationFault::Operation(OperationError::Store(error)) => error,
        OperationFault::Operation(_) => return told(StatusCode::CONFLICT, "not_now"),
        OperationFault::Promotion(PromotionFault { is_final: true, .. }) => {
            return told(StatusCode::CONFLICT, "not_promoted");
        }
        OperationFault::Promotion(_) => return told(StatusCode::BAD_GATEWAY, "not_promoted"),
    };
    match store {
        StoreError::NoModel { .. } => told(StatusCode::NOT_FOUND, "no_model"),
        StoreError::NoVersion { .. } => told(StatusCode::NOT_FOUND, "no_version"),
        StoreError::NotApproved { .. } | StoreError::StaleVerdict { .. } => told(StatusCode::CONFLICT, "not_approved"),
        StoreError::ReadOnly { .. } => told(StatusCode::NOT_IMPLEMENTED, "read_only"),
        StoreError::Deployment(error) => match error {
            DeploymentError::NoneActive { .. } | DeploymentError::NotFound { .. } => {
                told(StatusCode::NOT_FOUND, "no_deployment")
            }
            DeploymentError::Invalid { .. } => told(StatusCode::BAD_REQUEST, "bad_deployment"),
            _ => told(StatusCode::CONFLICT, "deployment_changed"),
        },
        error => {
            tracing::warn!("a deployment: {error}");
            let message = "the registry cannot be used now; the log of the server has the reason";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "registry_away", message);
            Refusal { is_temporary: true, ..refusal }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[test]
    fn a_body_is_json_with_a_reason_in_one_line() {
        let json = headers("application/json; charset=utf-8");
        let (reason, plan) = read(&json, br#"{"strategy": "shadow", "reason": "a\nb  c"}"#).unwrap();
        assert_eq!((reason.as_str(), plan.len()), ("a b c", 1));
        assert_eq!(read(&json, b" ").unwrap(), Default::default());
        assert_eq!(read_reason(&json, br#"{"reason": "x"}"#).unwrap(), "x");
        for wrong in [&b"[]"[..], b"{", br#"{"reason": 1}"#] {
            assert_eq!(read(&json, wrong).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
        let long = format!("{{\"reason\": \"x\", \"shares\": [{}1]}}", "1,".repeat(LONGEST_BODY));
        assert_eq!(read(&json, long.as_bytes()).unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
        let unknown = read_reason(&json, br#"{"because": "x"}"#).unwrap_err();
        assert!(unknown.message.contains("`because`") && unknown.hint.is_some(), "{unknown:?}");
    }

    // invariant: A page of a foreign site cannot change a deployment of a server that asks nobody
    // for a token.
    #[test]
    fn a_form_of_a_page_is_no_operation() {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let refused = read(&headers(kind), b"{}").unwrap_err();
            assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
        }
        assert!(read(&HeaderMap::new(), b"{}").is_err());
    }
}
