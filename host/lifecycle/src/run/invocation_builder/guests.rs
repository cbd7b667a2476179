//! The components of an invocation.

use stagewright_manifest::{Limits, Step, World};

use crate::invocation::{CONTRACT, GuestSpec};
use crate::model::{ModelComponent, RegisteredModel};
use crate::run::context::Run;
use crate::sandbox::{Component, stage_seed, step_seed};

/// The component of a stage, as the manifest wants it.
pub(super) fn of_step(run: &Run, step: &Step) -> GuestSpec {
    let manifest = &run.request.manifest;
    let stage = manifest.stage_of(step);
    let sources = stage.source.iter().map(|name| format!("source:{name}"));
    GuestSpec {
        grants: sources.chain(stage.http.iter().map(|grant| format!("http:{grant}"))).collect(),
        seed: seed(manifest.seed, step),
        as_of: manifest.as_of.as_microsecond(),
        ..called(run, run.component(step), manifest.parameters_of(stage), stage.limits)
    }
}

/// The seed of a step. Parts of a model have that of their world, whatever their stages are called:
/// a model is asked without its pipeline, and models differ in what they are and not in their
/// names.
fn seed(run: u64, step: &Step) -> u64 {
    if step.world.contract().is_learnt { stage_seed(run, step.world) } else { step_seed(run, &step.stage) }
}

/// A component of a model, with the parameters, seed and clocks of the run that made it: what it
/// predicts is what `predict` serves. It works under the limits of today's manifest.
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

/// A component as it was admitted.
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
