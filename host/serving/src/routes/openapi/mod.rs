//! `GET /openapi.json`: the interface as OpenAPI 3.1, made from the signatures of the models that
//! are served.
//!
//! - `paths`: the routes, with their answers and errors
//! - `schemas`: rows and answers
//! - `example`: a row that a model accepts

mod example;
mod paths;
mod schemas;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::json::written;
use super::predict::refusal;
use crate::fault::PredictFault;
use crate::served_version::ServedVersion;
use crate::service::{Failure, Service, off_thread_if};

/// Describes the interface.
pub(super) async fn openapi(
    State(service): State<Arc<Service>>,
    Extension(described): Extension<Described>,
) -> Response {
    if let Some(text) = described.known(&service.versions()) {
        return written(text);
    }
    let made = off_thread_if(true, move || described.make(&service)).await;
    match made.and_then(|made| made.map_err(|error| PredictFault::Host(error.to_string()))) {
        Ok(text) => written(text),
        Err(fault) => refusal(Failure::unserved(fault)),
    }
}

/// The description, made once for the versions that are served: with many features it takes its
/// time.
#[derive(Clone, Default)]
pub(super) struct Described(Arc<Latest>);

#[derive(Default)]
struct Latest {
    text: ArcSwapOption<OfVersions>,
    /// Held while a description is made, so that many who ask at once wait for one.
    making: Mutex<()>,
}

/// The description of these versions.
struct OfVersions {
    /// They are not kept loaded for it. No later version is taken for one of them, because a weak
    /// pointer keeps its place in memory.
    versions: Vec<Weak<ServedVersion>>,
    text: Bytes,
}

impl Described {
    /// Returns the description of these versions if it was the last one to be made.
    fn known(&self, versions: &[Arc<ServedVersion>]) -> Option<Bytes> {
        let latest = self.0.text.load();
        let latest = latest.as_ref()?;
        let is_same = latest.versions.iter().map(Weak::as_ptr).eq(versions.iter().map(Arc::as_ptr));
        is_same.then(|| latest.text.clone())
    }

    /// Makes the description of the versions that are served, unless another thread has.
    fn make(&self, service: &Service) -> serde_json::Result<Bytes> {
        let _making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = service.versions();
        if let Some(text) = self.known(&versions) {
            return Ok(text);
        }
        let text = Bytes::from(serde_json::to_vec(&document(service, &versions))?);
        let versions = versions.iter().map(Arc::downgrade).collect();
        self.0.text.store(Some(Arc::new(OfVersions { versions, text: text.clone() })));
        Ok(text)
    }
}

/// Returns the description of the interface with these versions.
fn document(service: &Service, versions: &[Arc<ServedVersion>]) -> Value {
    let default = service.model(None).ok();
    let default = default.and_then(|model| versions.iter().find(|version| version.model == model.name));
    let mut described = schemas::common();
    for version in versions {
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
        "paths": paths::paths(default.map(Arc::as_ref), versions),
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
    const SOURCES: [&str; 5] = [
        include_str!("../mod.rs"),
        include_str!("../deployments.rs"),
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
        let document = document(&Service::default(), &[]);
        let mut described: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document = document(&Service::default(), &[]);
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

    #[test]
    fn the_description_is_made_once_for_the_versions_that_are_served() {
        let (service, described) = (Service::default(), Described::default());
        assert_eq!(described.known(&[]), None);
        let made = described.make(&service).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&made).unwrap(), document(&service, &[]));
        for again in [described.known(&[]).unwrap(), described.make(&service).unwrap()] {
            assert_eq!(again.as_ptr(), made.as_ptr(), "it was made again");
        }
    }
}
