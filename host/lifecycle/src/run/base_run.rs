//! The base run: the run whose artifacts another one starts from, if they still fit its manifest.
//!
//! The six `stage run` commands in a row are equal to one `run`: the base run of each is the run
//! before it. The artifacts of the whole chain of base runs are taken, and those of a later run
//! replace those of an earlier one.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;
use stagewright_manifest::{SEGMENTS, Step, StepId, World};
use stagewright_store::{Home, Run as RunRecord, RunId, StoreError};

use crate::fault::StageFault;
use crate::run::artifacts::RunArtifacts;
use crate::run::config::{BASE_RUN, RESUMES};
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::stages::segments;

/// Returns the artifacts of the base runs.
pub(crate) fn artifacts(run: &Run) -> Result<RunArtifacts, RunError> {
    let mut artifacts = RunArtifacts::new(run.request.home.artifacts.clone());
    let Some(upon) = run.request.base_run.clone() else { return Ok(artifacts) };
    let manifest = &run.request.manifest;
    let needed = needed(run);
    let now = manifest.effective();
    let child = run.request.child.as_ref().filter(|child| child.is_segment);
    let is_segment = child.is_some();
    // Oldest first.
    for record in chain(run, upon)?.iter().rev() {
        for stage in run.request.home.registry.stages(&record.run_id)? {
            if stage.name == SEGMENTS && is_segment {
                artifacts.add(&StepId::new(SEGMENTS).map_err(StageFault::host)?, stage);
                continue;
            }
            // A step that is not in the manifest any more is skipped.
            let step = StepId::new(&stage.name).ok().and_then(|id| manifest.graph.step(&id));
            let Some(step) = step.filter(|step| needed.contains(&step.id) && !stage.outputs.is_empty()) else {
                continue;
            };
            let world = step.world;
            // A model of an earlier training does not belong to rows that a later run transformed.
            let outdated = manifest.graph.with_followers(&step.id);
            artifacts.retain(|made_by| !outdated.contains(made_by));
            if world.contract().is_learnt {
                let made_by = (stage.component.as_str(), stage.digest);
                let component = run.component(step);
                check(step, record, made_by, (component.name.as_str(), component.digest), &now)?;
            }
            if world == World::Evaluation {
                artifacts.evaluated_under(record.config.clone());
            }
            artifacts.add(&step.id, stage);
        }
    }
    match child {
        Some(child) => narrowed(run, artifacts, &child.name),
        None => Ok(artifacts),
    }
}

/// Returns the steps whose artifacts the run needs and does not make itself.
fn needed(run: &Run) -> BTreeSet<&StepId> {
    let mut needed: BTreeSet<&StepId> = BTreeSet::new();
    // Steps are in an order in which each follows those that it waits for.
    for step in run.request.manifest.graph.steps().iter().rev() {
        if run.is_requested(step) || needed.contains(&step.id) {
            needed.extend(step.inputs.iter().map(|input| &input.step).chain(&step.after));
        }
    }
    needed.retain(|id| run.request.manifest.graph.step(id).is_none_or(|step| !run.is_requested(step)));
    needed
}

/// Returns a run and its chain of base runs, newest first.
fn chain(run: &Run, upon: RunId) -> Result<Vec<RunRecord>, RunError> {
    let mut chain: Vec<RunRecord> = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(upon);
    while let Some(id) = next.filter(|id| seen.insert(id.clone())) {
        let record = run.request.home.registry.run(id.as_str())?;
        next = record.config.get(BASE_RUN).and_then(Value::as_str).and_then(|id| id.parse().ok());
        chain.push(record);
    }
    Ok(chain)
}

/// Returns a resumed run and the chain of runs that it resumed itself, newest first.
pub(crate) fn resumed(home: &Home, run: Option<RunId>) -> Result<Vec<RunId>, StoreError> {
    let mut chain: Vec<RunId> = Vec::new();
    let mut next = run;
    while let Some(id) = next.filter(|id| !chain.contains(id)) {
        let config = home.registry.run(id.as_str())?.config;
        next = config.get(RESUMES).and_then(Value::as_str).and_then(|id| id.parse().ok());
        chain.push(id);
    }
    Ok(chain)
}

/// Fails if parts of a model would not belong together: the state or model of a component under
/// another component or other parameters.
fn check(
    step: &Step,
    record: &RunRecord,
    recorded: (&str, stagewright_store::Digest),
    named: (&str, stagewright_store::Digest),
    now: &Value,
) -> Result<(), RunError> {
    let differs = |recorded: String, named: String| RunError::OtherComponent {
        stage: step.stage.clone(),
        run: record.run_id.clone(),
        recorded,
        named,
    };
    if recorded.1 != named.1 {
        return Err(differs(format!("`{}` ({})", recorded.0, recorded.1), format!("`{}` ({})", named.0, named.1)));
    }
    let (then_parameters, now_parameters) = (parameters(&record.config, &step.stage), parameters(now, &step.stage));
    if then_parameters != now_parameters {
        return Err(differs(format!("with {then_parameters}"), format!("{now_parameters}")));
    }
    if step.world == World::Training {
        for key in ["seed", "as-of", "task"] {
            let (then, now) = (&record.config[key], &now[key]);
            if then != now {
                return Err(differs(format!("with `{key}` {then}"), now.to_string()));
            }
        }
    }
    Ok(())
}

/// Returns the parameters of a stage's component in an effective configuration.
fn parameters(config: &Value, stage: &StepId) -> Value {
    let section = &config["stages"][stage.as_str()];
    let component = section["component"].as_str().unwrap_or_default();
    let mut parameters = config["components"][component]["parameters"].clone();
    if let (Some(all), Some(own)) = (parameters.as_object_mut(), section["parameters"].as_object()) {
        all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    parameters
}

/// Returns the artifacts that a child run of a segment starts from: those of the parent, with the
/// segment in place of the table.
///
/// # Errors
/// The parent has no such segment.
pub(crate) fn narrowed(run: &Run, mut artifacts: RunArtifacts, name: &str) -> Result<RunArtifacts, RunError> {
    let (segments, table) = (segments_id()?, run.request.manifest.table_step().clone());
    let artifact = segments::table_name(name);
    let missing = || RunError::MissingArtifact { stage: segments.clone(), name: artifact.clone() };
    let record = artifacts.of_name(&segments, &artifact).cloned().ok_or_else(missing)?;
    artifacts.narrow(&table, segments, record);
    Ok(artifacts)
}

/// Returns the name of the step that divides the table into segments.
///
/// # Errors
/// Never: the name is a valid constant.
pub(crate) fn segments_id() -> Result<StepId, StageFault> {
    StepId::new(SEGMENTS).map_err(StageFault::host)
}
