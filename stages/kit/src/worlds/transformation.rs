//! The world `transformation`: turns raw columns into features.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::rebalance;
use crate::bindings::exports::stagewright::stage::transform::{Guest, GuestTransformer, Transformer};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::table::HostTable;
use crate::{
    ANY_TASK, Batch, BatchView, BlobReader, BlobWriter, Described, Failure, Field, FinishedTable, Settings, Table,
    Task, TaskKind, packed,
};

/// A transformation stage. The type itself is the fitted transformation.
pub trait Transformation: Sized + 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Fits the transformation to the training rows and writes what [`load`](Self::load) reads. The
    /// table has features, the target and optionally a weight.
    ///
    /// # Errors
    /// `data` if the rows cannot be learnt from; `parameter` if the parameters do not fit the
    /// table.
    fn fit(
        train: &dyn Table,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        state: &mut BlobWriter,
    ) -> Result<(), Failure>;

    /// Loads a state that [`fit`](Self::fit) wrote. `inputs` are the fields of every batch to
    /// transform: the features that `fit` saw, in their order.
    ///
    /// # Errors
    /// `internal` if another stage or version wrote the state.
    fn load(state: &mut BlobReader<'_>, inputs: &[Field]) -> Result<Self, Failure>;

    /// Prepares for many calls. This must not change results.
    fn warm_up(&self) {}

    /// Returns the columns of the result of [`transform`](Self::transform).
    fn fields(&self) -> Vec<Field>;

    /// Transforms rows. `rows` has the feature columns that `fit` saw, in their order. Each row of
    /// the result may depend on the same row of the input and on the state only.
    ///
    /// # Errors
    /// `data`, with column and row.
    fn transform(&self, rows: Batch) -> Result<Batch, Failure>;

    /// Transforms rows into numbers. The kit calls this in place of [`transform`](Self::transform)
    /// if all [`fields`](Self::fields) are float64 without nulls, and the result must be the same.
    /// `features` is all zeros at first: row `i` of feature `j` is `features[j * rows.len() + i]`.
    ///
    /// The default calls `transform`. A stage that reads the view and writes the numbers needs no
    /// allocation for each column, which matters when a model serves single rows.
    ///
    /// # Errors
    /// As for `transform`.
    fn transform_into(&self, rows: &BatchView<'_>, features: &mut [f64]) -> Result<(), Failure> {
        let transformed = self.transform(rows.to_batch())?;
        copy_numbers(&transformed, rows.len(), features)
    }
}

/// Copies float64 columns without nulls to `numbers`, column after column.
fn copy_numbers(batch: &Batch, rows: usize, numbers: &mut [f64]) -> Result<(), Failure> {
    if batch.len() != rows || batch.columns.len() * rows != numbers.len() {
        let (found, columns) = (batch.len(), batch.columns.len());
        return Err(Failure::internal(format!("{found} rows of {columns} features were made of {rows} rows")));
    }
    for (place, (column, numbers)) in batch.columns.iter().zip(numbers.chunks_exact_mut(rows.max(1))).enumerate() {
        let values = column.as_f64().filter(|values| values.len() == rows && column.null_count(rows) == 0);
        let values = values.ok_or_else(|| Failure::internal(format!("feature {place} is not as its field says")))?;
        numbers.copy_from_slice(values);
    }
    Ok(())
}

/// A transformation that may change the number of training rows, as SMOTE does.
pub trait Rebalancing: Transformation {
    /// Changes the number of transformed training rows. `None` leaves them unchanged.
    ///
    /// # Errors
    /// `data` if the rows do not allow it, for example if a class has too few.
    fn rebalance(
        train: &dyn Table,
        task: &Task,
        settings: &Settings<Self::Parameters>,
    ) -> Result<Option<FinishedTable>, Failure>;
}

/// A loaded transformation, as a resource of the contract.
pub struct LoadedTransformation<T> {
    transformation: T,
    inputs: Vec<Field>,
    fields: Vec<Field>,
    /// Whether all features are float64 without nulls.
    makes_numbers: bool,
}

impl<T: Transformation> LoadedTransformation<T> {
    /// Creates one that gets batches with the fields `inputs`.
    pub fn new(transformation: T, inputs: Vec<Field>) -> Self {
        let fields = transformation.fields();
        let makes_numbers = packed::is_matrix(&fields);
        Self { transformation, inputs, fields, makes_numbers }
    }

    /// Transforms a batch as the host passes it.
    ///
    /// # Errors
    /// As for [`Transformation::transform`].
    pub fn transform(&self, rows: &types::Batch) -> Result<types::Batch, Failure> {
        if !self.makes_numbers {
            return packed::encode(&self.fields, &self.transformation.transform(packed::decode(&self.inputs, rows)?)?);
        }
        packed::encode_matrix(rows.rows, self.fields.len(), |features| {
            packed::with_view(&self.inputs, rows, |view| self.transformation.transform_into(view, features))
        })
    }
}

impl<T: Transformation + Described> Guest for Stage<T> {
    type Transformer = LoadedTransformation<T>;

    fn fit(train: tables::Table, task: types::Task, settings: types::Settings) -> Result<blobs::Blob, Failure> {
        let settings = Settings::parse(&settings)?;
        let mut state = BlobWriter::new();
        T::fit(&HostTable::new(train), &task, &settings, &mut state)?;
        state.finish()
    }
}

impl<T: Rebalancing + Described> rebalance::Guest for Stage<T> {
    fn rebalance(
        train: tables::Table,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<Option<tables::Table>, Failure> {
        let rebalanced = T::rebalance(&HostTable::new(train), &task, &Settings::parse(&settings)?)?;
        Ok(rebalanced.map(FinishedTable::into_imported))
    }
}

impl<T: Transformation + Described> GuestTransformer for LoadedTransformation<T> {
    fn load(state: blobs::Blob, inputs: Vec<Field>) -> Result<Transformer, Failure> {
        let transformation = T::load(&mut BlobReader::new(&state), &inputs)?;
        Ok(Transformer::new(Self::new(transformation, inputs)))
    }

    fn warm_up(&self) {
        self.transformation.warm_up();
    }

    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }

    fn transform(&self, rows: types::Batch) -> Result<types::Batch, Failure> {
        self.transform(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, DataType, NoParameters};

    /// Adds a column of doubles; text becomes its length. Fails to say so of one field.
    struct Doubling {
        nullable: bool,
        forgets: bool,
    }

    impl Transformation for Doubling {
        type Parameters = NoParameters;

        fn fit(_: &dyn Table, _: &Task, _: &Settings<NoParameters>, _: &mut BlobWriter) -> Result<(), Failure> {
            Err(Failure::internal("there is nothing to learn"))
        }

        fn load(_: &mut BlobReader<'_>, _: &[Field]) -> Result<Self, Failure> {
            Ok(Self { nullable: false, forgets: false })
        }

        fn fields(&self) -> Vec<Field> {
            let second = Field { nullable: self.nullable, ..Field::required("double", DataType::Float64) };
            vec![Field::required("length", DataType::Float64), second]
        }

        fn transform(&self, rows: Batch) -> Result<Batch, Failure> {
            let texts = rows.columns[0].as_text()?.ok_or_else(|| Failure::internal("no text"))?;
            let lengths: Vec<f64> = texts.iter().map(|text| text.map_or(f64::NAN, |text| text.len() as f64)).collect();
            let mut columns = vec![Column::from(lengths.clone())];
            if !self.forgets {
                columns.push(lengths.iter().map(|length| 2.0 * length).collect::<Vec<_>>().into());
            }
            Ok(Batch::new(rows.rows, columns))
        }
    }

    fn transformed(transformation: Doubling, texts: &[Option<&str>]) -> Result<types::Batch, Failure> {
        let inputs = vec![Field::nullable("text", DataType::Utf8)];
        let rows = Batch::new(texts.len() as u32, vec![Column::utf8(texts.iter().copied())]);
        let rows = packed::encode(&inputs, &rows)?;
        LoadedTransformation::new(transformation, inputs).transform(&rows)
    }

    #[test]
    fn numbers_are_made_as_columns_are() {
        for texts in [[Some("zwölf"), None, Some("")].as_slice(), &[Some("a")], &[]] {
            let numbers = transformed(Doubling { nullable: false, forgets: false }, texts).unwrap();
            let columns = transformed(Doubling { nullable: true, forgets: false }, texts).unwrap();
            // The field that may hold nulls has a validity before its values.
            let (rows, padded) = (texts.len(), texts.len().div_ceil(8).next_multiple_of(8));
            assert_eq!(numbers.bytes[..rows * 8], columns.bytes[..rows * 8]);
            assert_eq!(numbers.bytes[rows * 8..], columns.bytes[rows * 8 + padded..]);
        }
    }

    #[test]
    fn a_transformation_that_forgets_a_feature_is_told_so() {
        let failure = transformed(Doubling { nullable: false, forgets: true }, &[Some("a"), Some("b")]);
        assert!(matches!(failure, Err(Failure::Internal(message)) if message.contains("1 features")));
    }
}
