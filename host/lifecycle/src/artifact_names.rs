//! The names of the artifacts that the stages of a run make, and of the parts of a model version.

use std::fmt;

use stagewright_manifest::World;

/// The name of an artifact of a run. It is displayed as `WORLD.NAME`, as in `training.model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactName {
    /// The world of the stage that makes it.
    pub world: World,
    /// The name among the artifacts of that stage.
    pub name: &'static str,
}

impl ArtifactName {
    const fn new(world: World, name: &'static str) -> Self {
        Self { world, name }
    }

    /// Returns the artifact's role for the steps that read it and for the version that it explains.
    pub fn role(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.world, self.name)
    }
}

use World::{Evaluation, Ingestion, Preparation, Promotion, Training, Transformation, Validation};

/// The columns of [`TABLE`]: their types and roles.
pub const SIGNATURE: ArtifactName = ArtifactName::new(Ingestion, "signature");
/// The ingested rows.
pub const TABLE: ArtifactName = ArtifactName::new(Ingestion, "table");
/// The response of the server that [`TABLE`] comes from.
pub const RESPONSE: ArtifactName = ArtifactName::new(Ingestion, "response");
/// The objects that [`RESPONSE`] was read from, a line of JSON each: key, size, ETag, version and
/// digest.
pub const OBJECTS: ArtifactName = ArtifactName::new(Ingestion, "objects");
/// The list of segments that the rows of [`TABLE`] were divided into.
pub const SEGMENT_LIST: ArtifactName = ArtifactName::new(Ingestion, "segments");

/// The figures of a preparation about its table, as JSON, if it has any.
pub const PREPARATION_FIGURES: ArtifactName = ArtifactName::new(Preparation, "figures");
/// [`PREPARATION_FIGURES`] as a page.
pub const PREPARATION_REPORT: ArtifactName = ArtifactName::new(Preparation, "report");

/// The checks of the validation stage and their results.
pub const FINDINGS: ArtifactName = ArtifactName::new(Validation, "findings");
/// [`FINDINGS`] as a page.
pub const VALIDATION_REPORT: ArtifactName = ArtifactName::new(Validation, "report");

/// The task with the classes that the data shows.
pub const TASK: ArtifactName = ArtifactName::new(Transformation, "task");
/// The partition of each row, as CSV.
pub const SPLIT: ArtifactName = ArtifactName::new(Transformation, "split");
/// The training rows, their target encoded.
pub const TRAIN: ArtifactName = ArtifactName::new(Transformation, "train");
/// The test rows, their target encoded.
pub const TEST: ArtifactName = ArtifactName::new(Transformation, "test");
/// The row numbers in [`TABLE`] of the test rows. Older runs have no such artifact.
pub const TEST_ROWS: ArtifactName = ArtifactName::new(Transformation, "test-rows");
/// The validation rows, their target encoded.
pub const VALIDATION_ROWS: ArtifactName = ArtifactName::new(Transformation, "validation");
/// The fitted state of the transformation component.
pub const STATE: ArtifactName = ArtifactName::new(Transformation, "state");
/// The transformed training rows.
pub const FEATURES_TRAIN: ArtifactName = ArtifactName::new(Transformation, "features-train");
/// The transformed validation rows.
pub const FEATURES_VALIDATION: ArtifactName = ArtifactName::new(Transformation, "features-validation");

/// The model of the training component.
pub const MODEL: ArtifactName = ArtifactName::new(Training, "model");
/// The importance of each feature.
pub const IMPORTANCE: ArtifactName = ArtifactName::new(Training, "importance");
/// The transformation component, kept with the model.
pub const TRANSFORMATION_COMPONENT: ArtifactName = ArtifactName::new(Training, version_part::TRANSFORMATION_COMPONENT);
/// The training component, kept with the model.
pub const TRAINING_COMPONENT: ArtifactName = ArtifactName::new(Training, version_part::TRAINING_COMPONENT);

/// The evaluation report, as JSON.
pub const EVALUATION: ArtifactName = ArtifactName::new(Evaluation, "evaluation");
/// [`EVALUATION`] as a page.
pub const EVALUATION_REPORT: ArtifactName = ArtifactName::new(Evaluation, "report");
/// The predictions of the test rows.
pub const PREDICTIONS: ArtifactName = ArtifactName::new(Evaluation, "predictions");
/// The test rows that both models are measured on, where these are not all of [`TEST`].
pub const COMPARED: ArtifactName = ArtifactName::new(Evaluation, "compared");

/// The decision on the candidate.
pub const DECISION: ArtifactName = ArtifactName::new(Promotion, "decision");

/// The roles of the artifacts that a model version needs to predict.
pub mod version_part {
    /// The model of the training component.
    pub const MODEL: &str = "model";
    /// The training component.
    pub const TRAINING_COMPONENT: &str = "training-component";
    /// The transformation component.
    pub const TRANSFORMATION_COMPONENT: &str = "transformation-component";
    /// The fitted state of the transformation component.
    pub const TRANSFORMATION_STATE: &str = "transformation-state";
}
