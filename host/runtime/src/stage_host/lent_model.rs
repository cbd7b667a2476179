//! A model that the host lends to an evaluation stage.

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_store::{Field, Role, Schema};

use crate::bindings::stagewright::stage::types::Output;

/// Answers an evaluator's questions to a model, in sandboxes of the model's own. The first question
/// starts them.
pub(crate) trait PredictionSource: Send {
    /// Returns the outputs that the model predicts for each row.
    fn outputs(&mut self) -> Result<Vec<Output>, StageFault>;
    /// Returns one column of predictions for each output. `rows` has the features that the model
    /// reads, in the model's order.
    fn predict(&mut self, rows: &RecordBatch) -> Result<Vec<Vec<f64>>, StageFault>;
}

/// A model that the guest may ask for predictions.
pub(crate) struct LentModel {
    pub(super) predictions: Box<dyn PredictionSource>,
    /// The columns that the guest passes: the features of the test table, in the table's order.
    pub(super) passed: Schema,
    /// For each column that the model reads, its index in `passed`.
    pub(super) places: Vec<usize>,
    pub(super) importance: Vec<(String, f64)>,
}

impl LentModel {
    /// Lends a model that reads `features` to a guest that evaluates it on `table`.
    ///
    /// The guest passes the table's features in the table's order. An older model may read fewer of
    /// them or expect another order, so its columns are found by name. `connect` gets the schema of
    /// the table's columns that the model reads.
    ///
    /// # Errors
    /// Returns a fault of the host if the table lacks a column of the model or has it with another
    /// type.
    pub(crate) fn new(
        features: &Schema,
        importance: Vec<(String, f64)>,
        table: &Schema,
        connect: impl FnOnce(Schema) -> Box<dyn PredictionSource>,
    ) -> Result<Self, StageFault> {
        let passed = table.project(&table.indices_with(Role::Feature));
        let place = |wanted: &Field| match passed.index_of(&wanted.name) {
            Some(place) if passed.fields()[place].data_type == wanted.data_type => Ok(place),
            _ => Err(StageFault::host(format!("the test table has no {} column `{}`", wanted.data_type, wanted.name))),
        };
        let places: Vec<usize> = features.fields().iter().map(place).collect::<Result<_, _>>()?;
        let predictions = connect(passed.project(&places));
        Ok(Self { predictions, passed, places, importance })
    }
}
