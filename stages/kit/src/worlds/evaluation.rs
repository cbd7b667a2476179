//! The fifth stage: how good is it, and is it better than what is in production?

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::evaluate::Guest;
use crate::bindings::stagewright::stage::{models, tables, types};
use crate::{Batch, Described, Failure, FeatureImportance, Metric, Settings, Table, Task};

/// A model that the host runs for an evaluation stage. Implemented by the host's model and by the tests'.
pub trait Model {
    /// Predicts raw feature columns of the test table, in their order: one number a row, or one per class.
    ///
    /// # Errors
    /// What the model's stage says.
    fn predict(&self, rows: &Batch) -> Result<Vec<f64>, Failure>;
    /// How much each transformed feature counts; sums to 1, or is empty.
    fn importance(&self) -> Vec<FeatureImportance>;
}

impl Model for models::Model {
    fn predict(&self, rows: &Batch) -> Result<Vec<f64>, Failure> {
        Self::predict(self, rows)
    }
    fn importance(&self) -> Vec<FeatureImportance> {
        Self::importance(self)
    }
}

/// An evaluation stage.
pub trait Evaluation: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Looks at candidate and champion on the test rows: features, target and weight. Figures go to
    /// [`tracking`](crate::tracking).
    ///
    /// # Errors
    /// What the models say; `data` if the rows cannot be judged.
    fn evaluate(
        test: &dyn Table,
        candidate: &dyn Model,
        champion: Option<&dyn Model>,
        task: &Task,
        settings: &Settings<Self::Parameters>,
    ) -> Result<Vec<Metric>, Failure>;
}

impl<T: Evaluation + Described> Guest for Stage<T> {
    fn evaluate(
        test: &tables::Table,
        candidate: &models::Model,
        champion: Option<&models::Model>,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<Vec<Metric>, Failure> {
        let champion = champion.map(|model| model as &dyn Model);
        T::evaluate(test, candidate, champion, &task, &Settings::parse(&settings)?)
    }
}
