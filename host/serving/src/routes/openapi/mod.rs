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
use crate::service::Service;

/// Describes the interface.
pub(super) async fn openapi(State(service): State<Arc<Service>>) -> Response {
    answer(&document(&service))
}

/// Returns the description of the interface.
fn document(service: &Service) -> Value {
    let versions = service.versions();
    let default = service.version(None).ok();
    let mut described = schemas::common();
    for version in &versions {
        described[schemas::row_name(version)] = schemas::row(version);
        described[schemas::answer_name(version)] = schemas::answer(version);
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
            "schemas": described,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that add routes.
    const SOURCES: [&str; 4] = [
        include_str!("../mod.rs"),
        include_str!("../docs/mod.rs"),
        include_str!("../inference_v2/mod.rs"),
        include_str!("../mlflow.rs"),
    ];

    #[test]
    fn every_route_is_described_and_no_other() {
        let mut routes: Vec<&str> = SOURCES
            .iter()
            .flat_map(|source| source.split(".route(\"").skip(1))
            .filter_map(|rest| rest.split('"').next())
            // Parts of the page; and routes that are described once a model is served.
            .filter(|path| !path.starts_with("/docs/") && !path.contains("predict") && *path != "/invocations")
            .collect();
        routes.sort_unstable();
        let document = document(&Service::default());
        let mut described: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document = document(&Service::default());
        let paths = document["paths"].as_object().unwrap().values();
        let mut names: Vec<&str> = paths
            .flat_map(|methods| methods.as_object().unwrap().values())
            .filter_map(|it| it["operationId"].as_str())
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
