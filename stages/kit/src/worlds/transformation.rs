//! The world `transformation`: turns raw columns into features.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::rebalance;
use crate::bindings::exports::stagewright::stage::transform::{Guest, GuestTransformer, Transformer};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::table::HostTable;
use crate::{
    ANY_TASK, Batch, BlobReader, BlobWriter, Described, Failure, Field, FinishedTable, Settings, Table, Task, TaskKind,
    packed,
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
pub struct Loaded<T> {
    transformation: T,
    inputs: Vec<Field>,
    fields: Vec<Field>,
}

impl<T: Transformation + Described> Guest for Stage<T> {
    type Transformer = Loaded<T>;

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

impl<T: Transformation + Described> GuestTransformer for Loaded<T> {
    fn load(state: blobs::Blob, inputs: Vec<Field>) -> Result<Transformer, Failure> {
        let transformation = T::load(&mut BlobReader::new(&state), &inputs)?;
        let fields = transformation.fields();
        Ok(Transformer::new(Self { transformation, inputs, fields }))
    }

    fn warm_up(&self) {
        self.transformation.warm_up();
    }

    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }

    fn transform(&self, rows: types::Batch) -> Result<types::Batch, Failure> {
        let features = self.transformation.transform(packed::decode(&self.inputs, &rows)?)?;
        packed::encode(&self.fields, &features)
    }
}
