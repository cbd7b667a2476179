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

/// Runs stages. Each call uses a fresh instance, in this process or in one of its own. It enforces
/// the context's limits, checks every byte that comes back, and leaves nothing behind when it
/// fails.
pub trait StageRunner: Send + Sync {
    /// Calls WIT `ingest.ingest`.
    ///
    /// # Errors
    /// Every method fails with a [`StageFault`] that says who can fix it.
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault>;
    /// Calls WIT `prepare.prepare`. The inputs are ordered by their names, and show the roles that
    /// the manifest declares.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn prepare(&self, context: Arc<StageContext>, inputs: &[(String, View)]) -> Result<Table, StageFault>;
    /// Calls WIT `assess.assess` if the component exports it, or else `validate.validate`, which
    /// takes no references. The references are ordered by their names.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`]; a component without `assess` gets references.
    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        references: &[(String, Table)],
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault>;
    /// Calls WIT `transform.fit`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault>;
    /// Calls WIT `rebalance.rebalance`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn rebalance(&self, context: Arc<StageContext>, train: &Table, task: &Task) -> Result<Option<Table>, StageFault>;
    /// Calls WIT `train.train`, or `shards` in several instances if the component exports it.
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
    /// Calls WIT `evaluate.evaluate`.
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
    /// Calls WIT `decide.decide`.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn decide(&self, context: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault>;
}

/// Runs models, which are transformers and predictors, as [`StageRunner`] runs stages.
pub trait ModelRunner: Send + Sync {
    /// Calls WIT `transformer.transform` for all rows, in several instances. `sink` receives the
    /// transformed batches in order, each with the number of its first row.
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
    /// Calls WIT `predictor.importance` of a model that reads `inputs`. The importances are by
    /// name; they sum to 1, or there are none.
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
    /// Transforms and predicts raw rows, in several instances. Returns [`ModelParts::width`] values
    /// for each row.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`].
    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault>;
    /// Transforms and predicts rows of raw features that come piece by piece, in several instances.
    /// `take` receives the values of each piece, in order, as [`ModelRunner::predict`] returns
    /// them. Rows wait until the instances and `take` are ready for them.
    ///
    /// # Errors
    /// See [`StageRunner::ingest`]; the errors of `rows` and `take`. The values of all pieces
    /// before the error were passed to `take`.
    fn predict_stream(
        &self,
        model: &ModelParts,
        rows: &mut dyn RowStream,
        take: PredictionSink<'_>,
    ) -> Result<(), StageFault>;
    /// Calls WIT `transformer.transform` for each of these batches of raw features in turn, in one
    /// fresh instance. Returns the schema of the features and as many rows in the same order, in
    /// batches of any size. The instance can make no artifacts, whatever the context allows, since
    /// it is called as for a prediction. `inputs` are the columns of the batches.
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
    /// Calls WIT `predictor.predict` for each of these batches of transformed features in turn, in
    /// one fresh instance. Returns values as [`ModelRunner::predict`] does.
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

/// Finds and loads components.
pub trait ComponentSource: Send + Sync {
    /// Returns the bytes of a component, to keep them with a model.
    ///
    /// # Errors
    /// Its file is gone or has changed.
    fn component_bytes(&self, component: &Component) -> Result<Vec<u8>, StageFault>;
    /// Loads a component of a registered model. The artifact store holds its bytes as a blob.
    ///
    /// # Errors
    /// The blob is missing or damaged, or this host refuses the component.
    fn restore(
        &self,
        world: World,
        component: &ModelComponent,
        artifacts: &ArtifactStore,
    ) -> Result<Component, StageFault>;
}

/// Everything that a run needs from a sandbox.
pub trait Sandbox: StageRunner + ModelRunner + ComponentSource {}

impl<T: StageRunner + ModelRunner + ComponentSource> Sandbox for T {}

/// Receives transformed batches: the schema that the transformer declared, the number of the first
/// row, and the batch.
pub type TransformSink<'a> = &'a mut dyn FnMut(&Schema, u64, RecordBatch) -> Result<(), StageFault>;

/// Receives the values of a piece of rows.
pub type PredictionSink<'a> = &'a mut dyn FnMut(Vec<f64>) -> Result<(), StageFault>;

/// Rows of raw features that come piece by piece.
pub trait RowStream: Send {
    /// Waits for the next rows, at least one, and returns them; `None` at the end.
    ///
    /// # Errors
    /// The rows cannot be had.
    fn next(&mut self) -> Result<Option<RecordBatch>, StageFault>;

    /// Returns a function that makes [`RowStream::next`] return soon: nobody wants more rows.
    fn stopper(&self) -> Box<dyn Fn() + Send + Sync>;
}

/// The decision of a promotion stage.
#[derive(Debug, Clone)]
pub struct StageDecision {
    /// Whether it approves.
    pub approved: bool,
    /// The gate, whether it passed, and a message.
    pub reasons: Vec<(String, bool, String)>,
}

/// The evidence that a promotion stage decides on.
#[derive(Debug, Clone)]
pub struct DecisionInput {
    /// The candidate's metrics, computed by the host.
    pub candidate: Vec<(String, f64)>,
    /// The champion's metrics.
    pub champion: Option<Vec<(String, f64)>>,
    /// The metrics that the evaluation stage reported.
    pub reported: Vec<(String, f64)>,
    /// The number of test rows that the candidate's metrics are computed on.
    pub rows: u64,
    /// The difference between the two in the primary metric.
    pub difference: Option<MetricDifference>,
    /// The results of the manifest's gates.
    pub gates: Vec<GateResult>,
    /// The host's verdict by these results.
    pub verdict: Verdict,
}
