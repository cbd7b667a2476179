//! Validates a table against its signature and declared requirements.
//!
//! This reads the table once, and each table that it refers to once before. It keeps counts, at
//! most 20 example cells for each check, at most 1,000 distinct values for each column, and 16
//! bytes for each slot of a hash table for each check of uniqueness or references (see [`keys`]). A
//! defect of the data is a finding, not a failure.
//!
//! docs/checks.md lists the checks, with what passes at each boundary.

mod cells;
mod checks;
mod duration;
mod keys;
pub mod parameters;
mod rule;
mod summary;
#[cfg(test)]
mod tests;
mod validation;
mod words;

use stagewright_kit::{Assessing, Assessment, Failure, Field, Findings, Inputs, Settings, Table, Validation};

use parameters::Parameters;

/// The stage.
#[derive(Debug)]
pub struct Checks;

impl Validation for Checks {
    type Parameters = Parameters;

    fn validate(table: &dyn Table, expected: &[Field], settings: &Settings<Parameters>) -> Result<Findings, Failure> {
        Ok(Self::assess(table, &Inputs::new([]), expected, settings)?.findings)
    }
}

impl Assessing for Checks {
    fn assess(
        table: &dyn Table,
        references: &Inputs,
        expected: &[Field],
        settings: &Settings<Parameters>,
    ) -> Result<Assessment, Failure> {
        validation::validate(table, references, expected, settings)
    }
}

stagewright_kit::assessing_validation!(Checks);
