//! The first stage: data from outside becomes a table.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::ingest::Guest;
use crate::bindings::stagewright::stage::{tables, types};
use crate::{Described, Failure, FinishedTable, Settings};

/// An ingestion stage.
pub trait Ingestion: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Reads the source that the manifest hands over (see [`source::open`](crate::source::open)), or makes data up.
    ///
    /// # Errors
    /// What the source says, as it is.
    fn ingest(source: Option<&str>, settings: &Settings<Self::Parameters>) -> Result<FinishedTable, Failure>;
}

impl<T: Ingestion + Described> Guest for Stage<T> {
    fn ingest(source: Option<String>, settings: types::Settings) -> Result<tables::Table, Failure> {
        Ok(T::ingest(source.as_deref(), &Settings::parse(&settings)?)?.into_imported())
    }
}
