//! `GET /metrics`: what the server counts, in the text format of Prometheus.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE as PROMETHEUS};
use prometheus_client::registry::Registry;

use crate::metrics::process::ProcessMetrics;
use crate::metrics::state::{ModelStates, ShadowStates, VersionStates};
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::service::Service;

/// Answers with everything that is counted.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let versions = service.models().flat_map(|model| model.versions()).collect();
    let mut state = Registry::default();
    state.register_collector(Box::new(ModelStates(service.models().cloned().collect())));
    state.register_collector(Box::new(VersionStates(versions)));
    state.register_collector(Box::new(ShadowStates(service.models().cloned().collect())));
    state.register_collector(Box::new(ProcessMetrics));
    let mut text = String::new();
    match service.metrics().write(&mut text).and_then(|()| prometheus_text::encode(&mut text, &state)) {
        Ok(()) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS));
            response
        }
        Err(_) => Refusal::panicked().answer(&RequestId::unanswered()),
    }
}
