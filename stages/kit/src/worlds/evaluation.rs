//! The world `evaluation`: measures a candidate, and compares it with the champion.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::evaluate::Guest;
use crate::bindings::stagewright::stage::{models, tables, types};
use crate::table::HostTable;
use crate::{
    ANY_TASK, Batch, Described, Failure, FeatureImportance, Field, Metric, Output, Role, Settings, Table, Task,
    TaskKind, packed,
};

/// A model that an evaluation stage asks for predictions: the host's, or one of a native test.
pub trait Model {
    /// Returns the outputs that [`predict`](Self::predict) gives for each row.
    fn outputs(&self) -> Vec<Output>;
    /// Predicts rows. `rows` has the raw feature columns of the test table, in their order. The
    /// result is column after column, one for each of [`outputs`](Self::outputs).
    ///
    /// # Errors
    /// Returns the failure of the model's stage.
    fn predict(&self, rows: &Batch) -> Result<Vec<f64>, Failure>;
    /// Returns the importance of each transformed feature. They sum to 1, or there are none.
    fn importance(&self) -> Vec<FeatureImportance>;
}

/// The host's model, and the fields of its input.
struct HostModel {
    model: models::Model,
    inputs: Rc<[Field]>,
}

impl Model for HostModel {
    fn outputs(&self) -> Vec<Output> {
        self.model.outputs()
    }
    fn predict(&self, rows: &Batch) -> Result<Vec<f64>, Failure> {
        packed::decode_numbers(&self.model.predict(&packed::encode(&self.inputs, rows)?)?)
    }
    fn importance(&self) -> Vec<FeatureImportance> {
        self.model.importance()
    }
}

/// An evaluation stage.
pub trait Evaluation: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Evaluates the candidate and the champion on the test rows: features, target and weight.
    /// Report figures through [`tracking`](crate::tracking).
    ///
    /// # Errors
    /// Returns the failures of the models; `data` if the rows cannot be evaluated.
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
        test: tables::Table,
        candidate: models::Model,
        champion: Option<models::Model>,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<Vec<Metric>, Failure> {
        let test = HostTable::new(test);
        let columns = test.fields().into_iter().zip(test.roles());
        let inputs: Rc<[Field]> = columns.filter(|(_, role)| *role == Role::Feature).map(|(field, _)| field).collect();
        let candidate = HostModel { model: candidate, inputs: inputs.clone() };
        let champion = champion.map(|model| HostModel { model, inputs });
        let champion = champion.as_ref().map(|model| model as &dyn Model);
        T::evaluate(&test, &candidate, champion, &task, &Settings::parse(&settings)?)
    }
}
