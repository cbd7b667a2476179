//! The optional interface `shards`: training in independent parts.

use super::{Described, Stage};
use crate::bindings::exports::stagewright::stage::shards::{Guest, Plan};
use crate::bindings::stagewright::stage::{blobs, tables, types};
use crate::table::HostTable;
use crate::{Blob, BlobWriter, Failure, Settings, Table, Task, Training};

/// A training stage that the host may run in parts, in several instances at once.
pub trait Sharding: Training {
    /// Returns the number of parts and writes data that they have in common, such as binned
    /// columns, so that it is computed once. The plan may depend on the arguments only. With fewer
    /// than two parts, the common data is ignored.
    ///
    /// # Errors
    /// As for [`Training::train`].
    fn plan_shards(
        train: &dyn Table,
        validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        common: &mut BlobWriter,
    ) -> Result<u32, Failure>;

    /// Trains part `shard` of `shards`, counted from 0. `common` is what
    /// [`plan_shards`](Self::plan_shards) wrote.
    ///
    /// # Errors
    /// As for [`Training::train`].
    fn train_shard(
        train: &dyn Table,
        validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Self::Parameters>,
        common: &dyn Blob,
        shard: (u32, u32),
        part: &mut BlobWriter,
    ) -> Result<(), Failure>;

    /// Merges the parts, in their order, to the model that [`Training::train`] would have written.
    ///
    /// # Errors
    /// `internal` if a part is not of this stage and version.
    fn merge(
        parts: &[&dyn Blob],
        settings: &Settings<Self::Parameters>,
        common: &dyn Blob,
        model: &mut BlobWriter,
    ) -> Result<(), Failure>;
}

impl<T: Sharding + Described> Guest for Stage<T> {
    fn plan_shards(
        train: tables::Table,
        validation: Option<tables::Table>,
        task: types::Task,
        settings: types::Settings,
    ) -> Result<Plan, Failure> {
        let (train, validation) = (HostTable::new(train), validation.map(HostTable::new));
        let validation = validation.as_ref().map(|table| table as &dyn Table);
        let mut common = BlobWriter::new();
        let shards = T::plan_shards(&train, validation, &task, &Settings::parse(&settings)?, &mut common)?;
        Ok(Plan { shards, common: common.finish()? })
    }

    fn train_shard(
        train: tables::Table,
        validation: Option<tables::Table>,
        task: types::Task,
        settings: types::Settings,
        common: blobs::Blob,
        shard: u32,
        shards: u32,
    ) -> Result<blobs::Blob, Failure> {
        let (train, validation) = (HostTable::new(train), validation.map(HostTable::new));
        let validation = validation.as_ref().map(|table| table as &dyn Table);
        let settings = Settings::parse(&settings)?;
        let mut part = BlobWriter::new();
        T::train_shard(&train, validation, &task, &settings, &common, (shard, shards), &mut part)?;
        part.finish()
    }

    fn merge(parts: Vec<blobs::Blob>, settings: types::Settings, common: blobs::Blob) -> Result<blobs::Blob, Failure> {
        let parts: Vec<&dyn Blob> = parts.iter().map(|part| part as &dyn Blob).collect();
        let mut model = BlobWriter::new();
        T::merge(&parts, &Settings::parse(&settings)?, &common, &mut model)?;
        model.finish()
    }
}
