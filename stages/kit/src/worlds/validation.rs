//! The world `validation`: checks a table. With the optional interface `assess`, it does so
//! together with other tables.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::assess::{self, Assessment};
use crate::bindings::exports::stagewright::stage::validate::{Findings, Guest};
use crate::bindings::stagewright::stage::{tables, types};
use crate::table::HostTable;
use crate::{ANY_TASK, Described, Failure, Field, Inputs, Settings, Table, TaskKind};

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

/// A validation stage that also gets other tables, and whose checks may warn.
pub trait Assessing: Validation {
    /// Checks the whole table as [`Validation::validate`] does, together with the other tables that
    /// the manifest passes to the stage. The host calls this instead.
    ///
    /// # Errors
    /// As for [`Validation::validate`]; `parameter` if the parameters name a table that the
    /// manifest does not pass.
    fn assess(
        table: &dyn Table,
        references: &Inputs,
        expected: &[Field],
        settings: &Settings<Self::Parameters>,
    ) -> Result<Assessment, Failure>;
}

impl<T: Assessing + Described> assess::Guest for Stage<T> {
    fn assess(
        table: tables::Table,
        references: Vec<(String, tables::Table)>,
        expected: Vec<types::Field>,
        settings: types::Settings,
    ) -> Result<Assessment, Failure> {
        let references = Inputs::of_host(references);
        T::assess(&HostTable::new(table), &references, &expected, &Settings::parse(&settings)?)
    }
}
