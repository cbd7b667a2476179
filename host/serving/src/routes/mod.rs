//! The paths of the HTTP interface, a file each.

mod docs;
mod health;
mod inference_v2;
mod json;
mod mlflow;
mod openapi;
mod predict;
mod sentence;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::service::Service;

/// Returns all routes. Bodies have at most `most_bytes`.
pub(crate) fn routes(service: Arc<Service>, most_bytes: usize) -> Router {
    Router::new()
        .route("/", get(health::health))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/predict", post(predict::predict))
        .route("/models/{model}/predict", post(predict::predict_model))
        .route("/openapi.json", get(openapi::openapi))
        .merge(docs::routes())
        .merge(inference_v2::routes())
        .merge(mlflow::routes())
        .layer(DefaultBodyLimit::max(most_bytes))
        .with_state(service)
}
