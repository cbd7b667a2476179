//! `/` and `/health`: whether the server answers, and with which versions.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::json::json as answer;
use crate::served_model::ServedModel;
use crate::service::Service;

/// Describes the default model, and all models by name.
pub(super) async fn health(State(service): State<Arc<Service>>) -> Response {
    let mut health = service.model(None).map_or_else(|_| json!({}), |model| described(model));
    let is_ready = service.models().all(|model| model.current().is_some());
    health["status"] = if is_ready { "ok" } else { "loading" }.into();
    health["models"] = service.models().map(|model| described(model)).collect();
    answer(&health)
}

/// Answers as long as the process does.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Answers 200 once every model is loaded.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> StatusCode {
    let is_ready = service.models().all(|model| model.current().is_some());
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn described(model: &ServedModel) -> Value {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let status = model.status();
    let mut described = json!({
        "model": model.name,
        "source": if status.origin_failed.is_some() { "last-verified" } else { "fresh" },
    });
    if let Some(version) = model.current() {
        described["version"] = version.version.into();
        described["digest"] = version.digest.to_string().into();
        described["since"] = seconds(version.loaded).into();
    }
    if let Some((reason, since)) = status.origin_failed {
        described["source_error"] = json!({ "reason": reason, "since": seconds(since) });
    }
    if let Some(refused) = status.refused {
        described["refused"] =
            json!({ "version": refused.version, "reason": refused.reason, "at": seconds(refused.at) });
    }
    described
}
