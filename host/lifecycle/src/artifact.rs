//! The artifacts of a run, each with the type of its content.

mod documents;

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use stagewright_data::{Signature, Task};
use stagewright_evaluation::report::{EvaluationReport, PreparationReport, ValidationReport};
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Blob, Digest, Table};

use crate::artifact_names as names;
use crate::artifact_names::ArtifactName;
use crate::fault::StageFault;
use crate::run_error::RunError;

pub(crate) use documents::{Decision, Segment, Segments};

/// An artifact with content of type `T`.
pub(crate) struct Artifact<T> {
    pub(crate) name: ArtifactName,
    kind: PhantomData<fn() -> T>,
}

impl<T> Artifact<T> {
    const fn new(name: ArtifactName) -> Self {
        Self { name, kind: PhantomData }
    }

    /// Returns the error for a missing artifact.
    pub(crate) fn missing(&self) -> RunError {
        RunError::MissingArtifact { stage: self.name.world.into(), name: self.name.name.to_owned() }
    }
}

/// A JSON document that holds a `T`.
pub(crate) struct Json<T>(PhantomData<fn() -> T>);

/// A report as a page.
pub(crate) enum Html {}

/// A table for other programs.
pub(crate) enum Csv {}

/// A type of content that stages read.
pub(crate) trait Readable {
    /// The opened content.
    type Opened;

    /// Opens an artifact of the store.
    fn open(artifacts: &ArtifactStore, digest: &Digest, name: ArtifactName) -> Result<Self::Opened, RunError>;
}

impl Readable for Table {
    type Opened = Self;

    fn open(artifacts: &ArtifactStore, digest: &Digest, _: ArtifactName) -> Result<Self, RunError> {
        Ok(artifacts.open_table(digest)?)
    }
}

impl Readable for Blob {
    type Opened = Self;

    fn open(artifacts: &ArtifactStore, digest: &Digest, _: ArtifactName) -> Result<Self, RunError> {
        Ok(artifacts.open_blob(digest)?)
    }
}

impl<T: DeserializeOwned> Readable for Json<T> {
    type Opened = T;

    fn open(artifacts: &ArtifactStore, digest: &Digest, name: ArtifactName) -> Result<T, RunError> {
        let document = artifacts.open_document(digest, Self::MEDIA_TYPE)?;
        let ArtifactName { world, name } = name;
        serde_json::from_slice(document.bytes())
            .map_err(|reason| StageFault::host(format!("cannot read `{name}` of stage `{world}`: {reason}")).into())
    }
}

/// A type of document that the host writes.
pub(crate) trait Document {
    /// The document's media type.
    const MEDIA_TYPE: &'static str;
}

impl<T> Document for Json<T> {
    const MEDIA_TYPE: &'static str = "application/json";
}

impl Document for Html {
    const MEDIA_TYPE: &'static str = "text/html";
}

impl Document for Csv {
    const MEDIA_TYPE: &'static str = "text/csv";
}

/// The importance of each feature, by its name.
pub(crate) type FeatureImportance = Vec<(String, f64)>;

pub(crate) const SIGNATURE: Artifact<Json<Signature>> = Artifact::new(names::SIGNATURE);
pub(crate) const TABLE: Artifact<Table> = Artifact::new(names::TABLE);
pub(crate) const RESPONSE: Artifact<Blob> = Artifact::new(names::RESPONSE);
pub(crate) const OBJECTS: Artifact<Blob> = Artifact::new(names::OBJECTS);
pub(crate) const SEGMENT_LIST: Artifact<Json<Segments>> = Artifact::new(names::SEGMENT_LIST);

pub(crate) const PREPARATION_FIGURES: Artifact<Json<PreparationReport>> = Artifact::new(names::PREPARATION_FIGURES);
pub(crate) const PREPARATION_REPORT: Artifact<Html> = Artifact::new(names::PREPARATION_REPORT);

pub(crate) const FINDINGS: Artifact<Json<ValidationReport>> = Artifact::new(names::FINDINGS);
pub(crate) const VALIDATION_REPORT: Artifact<Html> = Artifact::new(names::VALIDATION_REPORT);

pub(crate) const TASK: Artifact<Json<Task>> = Artifact::new(names::TASK);
pub(crate) const SPLIT: Artifact<Csv> = Artifact::new(names::SPLIT);
pub(crate) const TRAIN: Artifact<Table> = Artifact::new(names::TRAIN);
pub(crate) const TEST: Artifact<Table> = Artifact::new(names::TEST);
pub(crate) const TEST_ROWS: Artifact<Table> = Artifact::new(names::TEST_ROWS);
pub(crate) const VALIDATION_ROWS: Artifact<Table> = Artifact::new(names::VALIDATION_ROWS);
pub(crate) const STATE: Artifact<Blob> = Artifact::new(names::STATE);
pub(crate) const FEATURES_TRAIN: Artifact<Table> = Artifact::new(names::FEATURES_TRAIN);
pub(crate) const FEATURES_VALIDATION: Artifact<Table> = Artifact::new(names::FEATURES_VALIDATION);

pub(crate) const MODEL: Artifact<Blob> = Artifact::new(names::MODEL);
pub(crate) const IMPORTANCE: Artifact<Json<FeatureImportance>> = Artifact::new(names::IMPORTANCE);
/// The components that a model needs. Training keeps them with the model, so a version is complete
/// when training ends.
pub(crate) const COMPONENTS: [(World, Artifact<Blob>); 2] = [
    (World::Transformation, Artifact::new(names::TRANSFORMATION_COMPONENT)),
    (World::Training, Artifact::new(names::TRAINING_COMPONENT)),
];

pub(crate) const EVALUATION: Artifact<Json<EvaluationReport>> = Artifact::new(names::EVALUATION);
pub(crate) const EVALUATION_REPORT: Artifact<Html> = Artifact::new(names::EVALUATION_REPORT);
pub(crate) const PREDICTIONS: Artifact<Table> = Artifact::new(names::PREDICTIONS);
pub(crate) const COMPARED: Artifact<Table> = Artifact::new(names::COMPARED);

pub(crate) const DECISION: Artifact<Json<Decision>> = Artifact::new(names::DECISION);
