//! The world `ingestion`: turns external data into a table.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::ingest::Guest;
use crate::bindings::stagewright::stage::{tables, types};
use crate::{ANY_TASK, Described, Failure, FinishedTable, Settings, TaskKind};

/// An ingestion stage.
pub trait Ingestion: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Reads the sources that the manifest passes, by their names (see
    /// [`source::open`](crate::source::open)), or generates data.
    ///
    /// # Errors
    /// Returns the source's failure unchanged.
    fn ingest(sources: &[String], settings: &Settings<Self::Parameters>) -> Result<FinishedTable, Failure>;
}

impl<T: Ingestion + Described> Guest for Stage<T> {
    fn ingest(sources: Vec<String>, settings: types::Settings) -> Result<tables::Table, Failure> {
        Ok(T::ingest(&sources, &Settings::parse(&settings)?)?.into_imported())
    }
}
