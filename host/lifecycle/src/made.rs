//! The things that a run has to work with: the artifacts of its steps so far, and of the runs that
//! it builds on.

use std::collections::BTreeMap;

use stagewright_evaluation::report;
use stagewright_manifest::World;
use stagewright_store::{ArtifactRecord, ArtifactStore, Reference, StageRecord};

use crate::artifact::{Artifact, Place, Readable};
use crate::run::RunError;
use crate::summary::StageSummary;

/// The artifacts that were made so far.
pub(crate) struct Made {
    store: ArtifactStore,
    artifacts: BTreeMap<(World, String), ArtifactRecord>,
    /// The stages that made it, as they were recorded.
    pub(crate) stages: BTreeMap<World, StageRecord>,
    /// The configuration of the run whose evaluation was taken over.
    pub(crate) evaluated_under: Option<serde_json::Value>,
    /// The stages of this run alone, in order.
    pub(crate) told: Vec<StageSummary>,
}

impl Made {
    /// Nothing so far.
    pub(crate) fn nothing(store: ArtifactStore) -> Self {
        Self { store, artifacts: BTreeMap::new(), stages: BTreeMap::new(), evaluated_under: None, told: Vec::new() }
    }

    /// Adds what a stage made.
    pub(crate) fn add(&mut self, world: World, stage: StageRecord) {
        let named = stage.outputs.iter().map(|output| ((world, output.name.clone()), output.clone()));
        self.artifacts.extend(named);
        self.stages.insert(world, stage);
    }

    /// Forgets the artifacts of the worlds that are not wanted.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(World) -> bool) {
        self.artifacts.retain(|(world, _), _| is_wanted(*world));
    }

    /// Whether this run did the stage itself.
    pub(crate) fn ran(&self, world: World) -> bool {
        self.told.iter().any(|stage| stage.name == world.as_str())
    }

    /// The record of an artifact.
    pub(crate) fn find(&self, place: Place) -> Result<&ArtifactRecord, RunError> {
        self.artifacts.get(&(place.world, place.name.to_owned())).ok_or_else(|| place.missing())
    }

    /// An artifact, opened.
    pub(crate) fn open<T: Readable>(&self, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        T::open(&self.store, &self.find(artifact.place)?.digest, artifact.place)
    }

    /// References to those artifacts that are there, which nothing but an explanation needs.
    pub(crate) fn explaining(&self, wanted: &[Place]) -> Vec<Reference> {
        let reference = |&place: &Place| {
            let ArtifactRecord { kind, digest, .. } = *self.find(place).ok()?;
            Some(Reference { role: place.role(), kind, digest, needed: false })
        };
        wanted.iter().filter_map(reference).collect()
    }

    /// The artifacts that the candidate comes from. Findings of a validation let a run go on, and
    /// change nothing of what it makes.
    pub(crate) fn ancestors(&self) -> Vec<report::Artifact> {
        let is_ancestor = |world: World| world < World::Evaluation && world != World::Validation;
        let earlier = self.artifacts.iter().filter(|((made_by, _), _)| is_ancestor(*made_by));
        let named = earlier.map(|((made_by, name), record)| report::Artifact {
            stage: made_by.to_string(),
            name: name.clone(),
            kind: record.kind.to_string(),
            digest: record.digest.to_string(),
        });
        named.collect()
    }
}
