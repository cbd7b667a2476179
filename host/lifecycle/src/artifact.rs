//! The artifacts of a run by typed names: who makes each of them, and what it holds.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use stagewright_data::{Signature, Task};
use stagewright_evaluation::report::{EvaluationReport, ValidationReport};
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Blob, Digest, Table};

use crate::fault::StageFault;
use crate::run::RunError;
use crate::stages::promotion::Decision;
use crate::stages::segments::Segments;

/// The place of an artifact in a run: the world of the stage that makes it, and its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) name: &'static str,
}

impl Place {
    /// Its name in the steps that read it: `transformation.state`.
    pub(crate) fn role(self) -> String {
        format!("{}.{}", self.world, self.name)
    }

    /// Says that nothing is there.
    pub(crate) fn missing(self) -> RunError {
        RunError::MissingArtifact { stage: self.world.into(), name: self.name.to_owned() }
    }
}

/// An artifact of the kind `T`.
pub(crate) struct Artifact<T> {
    pub(crate) place: Place,
    kind: PhantomData<fn() -> T>,
}

impl<T> Artifact<T> {
    const fn new(world: World, name: &'static str) -> Self {
        Self { place: Place { world, name }, kind: PhantomData }
    }
}

/// A JSON document of a `T`.
pub(crate) struct Json<T>(PhantomData<fn() -> T>);

/// A report for people.
pub(crate) enum Html {}

/// A table for other programs.
pub(crate) enum Csv {}

/// Kinds of artifacts that stages of a run read.
pub(crate) trait Readable {
    /// The artifact, opened.
    type Opened;

    /// Opens an artifact of the store.
    fn open(artifacts: &ArtifactStore, digest: &Digest, place: Place) -> Result<Self::Opened, RunError>;
}

impl Readable for Table {
    type Opened = Self;

    fn open(artifacts: &ArtifactStore, digest: &Digest, _: Place) -> Result<Self, RunError> {
        Ok(artifacts.open_table(digest)?)
    }
}

impl Readable for Blob {
    type Opened = Self;

    fn open(artifacts: &ArtifactStore, digest: &Digest, _: Place) -> Result<Self, RunError> {
        Ok(artifacts.open_blob(digest)?)
    }
}

impl<T: DeserializeOwned> Readable for Json<T> {
    type Opened = T;

    fn open(artifacts: &ArtifactStore, digest: &Digest, place: Place) -> Result<T, RunError> {
        let document = artifacts.open_document(digest, Self::MEDIA_TYPE)?;
        let Place { world, name } = place;
        serde_json::from_slice(document.bytes())
            .map_err(|reason| StageFault::host(format!("cannot read `{name}` of stage `{world}`: {reason}")).into())
    }
}

/// Kinds of documents, which the host makes.
pub(crate) trait Document {
    /// The type of its bytes.
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

/// How much each feature counts.
pub(crate) type Shares = Vec<(String, f64)>;

use World::{Evaluation, Ingestion, Promotion, Training, Transformation, Validation};

pub(crate) const SIGNATURE: Artifact<Json<Signature>> = Artifact::new(Ingestion, "signature");
pub(crate) const TABLE: Artifact<Table> = Artifact::new(Ingestion, "table");
/// The answer of the server that the table comes from.
pub(crate) const RESPONSE: Artifact<Blob> = Artifact::new(Ingestion, "response");

/// The segments that the rows of [`TABLE`] were dealt out to. Their tables have names of their own.
pub(crate) const SEGMENT_LIST: Artifact<Json<Segments>> = Artifact::new(Ingestion, "segments");

pub(crate) const FINDINGS: Artifact<Json<ValidationReport>> = Artifact::new(Validation, "findings");
pub(crate) const VALIDATION_REPORT: Artifact<Html> = Artifact::new(Validation, "report");

pub(crate) const TASK: Artifact<Json<Task>> = Artifact::new(Transformation, "task");
pub(crate) const SPLIT: Artifact<Csv> = Artifact::new(Transformation, "split");
pub(crate) const TRAIN: Artifact<Table> = Artifact::new(Transformation, "train");
pub(crate) const TEST: Artifact<Table> = Artifact::new(Transformation, "test");
/// The rows of [`TABLE`] that the test rows are. Runs of before have none.
pub(crate) const TEST_ROWS: Artifact<Table> = Artifact::new(Transformation, "test-rows");
pub(crate) const VALIDATION_ROWS: Artifact<Table> = Artifact::new(Transformation, "validation");
pub(crate) const STATE: Artifact<Blob> = Artifact::new(Transformation, "state");
pub(crate) const FEATURES_TRAIN: Artifact<Table> = Artifact::new(Transformation, "features-train");
pub(crate) const FEATURES_VALIDATION: Artifact<Table> = Artifact::new(Transformation, "features-validation");

pub(crate) const MODEL: Artifact<Blob> = Artifact::new(Training, "model");
pub(crate) const IMPORTANCE: Artifact<Json<Shares>> = Artifact::new(Training, "importance");
/// The components that a model needs, kept with it: a version is whole from the end of training on.
pub(crate) const COMPONENTS: [(World, Artifact<Blob>); 2] = [
    (Transformation, Artifact::new(Training, "transformation-component")),
    (Training, Artifact::new(Training, "training-component")),
];

pub(crate) const EVALUATION: Artifact<Json<EvaluationReport>> = Artifact::new(Evaluation, "evaluation");
pub(crate) const REPORT: Artifact<Html> = Artifact::new(Evaluation, "report");
pub(crate) const PREDICTIONS: Artifact<Table> = Artifact::new(Evaluation, "predictions");
/// The test rows that both models are measured on, where these are not all of them.
pub(crate) const COMPARED: Artifact<Table> = Artifact::new(Evaluation, "compared");

pub(crate) const DECISION: Artifact<Json<Decision>> = Artifact::new(Promotion, "decision");
