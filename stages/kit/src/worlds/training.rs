//! The world `training`: learns a model from features.

use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
pub use crate::bindings::exports::stagewright::stage::predict::Scale;
use crate::bindings::exports::stagewright::stage::{predict, train};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::table::HostTable;
use crate::{
    ANY_TASK, Batch, BlobReader, BlobWriter, Described, Failure, Field, MatrixView, Output, Settings, Table, Task,
    TaskKind, packed,
};

/// A training stage. The type itself is the loaded model.
pub trait Training: Sized + 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Trains a model on `train` and writes what [`load`](Self::load) reads. The table has
    /// features, the target and optionally a weight (see [`FeatureMatrix`](crate::FeatureMatrix)).
    /// `validation` has the same columns and is for early stopping.
    ///
    /// # Errors
    /// `data` if the rows cannot be learnt from; `parameter` if the parameters do not fit the table
    /// or the task.
    fn train(
        train: &dyn Table,
        validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure>;

    /// Loads a model that [`train`](Self::train) wrote. `inputs` are the fields of every batch to
    /// predict: the features that `train` saw, in their order.
    ///
    /// # Errors
    /// `internal` if another stage or version wrote the model.
    fn load(model: &mut BlobReader<'_>, inputs: &[Field]) -> Result<Self, Failure>;

    /// Prepares for many calls. This must not change results.
    fn warm_up(&self) {}

    /// Returns the outputs that [`predict`](Self::predict) gives for each row. The first must be
    /// the probability of class 1 for a binary task, the probabilities of all classes for a
    /// multi-class task, and the value for a regression.
    fn outputs(&self) -> Vec<Output> {
        vec![Output::Probability(1)]
    }

    /// Predicts rows. `rows` has the feature columns that `train` saw, in their order. The result
    /// is column after column, one for each of [`outputs`](Self::outputs). Each row's prediction
    /// may depend on that row only: large batches are predicted in parts.
    ///
    /// # Errors
    /// `data`, with column and row.
    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure>;

    /// Predicts rows of numbers. The kit calls this in place of [`predict`](Self::predict) if all
    /// inputs are float64 without nulls, and the result must be the same. `predictions` is all
    /// zeros at first: row `i` of output `j` is `predictions[j * rows.rows() + i]`.
    ///
    /// The default calls `predict`. A stage that reads the numbers where they are needs no
    /// allocation for each column, which matters when a model serves single rows.
    ///
    /// # Errors
    /// As for `predict`.
    fn predict_into(&self, rows: MatrixView<'_>, predictions: &mut [f64]) -> Result<(), Failure> {
        in_parts(rows.rows(), PREDICTED as usize, predictions, |part| self.predict(rows.to_batch(part)))
    }

    /// Returns the importance of each input in the whole model, in the order of the inputs, or none
    /// if the model has no such numbers.
    fn importance(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Returns the contribution of each input to one output of each row, or `None` if the model has
    /// no such numbers.
    ///
    /// # Errors
    /// `data`, with column and row.
    fn contributions(&self, _rows: Batch, _output: u32) -> Result<Option<Contributions>, Failure> {
        Ok(None)
    }
}

/// The contribution of each input to one output, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// The scale on which the contributions of a row add up.
    pub scale: Scale,
    /// The contributions, column after column: one column for each input, then the base value of
    /// each row.
    pub numbers: Vec<f64>,
}

/// The number of rows that are predicted at once, a multiple of 8. The decoded columns then stay in
/// the processor's cache and in few pages of memory.
const PREDICTED: u32 = 2048;

/// Predicts `rows` rows in parts of `most`. `predict` predicts a part, column after column.
fn in_parts(
    rows: usize,
    most: usize,
    predictions: &mut [f64],
    mut predict: impl FnMut(Range<usize>) -> Result<Vec<f64>, Failure>,
) -> Result<(), Failure> {
    let outputs = predictions.len().checked_div(rows).unwrap_or(0);
    let mut start = 0;
    loop {
        let part = start..rows.min(start + most);
        let length = part.len();
        let predicted = predict(part).map_err(|failure| failure.after_rows(start as u64))?;
        if predicted.len() != outputs * length {
            let found = predicted.len();
            return Err(Failure::internal(format!("{found} numbers for {length} rows of {outputs} outputs")));
        }
        let columns = predictions.chunks_exact_mut(rows.max(1)).zip(predicted.chunks_exact(length.max(1)));
        columns.for_each(|(column, predicted)| column[start..start + length].copy_from_slice(predicted));
        start += length;
        if start >= rows {
            return Ok(());
        }
    }
}

/// A loaded model, as a resource of the contract.
pub struct LoadedModel<T> {
    model: T,
    inputs: Vec<Field>,
    outputs: Vec<Output>,
    /// Whether all inputs are float64 without nulls.
    takes_numbers: bool,
}

impl<T: Training> LoadedModel<T> {
    /// Creates one that gets batches with the fields `inputs`.
    pub fn new(model: T, inputs: Vec<Field>) -> Self {
        let (outputs, takes_numbers) = (model.outputs(), packed::is_matrix(&inputs));
        Self { model, inputs, outputs, takes_numbers }
    }

    /// Predicts a batch as the host passes it.
    ///
    /// # Errors
    /// As for [`Training::predict`].
    pub fn predict(&self, rows: &types::Batch) -> Result<types::Batch, Failure> {
        packed::encode_matrix(rows.rows, self.outputs.len(), |predictions| {
            if self.takes_numbers {
                let predict = |matrix: MatrixView<'_>| self.model.predict_into(matrix, predictions);
                return packed::with_matrix(self.inputs.len(), rows, predict);
            }
            in_parts(rows.rows as usize, PREDICTED as usize, predictions, |part| {
                let part = part.start as u32..part.end as u32;
                self.model.predict(packed::decode_rows(&self.inputs, rows, part)?)
            })
        })
    }
}

impl<T: Training + Described> predict::Guest for Stage<T> {
    type Predictor = LoadedModel<T>;
}

impl<T: Training> predict::GuestPredictor for LoadedModel<T> {
    fn load(model: blobs::Blob, inputs: Vec<Field>) -> Result<predict::Predictor, Failure> {
        let model = T::load(&mut BlobReader::new(&model), &inputs)?;
        Ok(predict::Predictor::new(Self::new(model, inputs)))
    }

    fn warm_up(&self) {
        self.model.warm_up();
    }

    fn outputs(&self) -> Vec<Output> {
        self.outputs.clone()
    }

    fn predict(&self, rows: types::Batch) -> Result<types::Batch, Failure> {
        self.predict(&rows)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, DataType, NoParameters};

    /// Predicts a number and its double, and refuses one number.
    struct Doubling {
        refused: f64,
    }

    impl Training for Doubling {
        type Parameters = NoParameters;

        fn train(
            _: &dyn Table,
            _: Option<&dyn Table>,
            _: &Task,
            _: &Settings<NoParameters>,
            _: &mut BlobWriter,
        ) -> Result<(), Failure> {
            Err(Failure::internal("there is nothing to learn"))
        }

        fn load(_: &mut BlobReader<'_>, _: &[Field]) -> Result<Self, Failure> {
            Ok(Self { refused: f64::NAN })
        }

        fn outputs(&self) -> Vec<Output> {
            vec![Output::Value, Output::Value]
        }

        fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
            let numbers = rows.columns[0].as_f64().unwrap_or_default();
            if let Some(row) = numbers.iter().position(|number| *number == self.refused) {
                return Err(Failure::data("refused").at_row(row as u64));
            }
            Ok(numbers.iter().copied().chain(numbers.iter().map(|number| 2.0 * number)).collect())
        }
    }

    #[test]
    fn a_batch_is_predicted_in_parts_as_it_is_at_once() {
        let numbers: Vec<f64> = (0..45).map(f64::from).collect();
        let matrix = MatrixView::new(45, 1, &numbers).unwrap();
        let predicted = |refused: f64, most: usize| -> Result<Vec<f64>, Failure> {
            let mut predictions = vec![0.0; 90];
            let model = Doubling { refused };
            in_parts(45, most, &mut predictions, |part| model.predict(matrix.to_batch(part)))?;
            Ok(predictions)
        };
        let whole = predicted(f64::NAN, 48).unwrap();
        assert_eq!((whole[44], whole[45], whole[89]), (44.0, 0.0, 88.0));
        for most in [1, 8, 16, 40, 45] {
            assert_eq!(predicted(f64::NAN, most).unwrap(), whole, "{most}");
        }
        let Err(Failure::Data(fault)) = predicted(43.0, 8) else { panic!("predicted") };
        assert_eq!(fault.row, Some(43), "the row of the batch, not of the part");
    }

    #[test]
    fn inputs_with_and_without_validity_are_predicted_alike() {
        let numbers: Vec<f64> = (0..5000).map(f64::from).collect();
        let predicted = |field: Field| {
            let rows = Batch::new(5000, vec![Column::from(numbers.clone())]);
            let rows = packed::encode(std::slice::from_ref(&field), &rows).unwrap();
            LoadedModel::new(Doubling { refused: f64::NAN }, vec![field]).predict(&rows).unwrap()
        };
        let (required, nullable) =
            (predicted(Field::required("x", DataType::Float64)), predicted(Field::nullable("x", DataType::Float64)));
        assert_eq!((required.rows, required.bytes.len()), (5000, 80_000));
        assert_eq!(required.bytes, nullable.bytes);
        let none = LoadedModel::new(Doubling { refused: 0.0 }, vec![Field::required("x", DataType::Float64)]);
        assert!(none.predict(&types::Batch { rows: 0, bytes: Vec::new() }).unwrap().bytes.is_empty());
    }
}
