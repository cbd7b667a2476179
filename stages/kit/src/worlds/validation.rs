//! The second stage: is this table fit to learn from?

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

    /// The tasks that the stage can work on.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Checks the whole table against `expected`, the manifest's signature, and against the parameters. What is wrong
    /// with the data is a finding, not a failure.
    ///
    /// # Errors
    /// Only if the check itself cannot be made.
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
