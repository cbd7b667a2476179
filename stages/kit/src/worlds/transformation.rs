//! The third stage: from raw columns to features.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::transform::{Guest, GuestTransformer, Transformer};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::{Batch, BlobReader, BlobWriter, Described, Failure, Field, FinishedTable, Settings, Table, Task};

/// A transformation stage. The type itself is the fitted transformation.
pub trait Transformation: Sized + 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Learns from the training rows (features, target, weight if there is one) and writes what [`load`](Self::load)
    /// reads.
    ///
    /// # Errors
    /// `data` if nothing can be learnt from the rows, `parameter` if the parameters do not fit the table.
    fn fit(
        train: &dyn Table,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        state: &mut BlobWriter,
    ) -> Result<(), Failure>;

    /// Changes the number of transformed training rows (SMOTE); `None` leaves them as they are.
    ///
    /// # Errors
    /// `data` if the rows do not allow it (a class with too few).
    fn rebalance(
        _train: &dyn Table,
        _task: &Task,
        _settings: &Settings<Self::Parameters>,
    ) -> Result<Option<FinishedTable>, Failure> {
        Ok(None)
    }

    /// Reads what [`fit`](Self::fit) wrote.
    ///
    /// # Errors
    /// `internal` if the state is not of this stage and version.
    fn load(state: &mut BlobReader<'_>) -> Result<Self, Failure>;

    /// The columns that [`transform`](Self::transform) returns.
    fn fields(&self) -> Vec<Field>;

    /// Transforms the feature columns that `fit` saw, in their order. Row-wise: each row of the result depends on its
    /// row of the input and on the state alone.
    ///
    /// # Errors
    /// `data`, with column and row.
    fn transform(&self, rows: Batch) -> Result<Batch, Failure>;
}

/// A loaded transformation, as the resource that the host holds.
pub struct Loaded<T>(T);

impl<T: Transformation + Described> Guest for Stage<T> {
    type Transformer = Loaded<T>;

    fn fit(train: &tables::Table, task: types::Task, settings: types::Settings) -> Result<blobs::Blob, Failure> {
        let settings = Settings::parse(&settings)?;
        let mut state = BlobWriter::new();
        T::fit(train, &task, &settings, &mut state)?;
        state.finish()
    }

    fn rebalance(
        train: &tables::Table,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<Option<tables::Table>, Failure> {
        let rebalanced = T::rebalance(train, &task, &Settings::parse(&settings)?)?;
        Ok(rebalanced.map(FinishedTable::into_imported))
    }
}

impl<T: Transformation + Described> GuestTransformer for Loaded<T> {
    fn load(state: &blobs::Blob) -> Result<Transformer, Failure> {
        Ok(Transformer::new(Self(T::load(&mut BlobReader::new(state))?)))
    }

    fn fields(&self) -> Vec<Field> {
        self.0.fields()
    }

    fn transform(&self, rows: Batch) -> Result<Batch, Failure> {
        self.0.transform(rows)
    }
}
