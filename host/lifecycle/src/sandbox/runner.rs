//! The calls that a run makes into a sandbox.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::gates::{GateResult, Verdict};
use stagewright_evaluation::report::{Check, ColumnSummary};
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Blob, Field, Schema, Table};

use super::component::Component;
use super::context::{Sources, StageContext};
use super::view::{ModelParts, View};
use crate::fault::StageFault;
use crate::model::ModelComponent;

/// Runs stages. Each call instantiates afresh, in this process or in one of its own, enforces the
/// context's limits, checks every byte that comes back, and leaves nothing behind when it fails.
pub trait StageRunner: Send + Sync {
    /// WIT `ingest.ingest`.
    ///
    /// # Errors
    /// Every method fails with a [`StageFault`] that says whose fault it is.
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault>;
    /// WIT `prepare.prepare`. Inputs have names, by which they are ordered.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn prepare(&self, context: Arc<StageContext>, inputs: &[(String, Table)]) -> Result<Table, StageFault>;
    /// WIT `validate.validate`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault>;
    /// WIT `transform.fit`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault>;
    /// WIT `rebalance.rebalance`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn rebalance(&self, context: Arc<StageContext>, train: &Table, task: &Task) -> Result<Option<Table>, StageFault>;
    /// WIT `train.train`, or `shards` in several instances where the component has them.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn train(
        &self,
        context: Arc<StageContext>,
        train: &Table,
        validation: Option<&Table>,
        task: &Task,
    ) -> Result<Blob, StageFault>;
    /// WIT `evaluate.evaluate`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn evaluate(
        &self,
        context: Arc<StageContext>,
        test: &View,
        candidate: ModelParts,
        champion: Option<ModelParts>,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault>;
    /// WIT `decide.decide`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn decide(&self, context: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault>;
}

/// Runs models: transformers and predictors, over many rows, as [`StageRunner`] runs stages.
pub trait ModelRunner: Send + Sync {
    /// WIT `transformer.transform` over all rows, in several instances. `sink` receives the
    /// transformed batches in order of rows, each with the row it starts at.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn transform(
        &self,
        context: Arc<StageContext>,
        state: &Blob,
        rows: &View,
        sink: TransformSink<'_>,
    ) -> Result<(), StageFault>;
    /// WIT `predictor.importance` of a model that reads `inputs`, by their names; sums to 1, or is
    /// empty.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn importance(
        &self,
        context: Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault>;
    /// Transformation and prediction of raw rows, in several instances; `width` numbers per row.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault>;
    /// The same for rows of raw features in memory, as serving does.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn predict_batch(&self, model: &ModelParts, rows: &RecordBatch) -> Result<Vec<f64>, StageFault>;
    /// WIT `transformer.transform` of these batches of raw features, one after the other, by one
    /// fresh instance; as many rows in the same order, in batches of any size. With nothing to make
    /// artifacts with, whatever the context has: as it is called for a prediction. `inputs` are the
    /// batches' columns; the features' columns come back too.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn transform_again(
        &self,
        context: &Arc<StageContext>,
        state: &Blob,
        inputs: &Schema,
        batches: &[RecordBatch],
    ) -> Result<(Schema, Vec<RecordBatch>), StageFault>;
    /// WIT `predictor.predict` of these batches of transformed features, one after the other, by
    /// one fresh instance; numbers as [`ModelRunner::predict`] gives them.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn predict_again(
        &self,
        context: &Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
        batches: &[RecordBatch],
    ) -> Result<Vec<f64>, StageFault>;
}

/// Finds components and readies them.
pub trait ComponentSource: Send + Sync {
    /// The bytes of a component that was resolved, for keeping with a model.
    ///
    /// # Errors
    /// Its file is gone or has changed.
    fn component_bytes(&self, component: &Component) -> Result<Vec<u8>, StageFault>;
    /// Readies a registered model's component, whose bytes the artifact store holds as a blob.
    ///
    /// # Errors
    /// The blob is missing or corrupt, or today's host refuses the component.
    fn restore(
        &self,
        world: World,
        component: &ModelComponent,
        artifacts: &ArtifactStore,
    ) -> Result<Component, StageFault>;
}

/// All that a run needs of a sandbox.
pub trait Sandbox: StageRunner + ModelRunner + ComponentSource {}

impl<T: StageRunner + ModelRunner + ComponentSource> Sandbox for T {}

/// Receives transformed batches: the schema that the transformer declared, the first row's number, the batch.
pub type TransformSink<'a> = &'a mut dyn FnMut(&Schema, u64, RecordBatch) -> Result<(), StageFault>;

/// The decision of a promotion stage.
#[derive(Debug, Clone)]
pub struct StageDecision {
    /// Whether it approves.
    pub approved: bool,
    /// Gate, passed, message.
    pub reasons: Vec<(String, bool, String)>,
}

/// The evidence that a promotion stage gets.
#[derive(Debug, Clone)]
pub struct DecisionInput {
    /// The candidate's metrics, computed by the host.
    pub candidate: Vec<(String, f64)>,
    /// The champion's.
    pub champion: Option<Vec<(String, f64)>>,
    /// The metrics that the evaluation stage reported.
    pub reported: Vec<(String, f64)>,
    /// How many test rows the candidate's metrics were computed on.
    pub rows: u64,
    /// The difference between the two in the metric that decides.
    pub difference: Option<MetricDifference>,
    /// The manifest's gates, as the host found them.
    pub gates: Vec<GateResult>,
    /// The host's verdict by these gates.
    pub verdict: Verdict,
}
