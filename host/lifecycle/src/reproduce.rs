//! The reproduction of a run: its steps are executed again from the record, and compared with it.
//!
//! This module uses no registry. It reads a step from its record and executes it on the contents of
//! the artifact store. What the step makes is compared and discarded.

mod compare;
mod error;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use stagewright_data::{Content, Decode};
use stagewright_manifest::{Ceilings, StepId, World};
use stagewright_store::{
    ArtifactKind, ArtifactRecord, ArtifactStore, Digest, FAILED, StageRecord, Staging, StoreError,
};

use crate::artifact::COMPONENTS;
use crate::execution::Session;
use crate::fault::StageFault;
use crate::invocation::{CONTRACT, FORMAT, HOST_SEMANTICS, InputRef, Invocation, Outcome, SOURCE, SourceWork, Work};
use crate::limits::Cancel;
use crate::model::ModelComponent;
use crate::observer::Observer;
use crate::sandbox::{Component, Sandbox};
use crate::stages::execute_unpublished;
use crate::summary::StageSummary;

pub use compare::Place;
pub use error::ReproduceError;

/// The live objects that steps are executed with again.
#[derive(Clone)]
pub struct ReproduceEnvironment {
    /// The store with the recorded artifacts.
    pub artifacts: ArtifactStore,
    /// The sandbox that runs components.
    pub sandbox: Arc<dyn Sandbox>,
    /// The decoder of files.
    pub decoder: Arc<dyn Decode>,
    /// The observer.
    pub observer: Arc<dyn Observer>,
    /// The number of instances that may run at once.
    pub workers: usize,
    /// The token that cancels it.
    pub cancel: Cancel,
    /// The highest limits of a stage here, whatever is recorded.
    pub ceilings: Ceilings,
    /// The files that the run read, by the names of its sources, where their contents are not
    /// artifacts.
    pub sources: BTreeMap<String, PathBuf>,
}

/// The result of a reproduction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reproduction {
    /// Whether everything is equal to the record.
    pub identical: bool,
    /// The first difference. No step was executed after it.
    pub first_difference: Option<FirstDifference>,
    /// The steps that made the same artifacts again.
    pub steps: Vec<Repeated>,
    /// The steps that failed in the run, and so made nothing to compare with.
    pub skipped: Vec<String>,
}

impl Default for Reproduction {
    /// Returns the result for no steps.
    fn default() -> Self {
        Self { identical: true, first_difference: None, steps: Vec::new(), skipped: Vec::new() }
    }
}

/// A step that made the same artifacts again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repeated {
    /// The step.
    pub step: StepId,
    /// The number of artifacts that were compared.
    pub artifacts: usize,
    /// Wall time in milliseconds.
    pub wall_ms: f64,
    /// CPU time in milliseconds.
    pub cpu_ms: f64,
}

/// The role of something in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A component that it calls.
    Component,
    /// An artifact or a file that it reads.
    Input,
    /// An artifact that it makes.
    Output,
}

/// A difference from the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstDifference {
    /// The step.
    pub step: StepId,
    /// The role of the thing that differs.
    pub part: Part,
    /// Its name: `STEP.NAME` for an artifact, the role of an input, or the name of a component.
    pub artifact: String,
    /// The kind of artifact.
    pub kind: ArtifactKind,
    /// The recorded digest; `None` if the step made an artifact that is not recorded.
    pub recorded: Option<Digest>,
    /// The digest that was found or made; `None` if there is none.
    pub found: Option<Digest>,
    /// Whether the step made the recorded artifact, but the stored bytes are damaged.
    pub is_damaged: bool,
    /// The first place that differs, if both contents can be read.
    #[serde(flatten)]
    pub place: Option<Place>,
}

/// A step, read from its record.
struct RecordedStep<'a> {
    invocation: Invocation,
    record: &'a StageRecord,
}

/// Executes the steps of a run again, in order, and compares their artifacts with the record.
///
/// It stops at the first difference. It publishes and records nothing.
///
/// # Errors
/// [`ReproduceError`] if the question cannot be answered: something is missing, another version of
/// the program made the artifacts, or a step fails.
pub fn reproduce(stages: &[StageRecord], again: &ReproduceEnvironment) -> Result<Reproduction, ReproduceError> {
    let steps = read(stages)?;
    steps.iter().try_for_each(|step| refuse_missing(step, again))?;
    let mut result = Reproduction {
        skipped: stages.iter().filter(|stage| has_failed(stage)).map(|stage| stage.name.clone()).collect(),
        ..Reproduction::default()
    };
    let mut compared = HashSet::new();
    let called: HashSet<Digest> =
        steps.iter().flat_map(|step| step.invocation.guests()).map(|guest| guest.component).collect();
    for step in &steps {
        match repeat(step, again, &called, &mut compared)? {
            Ok(repeated) => result.steps.push(repeated),
            Err(difference) => {
                (result.identical, result.first_difference) = (false, Some(difference));
                break;
            }
        }
    }
    Ok(result)
}

fn has_failed(stage: &StageRecord) -> bool {
    stage.status == FAILED
}

/// Reads the invocations of the steps, if this program executes them as the recording one did.
fn read(stages: &[StageRecord]) -> Result<Vec<RecordedStep<'_>>, ReproduceError> {
    let steps: Vec<_> = stages.iter().filter(|stage| !has_failed(stage)).map(read_one).collect::<Result<_, _>>()?;
    if steps.is_empty() { Err(ReproduceError::Nothing) } else { Ok(steps) }
}

/// Returns the invocations of the steps that completed, in order.
///
/// # Errors
/// As for [`reproduce`], as far as the records show.
pub(crate) fn invocations(stages: &[StageRecord]) -> Result<Vec<Invocation>, ReproduceError> {
    Ok(read(stages)?.into_iter().map(|step| step.invocation).collect())
}

fn read_one(record: &StageRecord) -> Result<RecordedStep<'_>, ReproduceError> {
    let stage = || record.name.clone();
    let invocation = record.invocation.clone().ok_or_else(|| ReproduceError::NoInvocation { stage: stage() })?;
    let invocation: Invocation = serde_json::from_value(invocation)
        .map_err(|reason| ReproduceError::Unreadable { stage: stage(), reason: reason.to_string() })?;
    let refused = |what, recorded: &dyn std::fmt::Display, own: &dyn std::fmt::Display| {
        let (recorded, own) = (recorded.to_string(), own.to_string());
        Err(ReproduceError::OtherHost { stage: invocation.step.clone(), what, recorded, own })
    };
    if invocation.format != FORMAT {
        return refused("invocation format", &invocation.format, &FORMAT);
    }
    if invocation.host != HOST_SEMANTICS {
        return refused("host semantics", &invocation.host, &HOST_SEMANTICS);
    }
    for guest in invocation.guests() {
        if guest.contract != CONTRACT {
            return refused("contract", &guest.contract, &CONTRACT);
        }
    }
    if (invocation.guest.component, invocation.step.to_string()) != (record.digest, stage()) {
        let reason = "it names another stage or component than the record".to_owned();
        return Err(ReproduceError::Unreadable { stage: stage(), reason });
    }
    Ok(RecordedStep { invocation, record })
}

/// Fails before any long work if something that a step needs is missing.
fn refuse_missing(step: &RecordedStep<'_>, again: &ReproduceEnvironment) -> Result<(), ReproduceError> {
    let Invocation { inputs, step: id, work, .. } = &step.invocation;
    for guest in step.invocation.guests() {
        if !again.artifacts.reaches(ArtifactKind::Blob, &guest.component)? {
            let (name, digest) = (guest.name.clone(), guest.component);
            return Err(ReproduceError::NoComponent { stage: id.clone(), name, digest });
        }
    }
    let source = match work {
        Work::Ingestion(work) => work.source.as_ref(),
        _ => None,
    };
    for InputRef { role, kind, digest, .. } in inputs {
        let is_kept = again.artifacts.reaches(*kind, digest)?;
        let file = source.and_then(|source| again.sources.get(&source.name));
        match (file, role.as_str()) {
            (None, SOURCE) if !is_kept => return Err(ReproduceError::NoSource { digest: *digest, reason: None }),
            (_, SOURCE) => {}
            _ if !is_kept => {
                let (role, digest) = (role.clone(), *digest);
                return Err(ReproduceError::NoInput { stage: id.clone(), role, digest });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The result for a step: a value, or the first difference.
type Checked<T> = Result<Result<T, FirstDifference>, ReproduceError>;

/// Executes a step again. `called` has the components of all steps, and `compared` the artifacts of
/// earlier steps that were equal.
fn repeat(
    step: &RecordedStep<'_>,
    again: &ReproduceEnvironment,
    called: &HashSet<Digest>,
    compared: &mut HashSet<(ArtifactKind, Digest)>,
) -> Checked<Repeated> {
    let mut session = match session(step, again, compared)? {
        Ok(session) => session,
        Err(difference) => return Ok(Err(difference)),
    };
    let mut invocation = step.invocation.clone();
    for guest in invocation.guests_mut() {
        guest.limits = guest.limits.at_most(again.ceilings.of(guest.world));
    }
    if let Work::Ingestion(work) = &step.invocation.work
        && let Some(source) = &work.source
    {
        session.source = match source_file(source, step, again)? {
            Ok(file) => file,
            Err(difference) => return Ok(Err(difference)),
        };
    }
    let (outcome, staging) = execute_unpublished(&invocation, session)?;
    if let Some(fault) = outcome.fault {
        let is_unknown = fault.to_string().contains(&ReproduceError::UnknownSource.to_string());
        return Err(if is_unknown { ReproduceError::UnknownSource } else { fault.into() });
    }
    let (id, world) = (invocation.step.clone(), invocation.guest.world);
    again.observer.stage_finished(&id, &StageSummary::of(world, step.record, &outcome, Some(invocation)));
    compare_outputs(step, (&outcome, &staging), again, called, compared)
}

/// Returns the live objects for a step, after verifying everything that it reads.
fn session(
    step: &RecordedStep<'_>,
    again: &ReproduceEnvironment,
    compared: &HashSet<(ArtifactKind, Digest)>,
) -> Checked<Session> {
    let ReproduceEnvironment { artifacts, sandbox, decoder, observer, workers, cancel, .. } = again;
    for InputRef { role, kind, digest, .. } in &step.invocation.inputs {
        let is_file = role == SOURCE && !artifacts.reaches(*kind, digest)?;
        if is_file || compared.contains(&(*kind, *digest)) {
            continue;
        }
        if let Some(found) = damaged(artifacts, *kind, digest)? {
            return Ok(Err(step.differs(Part::Input, role.clone(), *kind, Some(*digest), found)));
        }
    }
    let mut components: Vec<Arc<Component>> = Vec::new();
    for guest in step.invocation.guests() {
        if let Some(found) = damaged(artifacts, ArtifactKind::Blob, &guest.component)? {
            let (part, kind, recorded) = (Part::Component, ArtifactKind::Blob, Some(guest.component));
            return Ok(Err(step.differs(part, guest.name.clone(), kind, recorded, found)));
        }
        let component = ModelComponent {
            name: guest.name.clone(),
            digest: guest.component,
            stubs: guest.stubs.iter().cloned().collect(),
            parameters: serde_json::Value::Null,
        };
        components.push(Arc::new(sandbox.restore(guest.world, &component, artifacts)?));
    }
    Ok(Ok(Session {
        artifacts: artifacts.clone(),
        sandbox: sandbox.clone(),
        decoder: decoder.clone(),
        components,
        source: None,
        observer: observer.clone(),
        workers: *workers,
        cancel: cancel.clone(),
    }))
}

/// Returns the digest of stored bytes that differ from their name, as `Some(digest)`, or as
/// `Some(None)` if they cannot be read. `None` if they are whole.
fn damaged(
    artifacts: &ArtifactStore,
    kind: ArtifactKind,
    digest: &Digest,
) -> Result<Option<Option<Digest>>, StoreError> {
    match artifacts.verify(kind, digest) {
        Ok(_) => Ok(None),
        Err(StoreError::DigestDiffers { actual, .. }) => Ok(Some(Some(actual))),
        Err(StoreError::Damaged { .. }) => Ok(Some(None)),
        Err(error) => Err(error),
    }
}

/// A file that a step reads with its content, or the reason why it cannot be read.
type SourceFile = Result<(PathBuf, Content), StageFault>;

/// Returns the file of a source whose content is not an artifact; `None` if it is one.
fn source_file(
    source: &SourceWork,
    step: &RecordedStep<'_>,
    again: &ReproduceEnvironment,
) -> Checked<Option<SourceFile>> {
    let Some(input) = step.invocation.inputs.iter().find(|input| input.role == SOURCE) else {
        // This is not yet an error: the component may not open the source.
        let (stage, message) = (step.invocation.step.clone(), ReproduceError::UnknownSource.to_string());
        return Ok(Ok(Some(Err(StageFault::Data { stage, message, column: None, row: None, value: None }))));
    };
    let is_kept = again.artifacts.reaches(input.kind, &input.digest)?;
    // The response of a server is an output of the step. The content of a file, which was imported
    // with the run, is read as a file.
    if is_kept && step.record.outputs.iter().any(|output| output.digest == input.digest) {
        return Ok(Ok(None));
    }
    let kept = is_kept.then(|| again.artifacts.path(input.kind, &input.digest));
    let gone = |reason| ReproduceError::NoSource { digest: input.digest, reason };
    let path = kept.or_else(|| again.sources.get(&source.name).cloned()).ok_or_else(|| gone(None))?;
    let cancel = again.cancel.clone();
    let interrupt = stagewright_data::Interrupt::when(move || cancel.is_cancelled());
    let content = Content::of(&source.reading.at(path.clone()), &interrupt).map_err(|reason| match reason {
        stagewright_data::DataError::Interrupted => {
            ReproduceError::Stage(StageFault::Cancelled { stage: World::Ingestion.into() })
        }
        reason => gone(Some(reason.to_string())),
    })?;
    if content.digest != input.digest {
        let (recorded, found) = (Some(input.digest), Some(content.digest));
        return Ok(Err(step.differs(Part::Input, input.role.clone(), input.kind, recorded, found)));
    }
    Ok(Ok(Some(Ok((path, content)))))
}

impl RecordedStep<'_> {
    fn differs(
        &self,
        part: Part,
        artifact: String,
        kind: ArtifactKind,
        recorded: Option<Digest>,
        found: Option<Digest>,
    ) -> FirstDifference {
        let step = self.invocation.step.clone();
        FirstDifference { step, part, artifact, kind, recorded, found, is_damaged: false, place: None }
    }

    /// Returns the name of one of its artifacts in a run.
    fn artifact(&self, output: &ArtifactRecord) -> String {
        format!("{}.{}", self.record.name, output.name)
    }
}

/// Whether an output is a component, which a run keeps with the model.
fn is_kept_component(step: &RecordedStep<'_>, output: &ArtifactRecord) -> bool {
    let made = (step.invocation.guest.world, output.name.as_str());
    COMPONENTS.iter().any(|(_, artifact)| (artifact.name.world, artifact.name.name) == made)
}

fn compare_outputs(
    step: &RecordedStep<'_>,
    (outcome, staging): (&Outcome, &Staging),
    again: &ReproduceEnvironment,
    called: &HashSet<Digest>,
    compared: &mut HashSet<(ArtifactKind, Digest)>,
) -> Checked<Repeated> {
    let made = |recorded: &ArtifactRecord| outcome.outputs.iter().find(|made| made.name == recorded.name);
    for recorded in &step.record.outputs {
        let (kind, digest) = (recorded.kind, recorded.digest);
        let is_stored = again.artifacts.reaches(kind, &digest)?;
        let stored = if is_stored { damaged(&again.artifacts, kind, &digest)? } else { None };
        let difference = |found| step.differs(Part::Output, step.artifact(recorded), kind, Some(digest), found);
        let made = match made(recorded) {
            Some(made) => made,
            // A kept component must have been called by some step.
            None if is_kept_component(step, recorded) && called.contains(&digest) => match stored {
                Some(found) => return Ok(Err(FirstDifference { is_damaged: true, ..difference(found) })),
                None => continue,
            },
            None => return Ok(Err(difference(None))),
        };
        let is_same = (made.kind, made.digest) == (kind, digest);
        match stored {
            None if is_same => {}
            None if made.kind != kind => return Ok(Err(difference(Some(made.digest)))),
            _ => {
                let place = is_stored.then(|| compare::first(&again.artifacts, staging, kind, (digest, made.digest)));
                let found = stored.filter(|_| is_same).unwrap_or(Some(made.digest));
                let place = place.transpose()?.flatten();
                return Ok(Err(FirstDifference {
                    is_damaged: stored.is_some() && is_same,
                    place,
                    ..difference(found)
                }));
            }
        }
        compared.insert((kind, digest));
    }
    let is_recorded = |made: &&ArtifactRecord| step.record.outputs.iter().any(|recorded| recorded.name == made.name);
    if let Some(new) = outcome.outputs.iter().find(|made| !is_recorded(made)) {
        return Ok(Err(step.differs(Part::Output, step.artifact(new), new.kind, None, Some(new.digest))));
    }
    Ok(Ok(Repeated {
        step: step.invocation.step.clone(),
        artifacts: outcome.outputs.len(),
        wall_ms: outcome.usage.wall_ms,
        cpu_ms: outcome.usage.cpu_ms,
    }))
}
