//! Validates a table against its signature and declared bounds.
//!
//! This reads the table once. It keeps counts, at most 20 example cells for each check, at most
//! 1,000 distinct values for each column, and 24 bytes a row for each column that must be unique. A
//! defect of the data is a finding, not a failure.
//!
//! # Checks
//!
//! - `presence`, for each column: a column of the signature is in the table. Other columns:
//!   `extra_columns`.
//! - `type`, for each column of the signature: its type is the signature's; utf8 and categorical
//!   are alike. Names the first value that cannot be read as the type.
//! - `nullability`, for each column of the signature: it has no nulls, or may have some.
//! - `schema_match`, for the table: `presence` and `type` pass for all columns.
//! - `row_count`, for the table: rows >= `min_rows`, rows > `more_than_rows`.
//! - `null_ratio`, for each column: nulls / rows <= `max_null_ratio`, nulls / rows <
//!   `null_ratio_below`.
//! - `range`, for the columns in `ranges`: they are numbers or timestamps, and at most
//!   `max_out_of_range_ratio` of the values are outside.
//! - `allowed_values`, for the columns in `allowed`: they are not timestamps, and at most
//!   `max_out_of_range_ratio` of the values are outside.
//! - `unique`, for the columns in `unique`: no value occurs twice.
//!
//! # Parameters
//!
//! All are optional. A check that cannot apply to the type of its column, such as a range of text,
//! fails. If the manifest declares the type, the host reports this before anything runs.
//!
//! - `min_rows` (1, unless `more_than_rows` is given): the least number of rows.
//! - `more_than_rows`: the table must have more rows than this.
//! - `max_null_ratio` (0.1, unless `null_ratio_below` is given): the largest share of nulls of each
//!   column.
//! - `null_ratio_below`: the share of nulls of each column must be less than this.
//! - `columns.NAME`: `{ max_null_ratio, null_ratio_below }` for one column, instead of the general
//!   ones.
//! - `ranges.NAME`: `{ min, max }`, both inclusive. Timestamps are in microseconds since 1970; NaN
//!   is outside; nulls are ignored.
//! - `allowed.NAME`: a list of texts, numbers or flags. Nulls are ignored.
//! - `max_out_of_range_ratio` (0.0): the share of values that may be outside.
//! - `extra_columns` (`"error"`), for columns that the signature does not have: `"error"`,
//!   `"ignore"`.
//! - `unique` (`[]`): the columns without duplicates.

mod checks;
mod duplicates;
pub mod parameters;
mod summary;
#[cfg(test)]
mod tests;
mod validation;

use stagewright_kit::{Failure, Field, Findings, Settings, Table, Validation};

use parameters::Parameters;

/// The stage.
#[derive(Debug)]
pub struct Checks;

impl Validation for Checks {
    type Parameters = Parameters;

    fn validate(table: &dyn Table, expected: &[Field], settings: &Settings<Parameters>) -> Result<Findings, Failure> {
        validation::validate(table, expected, &settings.parameters)
    }
}

stagewright_kit::validation!(Checks);
