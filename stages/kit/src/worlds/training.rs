//! The fourth stage: from features to a model.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::{predict, train};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::{Batch, BlobReader, BlobWriter, Described, Failure, FeatureImportance, Output, Settings, Table, Task};

/// A training stage. The type itself is the trained model.
pub trait Training: Sized + 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

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

    /// Reads what [`train`](Self::train) wrote.
    ///
    /// # Errors
    /// `internal` if the model is not of this stage and version.
    fn load(model: &mut BlobReader<'_>) -> Result<Self, Failure>;

    /// What the numbers that [`predict`](Self::predict) returns are.
    fn output(&self) -> Output {
        Output::Score
    }

    /// Predicts the feature columns that `train` saw, in their order, row-wise.
    ///
    /// # Errors
    /// `data`, with column and row.
    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure>;

    /// How much each feature counts; none if the kind of model cannot say.
    fn importance(&self) -> Vec<FeatureImportance> {
        Vec::new()
    }
}

/// A loaded model, as the resource that the host holds.
pub struct Loaded<T>(T);

impl<T: Training + Described> predict::Guest for Stage<T> {
    type Predictor = Loaded<T>;
}

impl<T: Training> predict::GuestPredictor for Loaded<T> {
    fn load(model: &blobs::Blob) -> Result<predict::Predictor, Failure> {
        Ok(predict::Predictor::new(Self(T::load(&mut BlobReader::new(model))?)))
    }

    fn output(&self) -> Output {
        self.0.output()
    }

    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        self.0.predict(rows)
    }
}

impl<T: Training + Described> train::Guest for Stage<T> {
    fn train(
        train: &tables::Table,
        validation: Option<&tables::Table>,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<blobs::Blob, Failure> {
        let settings = Settings::parse(&settings)?;
        let validation = validation.map(|table| table as &dyn Table);
        let mut model = BlobWriter::new();
        T::train(train, validation, &task, &settings, &mut model)?;
        model.finish()
    }

    fn importance(model: &blobs::Blob) -> Result<Vec<FeatureImportance>, Failure> {
        Ok(T::load(&mut BlobReader::new(model))?.importance())
    }
}
