//! The paths of the HTTP interface, a file each.

mod deployments;
mod docs;
mod health;
mod inference_v2;
mod json;
mod metrics;
mod mlflow;
mod openapi;
mod outcomes;
mod predict;
mod sentence;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Extension, Router};

pub(crate) use self::predict::Direct;
use crate::service::Service;

/// Returns all routes. The bodies of their requests are in memory already: the server reads them,
/// within its limits.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(health::health))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/outcomes", post(outcomes::outcomes))
        .route("/predict", post(predict::predict))
        .route("/models/{model}", get(health::model))
        .route("/models/{model}/outcomes", post(outcomes::outcomes_of_model))
        .route("/models/{model}/predict", post(predict::predict_model))
        .route("/openapi.json", get(openapi::openapi).layer(Extension(openapi::Described::default())))
        .merge(deployments::routes())
        .merge(docs::routes())
        .merge(inference_v2::routes())
        .merge(mlflow::routes())
        .layer(DefaultBodyLimit::disable())
        .with_state(service)
}
