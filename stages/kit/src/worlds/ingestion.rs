//! The first stage: data from outside becomes a table.

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

    /// The tasks that the stage can work on.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Reads the sources that the manifest hands over, by their names (see
    /// [`source::open`](crate::source::open)), or makes data up.
    ///
    /// # Errors
    /// What the source says, as it is.
    fn ingest(sources: &[String], settings: &Settings<Self::Parameters>) -> Result<FinishedTable, Failure>;
}

impl<T: Ingestion + Described> Guest for Stage<T> {
    fn ingest(sources: Vec<String>, settings: types::Settings) -> Result<tables::Table, Failure> {
        Ok(T::ingest(&sources, &Settings::parse(&settings)?)?.into_imported())
    }
}
