//! The declared columns of a table.

use std::collections::BTreeMap;

use stagewright_data::Signature;
use stagewright_manifest::{Step, World};
use stagewright_store::Role;

use crate::fault::StageFault;
use crate::run::context::Run;
use crate::settings;

/// Returns the roles that the manifest declares, by the names of columns. Preparations are told
/// them before anything is learnt, so that they can tell the target from features.
pub(super) fn roles(run: &Run) -> Result<BTreeMap<String, Role>, StageFault> {
    let manifest = &run.request.manifest;
    let signature = settings::signature(manifest).map_err(|error| StageFault::of_data(&error))?;
    let declared = signature.iter().flat_map(|signature| crate::execution::roles(&signature.fields));
    let mut roles: BTreeMap<String, Role> = declared.collect();
    roles.insert(manifest.task.target.clone(), Role::Target);
    Ok(roles)
}

/// Whether models are trained on the table that a step makes.
fn is_learnt_from(run: &Run, step: &Step) -> bool {
    let mut learning = run.request.manifest.graph.of(World::Transformation);
    learning.any(|learns| learns.line.get(&World::Ingestion) == Some(&step.id))
}

/// Returns the declared signature and the target of the table that models are trained on. The
/// columns of other tables come from the tables themselves.
pub(super) fn declared(run: &Run, step: &Step) -> Result<(Option<Signature>, Option<String>), StageFault> {
    if !is_learnt_from(run, step) {
        return Ok((None, None));
    }
    let manifest = &run.request.manifest;
    let signature = settings::signature(manifest).map_err(|error| StageFault::of_data(&error))?;
    Ok((signature, Some(manifest.task.target.clone())))
}
