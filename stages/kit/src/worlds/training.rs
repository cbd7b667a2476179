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
    /// column, one for each of [`outputs`](Self::outputs). A component is asked for large batches
    /// in parts, so that what a row becomes depends on no other row.
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

/// Rows that a model is asked for at once, a multiple of 8: the columns that they are decoded to
/// stay in a processor's cache, and in the same few pages of memory.
const PREDICTED: u32 = 2048;

/// A loaded model, as the resource that the host holds.
pub struct Loaded<T> {
    model: T,
    inputs: Vec<Field>,
}

/// Asks a model for the rows of a batch, `most` at a time, a multiple of 8.
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

    /// Says a number and its double, and refuses one.
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
