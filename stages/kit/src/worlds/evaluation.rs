//! The fifth stage: how good is it, and is it better than what is in production?

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

/// A model that the host runs for an evaluation stage. Implemented by the host's model and by the tests'.
pub trait Model {
    /// The numbers that [`predict`](Self::predict) returns for each row.
    fn outputs(&self) -> Vec<Output>;
    /// Predicts raw feature columns of the test table, in their order: column after column, one for
    /// each of [`outputs`](Self::outputs).
    ///
    /// # Errors
    /// What the model's stage says.
    fn predict(&self, rows: &Batch) -> Result<Vec<f64>, Failure>;
    /// How much each transformed feature counts; sums to 1, or is empty.
    fn importance(&self) -> Vec<FeatureImportance>;
}

/// The host's model, and the fields of the rows that it is asked for.
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

    /// The tasks that the stage can work on.
    const TASKS: &'static [TaskKind] = ANY_TASK;

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
