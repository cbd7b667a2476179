//! Proposes a signature for data that nobody has described yet: what `stagewright init` writes into a manifest.
//!
//! It looks at every value (or at the first rows, if told), keeps the types that all of them fit, and proposes roles. It is a
//! proposal: a person reads it before anything is learnt. The decoder's own parsers are used, so that what is proposed can be read.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use stagewright_store::{DataType, Field, Role};

use crate::cell::{Cell, NullTokens, parse_float64, parse_int64, parse_timestamp};
use crate::error::{DataError, DataFault, listed, shown};
use crate::interrupt::Interrupt;
use crate::signature::Signature;
use crate::source::{CellVisitor, Source, visit};

/// Text with more distinct values than this is proposed as utf8: too many for one-hot columns.
const MAX_CATEGORIES: usize = 100;
/// Distinct values are counted up to here (16 MiB of hashes a column at most).
const MAX_DISTINCT: usize = 1_000_000;
/// Fewer rows say nothing about whether a text names the row.
const MIN_IDENTIFIED_ROWS: u64 = 20;
const EXAMPLES: usize = 3;

/// How to look.
#[derive(Clone, Debug)]
pub struct InferenceOptions {
    /// What stands for a missing value.
    pub null_values: Vec<String>,
    /// Look at so many rows only. Later rows may then hold nulls or other types than proposed.
    pub sample_rows: Option<u64>,
    /// The column that shall be the target.
    pub target: Option<String>,
}

impl Default for InferenceOptions {
    /// All rows; the empty text and a single space are null.
    fn default() -> Self {
        Self { null_values: vec![String::new(), " ".to_owned()], sample_rows: None, target: None }
    }
}

/// A proposal and what it rests on.
#[derive(Clone, Debug)]
pub struct Inference {
    /// The proposed signature.
    pub signature: Signature,
    /// One per column, in order.
    pub columns: Vec<ColumnReport>,
    /// How many rows were looked at.
    pub rows: u64,
    /// Whether there were more.
    pub is_sample: bool,
}

/// What was seen in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnReport {
    /// What is proposed.
    pub field: Field,
    /// Missing values.
    pub nulls: u64,
    /// Distinct values, up to a million.
    pub distinct: u64,
    /// The first distinct values, at most three, cut.
    pub examples: Vec<String>,
    /// Why this type and role, for people.
    pub reason: String,
}

/// Looks at a source and proposes a signature.
///
/// # Errors
/// As [`crate::open`]; [`DataError::Fault`] if there are no rows; [`DataError::Plan`] if the target is not among the columns or
/// a column's name cannot be one.
pub fn infer(source: &Source, options: &InferenceOptions, interrupt: &Interrupt) -> Result<Inference, DataError> {
    let mut census = Census {
        tokens: NullTokens::new(&options.null_values),
        sample_rows: options.sample_rows.unwrap_or(u64::MAX),
        rows: 0,
        columns: Vec::new(),
        hasher: RandomState::new(),
    };
    visit(source, interrupt, &mut census)?;
    if census.rows == 0 {
        return Err(DataFault::new("there are no rows to infer types from").into());
    }
    if let Some(target) = &options.target
        && !census.columns.iter().any(|column| column.name == *target)
    {
        let names: Vec<&str> = census.columns.iter().map(|column| column.name.as_str()).collect();
        let message = format!("there is no column `{}` to be the target", shown(target));
        return Err(DataError::plan(message, format!("name one of {}", listed(&names))));
    }
    let rows = census.rows;
    let columns: Vec<ColumnReport> =
        census.columns.into_iter().map(|column| column.report(rows, options.target.as_deref())).collect();
    let fields = columns.iter().map(|column| column.field.clone()).collect();
    Ok(Inference {
        signature: Signature::new(fields)?.with_null_values(options.null_values.clone()),
        columns,
        rows,
        is_sample: options.sample_rows.is_some_and(|limit| rows >= limit),
    })
}

struct Census {
    tokens: NullTokens,
    sample_rows: u64,
    rows: u64,
    columns: Vec<ColumnCensus>,
    hasher: RandomState,
}

impl CellVisitor for Census {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        crate::signature::unique_places(names)?;
        self.columns = names.iter().map(|name| ColumnCensus::new(name)).collect();
        Ok((0..names.len()).collect())
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        let census = &mut self.columns[column];
        if self.tokens.matches(cell) {
            census.nulls += 1;
        } else {
            census.count(cell, &self.hasher);
        }
        Ok(())
    }

    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.rows += rows as u64;
        Ok(self.rows < self.sample_rows)
    }

    fn rows_at_once(&self) -> usize {
        8192
    }
}

/// A column under observation.
struct ColumnCensus {
    name: String,
    nulls: u64,
    /// Which types all values so far fit.
    fits_boolean: bool,
    fits_int64: bool,
    fits_float64: bool,
    fits_timestamp: bool,
    /// Hashes of the distinct values. With up to a million of them, two values share one with a chance of 3 in 10^8.
    distinct: HashSet<u64>,
    has_repeats: bool,
    examples: Vec<String>,
}

impl ColumnCensus {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nulls: 0,
            fits_boolean: true,
            fits_int64: true,
            fits_float64: true,
            fits_timestamp: true,
            distinct: HashSet::new(),
            has_repeats: false,
            examples: Vec::new(),
        }
    }

    fn count(&mut self, cell: Cell<'_>, hasher: &RandomState) {
        match cell {
            Cell::Text(text) => {
                // Yes and No, 0 and 1 are better left as categories and integers; see docs/types.md.
                self.fits_boolean &= ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(text.trim_ascii()));
                self.fits_int64 = self.fits_int64 && parse_int64(text).is_ok() && !is_code(text);
                self.fits_float64 = self.fits_float64 && parse_float64(text).is_ok() && !is_code(text);
                self.fits_timestamp = self.fits_timestamp && parse_timestamp(text).is_ok();
            }
            _ => {
                self.fits_boolean &= cell.to_boolean().is_ok() && matches!(cell, Cell::Boolean(_));
                self.fits_int64 &= cell.to_int64().is_ok();
                self.fits_float64 &= cell.to_float64().is_ok();
                self.fits_timestamp &= cell.to_timestamp().is_ok();
            }
        }
        if self.distinct.len() < MAX_DISTINCT {
            let hash = cell.with_text(|text| hasher.hash_one(text));
            if !self.distinct.insert(hash) {
                self.has_repeats = true;
            } else if self.examples.len() < EXAMPLES {
                self.examples.push(cell.with_text(shown));
            }
        }
    }

    fn report(self, rows: u64, target: Option<&str>) -> ColumnReport {
        let distinct = self.distinct.len() as u64;
        let (data_type, why_type) = self.propose_type(rows);
        let (role, why_role) = self.propose_role(data_type, rows, target);
        let field = Field { name: self.name, data_type, nullable: self.nulls > 0, role };
        let reason = if why_role.is_empty() { why_type } else { format!("{why_type}; {why_role}") };
        ColumnReport { field, nulls: self.nulls, distinct, examples: self.examples, reason }
    }

    fn propose_type(&self, rows: u64) -> (DataType, String) {
        let distinct = self.distinct.len();
        if self.nulls == rows {
            (DataType::Utf8, "every value is missing".to_owned())
        } else if self.fits_boolean {
            (DataType::Boolean, "every value is true or false".to_owned())
        } else if self.fits_int64 {
            (DataType::Int64, "every value is a whole number".to_owned())
        } else if self.fits_float64 {
            (DataType::Float64, "every value is a number".to_owned())
        } else if self.fits_timestamp {
            (DataType::Timestamp, "every value is a date or time".to_owned())
        } else if distinct <= MAX_CATEGORIES && (self.has_repeats || distinct == 1) {
            (DataType::Categorical, format!("{distinct} distinct texts"))
        } else {
            (DataType::Utf8, format!("{distinct} distinct texts, too many for categories"))
        }
    }

    fn propose_role(&self, data_type: DataType, rows: u64, target: Option<&str>) -> (Role, &'static str) {
        if target == Some(self.name.as_str()) {
            return (Role::Target, "named as the target");
        }
        let is_unique = !self.has_repeats && self.nulls == 0 && rows >= MIN_IDENTIFIED_ROWS;
        match data_type {
            DataType::Utf8 if is_unique => (Role::Identifier, "every value is different"),
            DataType::Int64 if is_unique && sounds_like_identifier(&self.name) => {
                (Role::Identifier, "every value is different, and the name says that it identifies")
            }
            DataType::Timestamp => (Role::Time, "says when"),
            _ => (Role::Feature, ""),
        }
    }
}

/// Whether digits are a name rather than a number: a leading zero would be lost (postal codes).
fn is_code(text: &str) -> bool {
    let digits = text.trim_ascii().as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits.iter().all(u8::is_ascii_digit)
}

/// `id`, `customer_id`, `customerID`, `CustomerId`, `row_number`, `RowNumber`, `key`, ...
fn sounds_like_identifier(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let squeezed: String = lower.chars().filter(|character| character.is_ascii_alphanumeric()).collect();
    ["id", "key", "uuid", "index", "rownumber", "rowid"].contains(&squeezed.as_str())
        || ["_id", "_key", "-id", " id"].iter().any(|ending| lower.ends_with(ending))
        || name.ends_with("ID")
        || name.ends_with("Id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn infer_text(text: &str, options: &InferenceOptions) -> Result<Inference, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        let uri = format!("csv:{}", path.display()).parse().unwrap();
        infer(&Source::new(uri), options, &Interrupt::never())
    }

    fn table() -> String {
        let mut text = "customerID,zip,senior,partner,tenure,charges,since,active,note,empty\n".to_owned();
        for row in 0..40 {
            let partner = if row % 3 == 0 { "Yes" } else { "No" };
            let charges = if row == 7 { " ".to_owned() } else { format!("{row}.5") };
            writeln!(text, "C-{row},0{row},{},{partner},{row},{charges},2024-01-06,TRUE,note {},", row % 2, row % 39)
                .unwrap();
        }
        text
    }

    #[test]
    fn types_and_roles_are_proposed_from_all_values() {
        let options = InferenceOptions { target: Some("partner".to_owned()), ..InferenceOptions::default() };
        let inference = infer_text(&table(), &options).unwrap();
        let found: Vec<(&str, DataType, Role, bool)> = inference
            .columns
            .iter()
            .map(|column| (&*column.field.name, column.field.data_type, column.field.role, column.field.nullable))
            .collect();
        assert_eq!(
            found,
            [
                ("customerID", DataType::Utf8, Role::Identifier, false),
                ("zip", DataType::Utf8, Role::Identifier, false),
                ("senior", DataType::Int64, Role::Feature, false),
                ("partner", DataType::Categorical, Role::Target, false),
                ("tenure", DataType::Int64, Role::Feature, false),
                ("charges", DataType::Float64, Role::Feature, true),
                ("since", DataType::Timestamp, Role::Time, false),
                ("active", DataType::Boolean, Role::Feature, false),
                ("note", DataType::Categorical, Role::Feature, false),
                ("empty", DataType::Utf8, Role::Feature, true),
            ]
        );
        assert_eq!((inference.rows, inference.is_sample), (40, false));
        assert_eq!(inference.columns[5].nulls, 1);
        assert_eq!(inference.columns[3].examples, ["Yes", "No"]);
    }

    #[test]
    fn a_sample_says_that_it_is_one() {
        let options = InferenceOptions { sample_rows: Some(5), ..InferenceOptions::default() };
        let inference = infer_text(&table(), &options).unwrap();
        assert_eq!((inference.rows, inference.is_sample), (5, true));
        assert!(!inference.signature.fields.field("charges").unwrap().nullable, "row 7 was not seen");
    }

    #[test]
    fn a_target_that_is_not_there_is_an_error_that_lists_what_is() {
        let options = InferenceOptions { target: Some("churn".to_owned()), ..InferenceOptions::default() };
        let error = infer_text("a,b\n1,2\n", &options).unwrap_err();
        assert_eq!(error.to_string(), "there is no column `churn` to be the target\nhint: name one of `a`, `b`");
    }

    #[test]
    fn nothing_is_inferred_from_no_rows() {
        let error = infer_text("a,b\n", &InferenceOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), "there are no rows to infer types from");
    }
}
