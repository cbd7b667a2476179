//! `/` and `/health`: whether the server answers, and with which versions.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::json::json as answer;
use crate::served_version::ServedVersion;
use crate::service::Service;

/// Describes the default model, and all models by name.
pub(super) async fn health(State(service): State<Arc<Service>>) -> Response {
    let mut health = match service.version(None) {
        Ok(version) => described(&version),
        Err(_) => json!({}),
    };
    health["status"] = "ok".into();
    health["models"] = service.versions().iter().map(|version| described(version)).collect();
    answer(&health)
}

/// Answers as long as the process does.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Answers 200 once every model is loaded.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> StatusCode {
    if service.versions().is_empty() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn described(version: &ServedVersion) -> Value {
    let since = version.loaded.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    json!({
        "model": version.model,
        "version": version.version,
        "digest": version.digest.to_string(),
        "since": since,
    })
}
