//! Validation of a table against its signature and declared bounds.
//!
//! Streams the table once and keeps counts, at most 20 example cells a check, at most 1,000 distinct values a column, and 24 bytes a
//! row for each column that must be unique. What is wrong with the data is a finding, not a failure.
//!
//! # Checks
//!
//! | name | of | passes if |
//! | --- | --- | --- |
//! | `presence` | each column of the signature, and each other one | the column is there; other columns: `extra_columns` |
//! | `type` | each column of the signature | its type is the signature's; utf8 and categorical are alike. Names the first value that does not read as one |
//! | `nullability` | each column of the signature | it has no null, or may have |
//! | `schema_match` | the table | `presence` and `type` pass for all columns |
//! | `row_count` | the table | rows >= `min_rows`, rows > `more_than_rows` |
//! | `null_ratio` | each column | nulls / rows <= `max_null_ratio`, nulls / rows < `null_ratio_below` |
//! | `range` | columns in `ranges` | they are numbers or timestamps, and at most `max_out_of_range_ratio` of the values lie outside |
//! | `allowed_values` | columns in `allowed` | they are no timestamps, and likewise |
//! | `unique` | columns in `unique` | no value stands twice |
//!
//! # Parameters
//!
//! All optional. A check that a column's type leaves nothing to look at (a range of text) fails; the host tells it before anything
//! runs, where the manifest declares the column's type.
//!
//! | name | default | meaning |
//! | --- | --- | --- |
//! | `min_rows` | 1, unless `more_than_rows` is given | the table must have at least this many rows |
//! | `more_than_rows` | | the table must have more rows than this |
//! | `max_null_ratio` | 0.1, unless `null_ratio_below` is given | in each column, at most this share of the rows may be null |
//! | `null_ratio_below` | | in each column, the share of nulls must be less than this |
//! | `columns.NAME` | | `{ max_null_ratio, null_ratio_below }` for one column, instead of the general ones |
//! | `ranges.NAME` | | `{ min, max }`, both ends allowed; timestamps count in microseconds since 1970; NaN lies outside, nulls are not looked at |
//! | `allowed.NAME` | | a list of texts, numbers or flags; nulls are not looked at |
//! | `max_out_of_range_ratio` | 0.0 | the share of values that may lie outside |
//! | `extra_columns` | `"error"` | what is done about columns that the signature does not have: `"error"`, `"ignore"` |
//! | `unique` | `[]` | columns without duplicates |

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
