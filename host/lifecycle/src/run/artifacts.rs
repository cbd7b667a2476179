//! The things that a run has to work with: the artifacts of its steps so far, and of the runs that
//! it builds on.

use std::collections::BTreeMap;
use std::sync::Arc;

use stagewright_evaluation::report;
use stagewright_manifest::{Step, StepId, World};
use stagewright_store::{ArtifactRecord, ArtifactStore, Reference, StageRecord};

use crate::artifact::{Artifact, Readable, SIGNATURE, TABLE};
use crate::artifact_names::ArtifactName;
use crate::run_error::RunError;
use crate::summary::StageSummary;

/// The steps that something comes through, one for each world.
pub(crate) type Line = BTreeMap<World, StepId>;

/// The artifacts that were made so far. Cheap to clone: steps that work at once have one each.
#[derive(Clone)]
pub(crate) struct RunArtifacts {
    store: ArtifactStore,
    kept: Arc<Kept>,
    /// The steps whose artifacts are found by their world. Of a world that has none, it is the step
    /// that is named as the world.
    line: Line,
}

#[derive(Clone, Default)]
struct Kept {
    /// The step that dealt the rows out, where the table is a segment of what ingestion made.
    segment_of: Option<StepId>,
    artifacts: BTreeMap<(StepId, String), ArtifactRecord>,
    /// The steps that made it, as they were recorded.
    steps: BTreeMap<StepId, Arc<StageRecord>>,
    /// The configuration of the run whose evaluation was taken over.
    evaluated_under: Option<serde_json::Value>,
    /// The steps of this run alone, in order.
    told: Vec<StageSummary>,
}

impl RunArtifacts {
    /// Nothing so far.
    pub(crate) fn nothing(store: ArtifactStore) -> Self {
        Self { store, kept: Arc::default(), line: Line::new() }
    }

    /// The same, looked at from a step: the artifacts of a world are those that the step's data
    /// come through.
    #[must_use]
    pub(crate) fn along(&self, line: &Line) -> Self {
        Self { line: line.clone(), ..self.clone() }
    }

    /// The same, looked at from what comes after a step.
    #[must_use]
    pub(crate) fn after(&self, step: &Step) -> Self {
        let mut artifacts = self.along(&step.line);
        artifacts.line.insert(step.world, step.id.clone());
        artifacts
    }

    /// The step of a world.
    pub(crate) fn step_of(&self, world: World) -> StepId {
        self.line.get(&world).cloned().unwrap_or_else(|| world.into())
    }

    /// The step that made the artifact of a place.
    pub(crate) fn maker_of(&self, place: ArtifactName) -> StepId {
        match &self.kept.segment_of {
            Some(segments) if place == TABLE.name => segments.clone(),
            _ => self.step_of(place.world),
        }
    }

    /// Puts a segment in the place of the table that `table` made. What else that step made beside
    /// it and its signature is of the whole table, and not of the segment.
    pub(crate) fn narrow(&mut self, table: &StepId, segments: StepId, segment: ArtifactRecord) {
        let kept = Arc::make_mut(&mut self.kept);
        kept.artifacts.retain(|(made_by, name), _| made_by != table || name == SIGNATURE.name.name);
        kept.artifacts.insert((table.clone(), TABLE.name.name.to_owned()), segment);
        kept.segment_of = Some(segments);
    }

    /// Adds what a step made.
    pub(crate) fn add(&mut self, step: &StepId, record: StageRecord) {
        let kept = Arc::make_mut(&mut self.kept);
        let named = record.outputs.iter().map(|output| ((step.clone(), output.name.clone()), output.clone()));
        kept.artifacts.extend(named);
        kept.steps.insert(step.clone(), Arc::new(record));
    }

    /// Adds what is told of a step of this run.
    pub(crate) fn tell(&mut self, summary: StageSummary) {
        Arc::make_mut(&mut self.kept).told.push(summary);
    }

    /// The steps of this run alone, in order.
    pub(crate) fn told(&self) -> &[StageSummary] {
        &self.kept.told
    }

    /// Forgets the artifacts of the steps that are not wanted.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&StepId) -> bool) {
        Arc::make_mut(&mut self.kept).artifacts.retain(|(step, _), _| is_wanted(step));
    }

    /// Takes an evaluation over that was made under this configuration of a run.
    pub(crate) fn evaluated_under(&mut self, config: serde_json::Value) {
        Arc::make_mut(&mut self.kept).evaluated_under = Some(config);
    }

    /// The configuration of the run whose evaluation was taken over.
    pub(crate) fn evaluation_config(&self) -> Option<&serde_json::Value> {
        self.kept.evaluated_under.as_ref()
    }

    /// The record of a step, if it was made.
    pub(crate) fn record(&self, step: &StepId) -> Option<&StageRecord> {
        self.kept.steps.get(step).map(Arc::as_ref)
    }

    /// Whether this run did a step of this world itself.
    pub(crate) fn ran(&self, world: World) -> bool {
        self.kept.told.iter().any(|step| step.world == world)
    }

    /// The record of an artifact.
    pub(crate) fn find(&self, place: ArtifactName) -> Result<&ArtifactRecord, RunError> {
        let step = self.step_of(place.world);
        let missing = || RunError::MissingArtifact { stage: step.clone(), name: place.name.to_owned() };
        self.kept.artifacts.get(&(step.clone(), place.name.to_owned())).ok_or_else(missing)
    }

    /// An artifact of a step by its name, if it was made.
    pub(crate) fn named(&self, step: &StepId, name: &str) -> Option<&ArtifactRecord> {
        self.kept.artifacts.get(&(step.clone(), name.to_owned()))
    }

    /// An artifact of a step, opened.
    pub(crate) fn of_step<T: Readable>(&self, step: &StepId, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        let name = artifact.name.name;
        let missing = || RunError::MissingArtifact { stage: step.clone(), name: name.to_owned() };
        T::open(&self.store, &self.named(step, name).ok_or_else(missing)?.digest, artifact.name)
    }

    /// An artifact, opened.
    pub(crate) fn open<T: Readable>(&self, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        T::open(&self.store, &self.find(artifact.name)?.digest, artifact.name)
    }

    /// References to those artifacts that are there, which nothing but an explanation needs.
    pub(crate) fn explaining(&self, wanted: &[ArtifactName]) -> Vec<Reference> {
        let reference = |&place: &ArtifactName| {
            let ArtifactRecord { kind, digest, .. } = *self.find(place).ok()?;
            Some(Reference { role: place.role(), kind, digest, needed: false })
        };
        wanted.iter().filter_map(reference).collect()
    }

    /// The artifacts that the candidate comes from. Findings of a validation let a run go on, and
    /// change nothing of what it makes.
    pub(crate) fn ancestors(&self) -> Vec<report::ReportArtifact> {
        let worlds = World::all().filter(|world| *world < World::Evaluation && *world != World::Validation);
        let made_by = |world: World| {
            let step = self.step_of(world);
            let of_step = self.kept.artifacts.range((step.clone(), String::new())..);
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
