//! The champion that a candidate is compared with.

use std::sync::Arc;

use stagewright_data::Task;
use stagewright_manifest::{ChampionUnreadable, World};
use stagewright_store::{ArtifactKind, CHAMPION, Schema};

use super::guests::of_model;
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::invocation::{CHAMPION_MODEL, CHAMPION_STATE, ChampionSpec, ChampionStatus, InputRef, ModelGuests, Origin};
use crate::model::RegisteredModel;
use crate::overlap::Overlap;
use crate::predict;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::sandbox::Component;
use crate::test_rows::TestHashes;

/// Checks, before any training, that the champion of a shared registry is available on this
/// machine. A single missing part is no error, because this run may make it again. The parts are
/// not read.
///
/// # Errors
/// [`RunError::ChampionMissing`], or an error of the registry or the store.
pub(crate) fn is_within_reach(run: &Run) -> Result<(), RunError> {
    let (home, model) = (&run.request.home, run.request.manifest.model.as_str());
    if home.has_own_registry() {
        return Ok(());
    }
    let Some(version) = home.registry.alias(model, CHAMPION)? else { return Ok(()) };
    let mut missing = None;
    for part in home.registry.version(model, version)?.references.iter().filter(|part| part.needed) {
        if home.artifacts.reaches(part.kind, &part.digest)? {
            return Ok(());
        }
        missing = missing.or_else(|| Some(format!("{} `{}` ({})", part.kind, part.digest, part.role)));
    }
    let Some(part) = missing else { return Ok(()) };
    let reason = format!("none of its parts is available, such as {part}");
    Err(RunError::ChampionMissing { model: model.to_owned(), version, reason })
}

/// Returns the status of the champion. A champion that cannot be loaded is an error, and never
/// counts as no champion.
pub(super) fn status(
    run: &Run,
    candidate: &Candidate,
    (schema, task): (&Schema, &Task),
    hashes: &TestHashes,
    inputs: &mut Vec<InputRef>,
    execution: &mut Execution,
) -> Result<ChampionStatus, RunError> {
    let (home, name) = (&run.request.home, run.request.manifest.model.as_str());
    let Some(version) = home.registry.alias(name, CHAMPION)? else { return Ok(ChampionStatus::Absent) };
    if candidate.version == Some(version) {
        return Ok(ChampionStatus::Itself { version });
    }
    let champion = home.registry.version(name, version)?;
    champion.check_runnable()?;
    let model: RegisteredModel = serde_json::from_value(champion.contents).map_err(|reason| {
        StageFault::host(format!("cannot read the champion, version {version} of `{name}`: {reason}"))
    })?;
    let (transformation, training) = match load(run, &model, schema, task)? {
        Ok(components) => components,
        Err(reason) if run.request.manifest.gates.champion_unreadable == ChampionUnreadable::Error => {
            let message = format!(
                "the champion (version {version} of `{name}`) cannot read today's table: {reason}; with `champion-unreadable = \"absolute-gates\"` under [gates] the absolute gates decide"
            );
            let stage = World::Evaluation.into();
            return Err(StageFault::Data { stage, message, column: None, row: None, value: None }.into());
        }
        Err(reason) => return Ok(ChampionStatus::Unreadable { version, model: model.model, reason }),
    };
    for (role, digest) in [(CHAMPION_STATE, model.state), (CHAMPION_MODEL, model.model)] {
        let from = Origin::Version { model: name.to_owned(), version };
        inputs.push(InputRef { role: role.to_owned(), kind: ArtifactKind::Blob, digest, from });
    }
    // The champion's faults are reported for the stages of the candidate.
    let guest = |component: &Component| {
        let graph = &run.request.manifest.graph;
        let step = candidate.training.line.get(&component.world).and_then(|id| graph.step(id));
        of_model(run, &model, component, run.request.manifest.stage_of(step.unwrap_or(&candidate.training)).limits)
    };
    let guests = ModelGuests { transformation: guest(&transformation), training: guest(&training) };
    execution.session.components.extend([transformation, training]);
    let overlap = Overlap::of(Some(hashes), home.registry.row_memory(name, version)?.as_ref());
    let (features, task, importance) = (model.features(), model.task, model.importance);
    Ok(ChampionStatus::Readable(Box::new(ChampionSpec { version, guests, features, task, importance, overlap })))
}

type Components = (Arc<Component>, Arc<Component>);

/// Returns the components of a champion, or the reason why it cannot predict rows of the table.
fn load(
    run: &Run,
    model: &RegisteredModel,
    schema: &Schema,
    task: &Task,
) -> Result<Result<Components, String>, StageFault> {
    if let Some(reason) = model.cannot_read(schema, task) {
        return Ok(Err(reason));
    }
    match predict::components(model, &*run.request.sandbox, &run.request.home.artifacts) {
        // A model of an older contract cannot be called, even if it fits the table.
        Err(fault @ StageFault::Outdated { .. }) => Ok(Err(fault.to_string())),
        components => components.map(Ok),
    }
}
