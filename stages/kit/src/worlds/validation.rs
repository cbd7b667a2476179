//! The world `validation`: checks a table.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::validate::{Findings, Guest};
use crate::bindings::stagewright::stage::{tables, types};
use crate::table::HostTable;
use crate::{ANY_TASK, Described, Failure, Field, Settings, Table, TaskKind};

/// A validation stage.
pub trait Validation: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Checks the whole table against `expected`, the signature in the manifest, and against the
    /// parameters. A defect of the data is a finding, not a failure.
    ///
    /// # Errors
    /// Only if a check cannot be made.
    fn validate(
        table: &dyn Table,
        expected: &[Field],
        settings: &Settings<Self::Parameters>,
    ) -> Result<Findings, Failure>;
}

impl<T: Validation + Described> Guest for Stage<T> {
    fn validate(
        table: tables::Table,
        expected: Vec<types::Field>,
        settings: types::Settings,
    ) -> Result<Findings, Failure> {
        T::validate(&HostTable::new(table), &expected, &Settings::parse(&settings)?)
    }
}
