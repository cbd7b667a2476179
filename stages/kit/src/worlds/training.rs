//! The fourth stage: from features to a model.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
pub use crate::bindings::exports::stagewright::stage::predict::Scale;
use crate::bindings::exports::stagewright::stage::{predict, train};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::table::HostTable;
use crate::{
    ANY_TASK, Batch, BlobReader, BlobWriter, Described, Failure, Field, Output, Settings, Table, Task, TaskKind, packed,
};

/// A training stage. The type itself is the trained model.
pub trait Training: Sized + 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage can work on.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Learns a model from `train` (features, target, weight if there is one; see [`FeatureMatrix`](crate::FeatureMatrix))
    /// and writes what [`load`](Self::load) reads. `validation` has the same columns and serves early stopping.
    ///
    /// # Errors
    /// `data` if nothing can be learnt from the rows, `parameter` if the parameters do not fit the table or the task.
    fn train(
        train: &dyn Table,
        validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure>;

    /// Reads what [`train`](Self::train) wrote. `inputs` are the fields of every batch that will be
    /// predicted: the features that `train` saw, in their order.
    ///
    /// # Errors
    /// `internal` if the model is not of this stage and version.
    fn load(model: &mut BlobReader<'_>, inputs: &[Field]) -> Result<Self, Failure>;

    /// Prepares for being called often. Changes no result.
    fn warm_up(&self) {}

    /// The numbers that [`predict`](Self::predict) returns for each row. A binary task wants the
    /// probability of class 1 first, a task of several classes those of all, a regression the
    /// value.
    fn outputs(&self) -> Vec<Output> {
        vec![Output::Probability(1)]
    }

    /// Predicts the feature columns that `train` saw, in their order, row-wise: column after
    /// column, one for each of [`outputs`](Self::outputs).
    ///
    /// # Errors
    /// `data`, with column and row.
    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure>;

    /// How much each input counts in the whole model, in their order; none if the kind of model
    /// cannot say.
    fn importance(&self) -> Vec<f64> {
        Vec::new()
    }

    /// How much each input of each row counts in one of the outputs; `None` if the kind of model
    /// cannot say.
    ///
    /// # Errors
    /// `data`, with column and row.
    fn contributions(&self, _rows: Batch, _output: u32) -> Result<Option<Contributions>, Failure> {
        Ok(None)
    }
}

/// How much each input moved one output, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// The scale on which the numbers of a row add up.
    pub scale: Scale,
    /// Column after column: one for each input, then the base, the number that a row starts from.
    pub numbers: Vec<f64>,
}

/// A loaded model, as the resource that the host holds.
pub struct Loaded<T> {
    model: T,
    inputs: Vec<Field>,
}

impl<T: Training + Described> predict::Guest for Stage<T> {
    type Predictor = Loaded<T>;
}

impl<T: Training> predict::GuestPredictor for Loaded<T> {
    fn load(model: blobs::Blob, inputs: Vec<Field>) -> Result<predict::Predictor, Failure> {
        let model = T::load(&mut BlobReader::new(&model), &inputs)?;
        Ok(predict::Predictor::new(Self { model, inputs }))
    }

    fn warm_up(&self) {
        self.model.warm_up();
    }

    fn outputs(&self) -> Vec<Output> {
        self.model.outputs()
    }

    fn predict(&self, rows: types::Batch) -> Result<types::Batch, Failure> {
        let numbers = self.model.predict(packed::decode(&self.inputs, &rows)?)?;
        Ok(packed::encode_numbers(rows.rows, &numbers))
    }

    fn importance(&self) -> Vec<f64> {
        self.model.importance()
    }

    fn contributions(&self, rows: types::Batch, output: u32) -> Result<Option<predict::Contributions>, Failure> {
        let said = self.model.contributions(packed::decode(&self.inputs, &rows)?, output)?;
        Ok(said.map(|Contributions { scale, numbers }| predict::Contributions {
            scale,
            numbers: packed::encode_numbers(rows.rows, &numbers),
        }))
    }
}

impl<T: Training + Described> train::Guest for Stage<T> {
    fn train(
        train: tables::Table,
        validation: Option<tables::Table>,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<blobs::Blob, Failure> {
        let settings = Settings::parse(&settings)?;
        let (train, validation) = (HostTable::new(train), validation.map(HostTable::new));
        let validation = validation.as_ref().map(|table| table as &dyn Table);
        let mut model = BlobWriter::new();
        T::train(&train, validation, &task, &settings, &mut model)?;
        model.finish()
    }
}
