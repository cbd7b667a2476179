//! Training whose work falls into independent parts.

use super::{Described, Stage};
use crate::bindings::exports::stagewright::stage::shards::Guest;
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::{Blob, BlobWriter, Failure, Settings, Table, Task, Training};

/// A training stage that the host may run in parts, in several instances at once.
pub trait Sharding: Training {
    /// Into how many parts the training falls. Depends on nothing but its arguments.
    ///
    /// # Errors
    /// `parameter` if the parameters contradict each other.
    fn plan_shards(rows: u64, settings: &Settings<Self::Parameters>) -> Result<u32, Failure>;

    /// Trains part `shard` of `shards`, counted from 0.
    ///
    /// # Errors
    /// As [`Training::train`].
    fn train_shard(
        train: &dyn Table,
        validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        shard: (u32, u32),
        part: &mut BlobWriter,
    ) -> Result<(), Failure>;

    /// Puts the parts together, in order of their numbers, to what [`Training::train`] would have written.
    ///
    /// # Errors
    /// `internal` if a part is not of this stage and version.
    fn merge(parts: &[&dyn Blob], settings: &Settings<Self::Parameters>, model: &mut BlobWriter)
    -> Result<(), Failure>;
}

impl<T: Sharding + Described> Guest for Stage<T> {
    fn plan_shards(rows: u64, settings: types::Settings) -> Result<u32, Failure> {
        T::plan_shards(rows, &Settings::parse(&settings)?)
    }

    fn train_shard(
        train: &tables::Table,
        validation: Option<&tables::Table>,
        task: types::Task,
        settings: types::Settings,
        shard: u32,
        shards: u32,
    ) -> Result<blobs::Blob, Failure> {
        let settings = Settings::parse(&settings)?;
        let validation = validation.map(|table| table as &dyn Table);
        let mut part = BlobWriter::new();
        T::train_shard(train, validation, &task, &settings, (shard, shards), &mut part)?;
        part.finish()
    }

    fn merge(parts: Vec<blobs::Blob>, settings: types::Settings) -> Result<blobs::Blob, Failure> {
        let parts: Vec<&dyn Blob> = parts.iter().map(|part| part as &dyn Blob).collect();
        let mut model = BlobWriter::new();
        T::merge(&parts, &Settings::parse(&settings)?, &mut model)?;
        model.finish()
    }
}
