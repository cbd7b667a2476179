//! The world `training`: learns a model from features.

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

/// A loaded model, as a resource of the contract.
pub struct Loaded<T> {
    model: T,
    inputs: Vec<Field>,
}

/// Predicts a batch in parts of `most` rows, a multiple of 8.
fn predict<T: Training>(model: &T, inputs: &[Field], rows: &types::Batch, most: u32) -> Result<types::Batch, Failure> {
    if rows.rows <= most {
        let numbers = model.predict(packed::decode(inputs, rows)?)?;
        return Ok(packed::encode_numbers(rows.rows, &numbers));
    }
    let (count, whole) = (model.outputs().len(), rows.rows as usize);
    let mut numbers = vec![0.0; count * whole];
    for start in (0..rows.rows).step_by(most as usize) {
        let part = start..rows.rows.min(start + most);
        let (first, length) = (start as usize, part.len());
        let predicted = model.predict(packed::decode_rows(inputs, rows, part)?);
        let predicted = predicted.map_err(|failure| failure.after_rows(u64::from(start)))?;
        if predicted.len() != count * length {
            let found = predicted.len();
            return Err(Failure::internal(format!("{found} numbers for {length} rows of {count} outputs")));
        }
        for (output, predicted) in predicted.chunks_exact(length).enumerate() {
            numbers[output * whole + first..][..length].copy_from_slice(predicted);
        }
    }
    Ok(packed::encode_numbers(rows.rows, &numbers))
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
        predict(&self.model, &self.inputs, &rows, PREDICTED)
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
        let fields = [Field::required("x", DataType::Float64)];
        let numbers: Vec<f64> = (0..45).map(f64::from).collect();
        let rows = packed::encode(&fields, &Batch::new(45, vec![Column::from(numbers)])).unwrap();
        let model = Doubling { refused: f64::NAN };
        let whole = predict(&model, &fields, &rows, 48).unwrap();
        for most in [8, 16, 40] {
            let parts = predict(&model, &fields, &rows, most).unwrap();
            assert_eq!((parts.rows, parts.bytes), (whole.rows, whole.bytes.clone()), "{most}");
        }
        let Err(Failure::Data(fault)) = predict(&Doubling { refused: 43.0 }, &fields, &rows, 8) else {
            panic!("predicted")
        };
        assert_eq!(fault.row, Some(43), "the row of the batch, not of the part");
    }
}
