//! The artifacts that a run can read: those of its own steps so far, and those of its base run.

use std::collections::BTreeMap;
use std::sync::Arc;

use stagewright_evaluation::report;
use stagewright_manifest::{Step, StepId, World};
use stagewright_store::{ArtifactRecord, ArtifactStore, Reference, StageRecord};

use crate::artifact::{Artifact, Readable, SIGNATURE, TABLE};
use crate::artifact_names::ArtifactName;
use crate::run_error::RunError;
use crate::summary::StageSummary;

/// The steps that data comes through, one for each world.
pub(crate) type Line = BTreeMap<World, StepId>;

/// The artifacts so far. A clone is cheap; steps that run at the same time have one each.
#[derive(Clone)]
pub(crate) struct RunArtifacts {
    store: ArtifactStore,
    contents: Arc<Contents>,
    /// The step for each world whose artifacts are read. For a world that is missing here, it is
    /// the step with the world's name.
    line: Line,
}

#[derive(Clone, Default)]
struct Contents {
    /// The step that divided the rows, where the table is a segment.
    segment_of: Option<StepId>,
    artifacts: BTreeMap<(StepId, String), ArtifactRecord>,
    /// The records of the steps that made them.
    steps: BTreeMap<StepId, Arc<StageRecord>>,
    /// The configuration of the run that made the evaluation, if it was not this run.
    evaluated_under: Option<serde_json::Value>,
    /// The summaries of this run's own steps, in order.
    summaries: Vec<StageSummary>,
}

impl RunArtifacts {
    /// Creates an empty set.
    pub(crate) fn new(store: ArtifactStore) -> Self {
        Self { store, contents: Arc::default(), line: Line::new() }
    }

    /// Returns the same artifacts, read along the line of a step: the artifacts of a world are
    /// those of the line's step.
    #[must_use]
    pub(crate) fn along(&self, line: &Line) -> Self {
        Self { line: line.clone(), ..self.clone() }
    }

    /// Returns the same artifacts, read by a step that comes after `step`.
    #[must_use]
    pub(crate) fn after(&self, step: &Step) -> Self {
        let mut artifacts = self.along(&step.line);
        artifacts.line.insert(step.world, step.id.clone());
        artifacts
    }

    /// Returns the step of a world.
    pub(crate) fn step_of(&self, world: World) -> StepId {
        self.line.get(&world).cloned().unwrap_or_else(|| world.into())
    }

    /// Returns the step that made an artifact.
    pub(crate) fn maker_of(&self, place: ArtifactName) -> StepId {
        match &self.contents.segment_of {
            Some(segments) if place == TABLE.name => segments.clone(),
            _ => self.step_of(place.world),
        }
    }

    /// Replaces the table that `table` made by a segment of it. Of the other artifacts of that
    /// step, only the signature is kept, because they describe the whole table.
    pub(crate) fn narrow(&mut self, table: &StepId, segments: StepId, segment: ArtifactRecord) {
        let contents = Arc::make_mut(&mut self.contents);
        contents.artifacts.retain(|(made_by, name), _| made_by != table || name == SIGNATURE.name.name);
        contents.artifacts.insert((table.clone(), TABLE.name.name.to_owned()), segment);
        contents.segment_of = Some(segments);
    }

    /// Adds the artifacts of a step.
    pub(crate) fn add(&mut self, step: &StepId, record: StageRecord) {
        let contents = Arc::make_mut(&mut self.contents);
        let named = record.outputs.iter().map(|output| ((step.clone(), output.name.clone()), output.clone()));
        contents.artifacts.extend(named);
        contents.steps.insert(step.clone(), Arc::new(record));
    }

    /// Adds the summary of a step of this run.
    pub(crate) fn add_summary(&mut self, summary: StageSummary) {
        Arc::make_mut(&mut self.contents).summaries.push(summary);
    }

    /// Returns the summaries of this run's own steps, in order.
    pub(crate) fn summaries(&self) -> &[StageSummary] {
        &self.contents.summaries
    }

    /// Removes the artifacts of steps for which `is_wanted` does not hold.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&StepId) -> bool) {
        Arc::make_mut(&mut self.contents).artifacts.retain(|(step, _), _| is_wanted(step));
    }

    /// Notes the configuration of the run that made the evaluation.
    pub(crate) fn evaluated_under(&mut self, config: serde_json::Value) {
        Arc::make_mut(&mut self.contents).evaluated_under = Some(config);
    }

    /// Returns the configuration of the run that made the evaluation, if it was not this run.
    pub(crate) fn evaluation_config(&self) -> Option<&serde_json::Value> {
        self.contents.evaluated_under.as_ref()
    }

    /// Returns the record of a step, if it is there.
    pub(crate) fn record(&self, step: &StepId) -> Option<&StageRecord> {
        self.contents.steps.get(step).map(Arc::as_ref)
    }

    /// Whether this run itself did a step of this world.
    pub(crate) fn has_run(&self, world: World) -> bool {
        self.contents.summaries.iter().any(|step| step.world == world)
    }

    /// Returns the record of an artifact.
    pub(crate) fn find(&self, place: ArtifactName) -> Result<&ArtifactRecord, RunError> {
        let step = self.step_of(place.world);
        let missing = || RunError::MissingArtifact { stage: step.clone(), name: place.name.to_owned() };
        self.contents.artifacts.get(&(step.clone(), place.name.to_owned())).ok_or_else(missing)
    }

    /// Returns an artifact of a step by its name, if it is there.
    pub(crate) fn of_name(&self, step: &StepId, name: &str) -> Option<&ArtifactRecord> {
        self.contents.artifacts.get(&(step.clone(), name.to_owned()))
    }

    /// Opens an artifact of a step.
    pub(crate) fn of_step<T: Readable>(&self, step: &StepId, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        let name = artifact.name.name;
        let missing = || RunError::MissingArtifact { stage: step.clone(), name: name.to_owned() };
        T::open(&self.store, &self.of_name(step, name).ok_or_else(missing)?.digest, artifact.name)
    }

    /// Opens an artifact.
    pub(crate) fn open<T: Readable>(&self, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        T::open(&self.store, &self.find(artifact.name)?.digest, artifact.name)
    }

    /// Returns references to those of the artifacts that are there. They explain a version, which
    /// does not need them to predict.
    pub(crate) fn references(&self, wanted: &[ArtifactName]) -> Vec<Reference> {
        let reference = |&place: &ArtifactName| {
            let ArtifactRecord { kind, digest, .. } = *self.find(place).ok()?;
            Some(Reference { role: place.role(), kind, digest, needed: false })
        };
        wanted.iter().filter_map(reference).collect()
    }

    /// Returns the artifacts that the candidate was made from. Findings of a validation are left
    /// out: they let a run continue, and change nothing in the candidate.
    pub(crate) fn ancestors(&self) -> Vec<report::ReportArtifact> {
        let worlds = World::all().filter(|world| *world < World::Evaluation && *world != World::Validation);
        let made_by = |world: World| {
            let step = self.step_of(world);
            let of_step = self.contents.artifacts.range((step.clone(), String::new())..);
            of_step.take_while(move |((made_by, _), _)| *made_by == step).map(|((made_by, name), record)| {
                report::ReportArtifact {
                    stage: made_by.to_string(),
                    name: name.clone(),
                    kind: record.kind.to_string(),
                    digest: record.digest.to_string(),
                }
            })
        };
        worlds.flat_map(made_by).collect()
    }
}
