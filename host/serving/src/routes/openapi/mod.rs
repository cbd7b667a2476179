//! `GET /openapi.json`: the interface as OpenAPI 3.1, made from the signatures of the models that
//! are served.
//!
//! - `paths`: the routes, with their answers and errors
//! - `schemas`: rows and answers
//! - `example`: a row that a model accepts

mod example;
mod paths;
mod schemas;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::json::json as answer;
use crate::served_version::ServedVersion;
use crate::service::Service;

/// Describes the interface.
pub(super) async fn openapi(State(service): State<Arc<Service>>) -> Response {
    answer(&document(&service))
}

/// Returns the description of the interface.
fn document(service: &Service) -> Value {
    let versions = service.versions();
    let default = service.version(None).ok();
    let mut schemas = schemas::common();
    for version in &versions {
        schemas[row_name(version)] = schemas::row(version);
        schemas[answer_name(version)] = schemas::answer(version);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stagewright predictions",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Predictions of registered models. /docs is a page to try them.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        // A server on loopback may need no token.
        "security": [{}, { "token": [] }],
        "paths": paths::paths(default.as_deref(), &versions),
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// Returns the name of the schema of a model's rows. Names of models are identifiers.
fn row_name(version: &ServedVersion) -> String {
    format!("{}.row", version.model)
}

/// Returns the name of the schema of a model's answers.
fn answer_name(version: &ServedVersion) -> String {
    format!("{}.answer", version.model)
}
