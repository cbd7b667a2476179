//! The components of an invocation.

use stagewright_manifest::{Limits, Step, World};

use crate::invocation::{CONTRACT, GuestSpec};
use crate::model::{ModelComponent, RegisteredModel};
use crate::run::context::Run;
use crate::sandbox::{Component, stage_seed, step_seed};

/// Returns the component of a stage, as the manifest configures it.
pub(super) fn of_step(run: &Run, step: &Step) -> GuestSpec {
    let manifest = &run.request.manifest;
    let stage = manifest.stage_of(step);
    let sources = stage.source.iter().map(|name| format!("source:{name}"));
    GuestSpec {
        grants: sources
            .chain(
                stage
                    .http
                    .iter()
                    .map(|grant| format!("http:{grant}"))
                    .chain(stage.postgres.iter().map(|grant| format!("postgres:{grant}")))
                    .chain(stage.s3.iter().map(|grant| format!("s3:{grant}"))),
            )
            .collect(),
        seed: seed(manifest.seed, step),
        as_of: manifest.as_of.as_microsecond(),
        ..called(run, run.component(step), manifest.parameters_of(stage), stage.limits)
    }
}

/// Returns the seed of a step. The parts of a model use the seed of their world, whatever their
/// stages are named: a model predicts without its pipeline, and must not depend on names in it.
fn seed(run: u64, step: &Step) -> u64 {
    if step.world.contract().is_learnt { stage_seed(run, step.world) } else { step_seed(run, &step.stage) }
}

/// Returns a component of a model, with the parameters, the seed and the clocks of the run that
/// made it, so that it predicts the same as `predict` does. Its limits are those of the current
/// manifest.
pub(super) fn of_model(run: &Run, model: &RegisteredModel, component: &Component, limits: Limits) -> GuestSpec {
    let ModelComponent { parameters, .. } =
        if component.world == World::Transformation { &model.transformation } else { &model.training };
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    GuestSpec {
        seed: stage_seed(model.seed, component.world),
        as_of: model.as_of,
        ..called(run, component, parameters, limits)
    }
}

/// Returns a component with the properties that it was admitted with.
fn called(
    run: &Run,
    component: &Component,
    parameters: serde_json::Map<String, serde_json::Value>,
    limits: Limits,
) -> GuestSpec {
    let manifest = &run.request.manifest;
    GuestSpec {
        world: component.world,
        contract: CONTRACT.to_owned(),
        name: component.name.clone(),
        component: component.digest,
        stubs: component.stubs.iter().cloned().collect(),
        grants: std::collections::BTreeSet::new(),
        canonicalize_nans: manifest.canonicalize_nans,
        parameters: component.description.with_defaults(parameters),
        seed: 0,
        as_of: 0,
        limits,
    }
}
