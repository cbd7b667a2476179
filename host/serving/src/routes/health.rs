//! `/`, `/health` and `/models/NAME`: whether the server answers, and with which versions.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use stagewright_store::DeploymentArm;

use super::json::json as answer;
use super::predict::refusal;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::served_model::ServedModel;
use crate::service::{Failure, Service};

/// Describes the default model, and all models by name.
pub(super) async fn health(State(service): State<Arc<Service>>) -> Response {
    let mut health = service.model(None).map_or_else(|_| json!({}), |model| described(model));
    let is_ready = service.models().all(|model| model.current().is_some());
    let status = match is_ready {
        _ if service.is_draining() => "draining",
        true => "ok",
        false => "loading",
    };
    health["status"] = status.into();
    health["models"] = service.models().map(|model| described(model)).collect();
    answer(&health)
}

/// Describes a model.
pub(super) async fn model(State(service): State<Arc<Service>>, Path(model): Path<String>) -> Response {
    match service.model(Some(&model)) {
        Ok(model) => answer(&described(model)),
        Err(fault) => refusal(Failure::unserved(fault)),
    }
}

/// Answers as long as the process does.
pub(super) async fn live() -> Response {
    answer(&json!({ "status": "ok" }))
}

/// Answers 200 once every model is loaded.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    if service.models().all(|model| model.current().is_some()) {
        answer(&json!({ "status": "ok" }))
    } else {
        Refusal::of_status(StatusCode::SERVICE_UNAVAILABLE).answer(&RequestId::unanswered())
    }
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
    if let Some(deployment) = status.deployment {
        let arm = |arm: &DeploymentArm| json!({ "name": arm.name, "version": arm.version, "share": arm.share });
        described["deployment"] = json!({
            "number": deployment.number,
            "strategy": deployment.strategy.name(),
            "step": deployment.step,
            "arms": deployment.arms.iter().map(arm).collect::<Vec<_>>(),
        });
        if let Some(problem) = status.deployment_problem {
            described["deployment"]["problem"] = problem.into();
        }
    }
    described
}
