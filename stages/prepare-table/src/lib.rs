//! The preparation stage `prepare-table`: makes one table of several by steps that the manifest
//! lists: joins, filters, formulas, groups, windows of time. polars does the work on the columns.
//!
//! Two rules keep the answer out of the features. They are about columns, so that no operation can
//! forget them ([`leaks`]):
//!
//! - A column that is computed from the target has a name that begins with `target_`. The host
//!   tells which input column the target is.
//! - A column that is computed from rows of all times, and is in rows that have a time, has a name
//!   that begins with `all_time_`.
//!
//! Results do not depend on the order of the input rows, but for the order of rows itself, which is
//! that of the table that a step works on. So sums are made in the order of values.

mod conditions;
mod formulas;
mod frame;
mod group;
mod joins;
mod leaks;
mod parameters;
mod rows;
mod spans;
mod steps;
mod time_parts;
mod windows;

use stagewright_kit::{Failure, FinishedTable, Inputs, Preparation, Settings};

pub use parameters::Parameters;
use steps::Prepared;

/// The stage.
pub struct PrepareTable;

impl Preparation for PrepareTable {
    type Parameters = Parameters;

    fn prepare(inputs: &Inputs, settings: &Settings<Parameters>) -> Result<FinishedTable, Failure> {
        let Prepared { table, joins } = steps::run(inputs, &settings.parameters)?;
        steps::report(&joins)?;
        let facts = table.facts.clone();
        let result = table.write()?;
        leaks::check_result(&result, &facts)?;
        Ok(result)
    }
}

stagewright_kit::preparation!(PrepareTable);

#[cfg(test)]
mod tests;
