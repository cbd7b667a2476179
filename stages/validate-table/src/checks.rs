//! The checks of one column: its values against range, allowed values, type, nulls and uniqueness.
//!
//! Each check sees every batch once, and keeps counts and at most [`EXAMPLES`] cells.

use std::collections::HashSet;

use stagewright_kit::{Cell, Check, Column, DataType, Failure, Values};

use crate::duplicates::Duplicates;
use crate::parameters::{Allowed, Range};

/// The most example cells of a check, as the contract says.
pub(crate) const EXAMPLES: usize = 20;

/// The rows that break a check.
#[derive(Debug, Default)]
pub(crate) struct Breaches {
    pub(crate) rows: u64,
    pub(crate) examples: Vec<Cell>,
}

impl Breaches {
    pub(crate) fn add(&mut self, row: u64, value: impl FnOnce() -> Option<String>) {
        self.rows += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(Cell { row, value: value() });
        }
    }
}

/// Formats a number of rows.
pub(crate) fn counted(rows: u64, of: u64, what: &str) -> String {
    let share = if of == 0 { 0.0 } else { 100.0 * rows as f64 / of as f64 };
    format!("{rows} {what}{}, {share:.2} %", if rows == 1 { "" } else { "s" })
}

/// Returns the name of a type.
pub(crate) fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int64 => "int64",
        DataType::Float64 => "float64",
        DataType::Utf8 => "utf8",
        DataType::Categorical => "categorical",
        DataType::Timestamp => "timestamp",
    }
}

/// Returns whether a column of type `found` passes for one of type `expected`. utf8 and categorical
/// are alike.
pub(crate) fn same_type(found: DataType, expected: DataType) -> bool {
    let is_text = |data_type| matches!(data_type, DataType::Utf8 | DataType::Categorical);
    found == expected || (is_text(found) && is_text(expected))
}

/// Returns whether `range` applies to a column of this type.
pub(crate) fn has_range(data_type: DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Float64 | DataType::Timestamp)
}

/// Returns whether `allowed_values` applies to a column of this type; a list cannot name
/// timestamps.
pub(crate) fn has_allowed_values(data_type: DataType) -> bool {
    data_type != DataType::Timestamp
}

/// Returns whether `text` can be read as a value of `data_type`.
fn reads_as(text: &str, data_type: DataType) -> bool {
    match data_type {
        DataType::Boolean => matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "false"),
        DataType::Int64 => text.trim().parse::<i64>().is_ok(),
        DataType::Float64 => text.trim().parse::<f64>().is_ok(),
        DataType::Utf8 | DataType::Categorical => true,
        DataType::Timestamp => false,
    }
}

/// The values of a column of another type than expected that cannot be read as the expected type.
#[derive(Debug)]
pub(crate) struct TypeMismatch {
    pub(crate) expected: DataType,
    pub(crate) breaches: Breaches,
}

impl TypeMismatch {
    pub(crate) fn see(&mut self, column: &Column, start: u64, rows: usize) {
        for row in 0..rows {
            if let Some(value) = column.display(row)
                && !reads_as(&value, self.expected)
            {
                self.breaches.add(start + row as u64, || Some(value));
            }
        }
    }
}

/// Checks the values of a column against a range.
#[derive(Debug)]
pub(crate) struct RangeCheck {
    pub(crate) range: Range,
    pub(crate) breaches: Breaches,
}

impl RangeCheck {
    pub(crate) fn see(&mut self, column: &Column, numbers: &[f64], start: u64) {
        let (low, high) = (self.range.min.unwrap_or(f64::NEG_INFINITY), self.range.max.unwrap_or(f64::INFINITY));
        for (row, number) in numbers.iter().enumerate() {
            // NaN is outside every range. The NaN of a null is skipped.
            if !(low..=high).contains(number) && !column.is_null(row) {
                self.breaches.add(start + row as u64, || column.display(row));
            }
        }
    }

    pub(crate) fn expected(&self) -> String {
        match (self.range.min, self.range.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any number".to_owned(),
        }
    }
}

/// Checks the values of a column against a list.
#[derive(Debug)]
pub(crate) struct AllowedCheck {
    allowed: Vec<Allowed>,
    texts: HashSet<String>,
    pub(crate) breaches: Breaches,
}

impl AllowedCheck {
    pub(crate) fn new(allowed: &[Allowed]) -> Self {
        let text = |allowed: &Allowed| match allowed {
            Allowed::Flag(flag) => flag.to_string(),
            Allowed::Number(number) => number.to_string(),
            Allowed::Text(text) => text.clone(),
        };
        Self { texts: allowed.iter().map(text).collect(), allowed: allowed.to_vec(), breaches: Breaches::default() }
    }

    pub(crate) fn see(
        &mut self,
        column: &Column,
        numbers: Option<&[f64]>,
        start: u64,
        rows: usize,
    ) -> Result<(), Failure> {
        if let Some(texts) = column.as_text()? {
            let mut last = None;
            for (row, text) in texts.iter().enumerate() {
                let Some(text) = text else { continue };
                if last == Some(text) {
                    continue;
                }
                if self.texts.contains(text) {
                    last = Some(text);
                } else {
                    self.breaches.add(start + row as u64, || Some(text.to_owned()));
                }
            }
            return Ok(());
        }
        let numbers = numbers.unwrap_or_default();
        for (row, number) in numbers.iter().enumerate().take(rows) {
            let allowed = self.allowed.iter().any(|allowed| match allowed {
                Allowed::Flag(flag) => f64::from(*flag) == *number,
                Allowed::Number(allowed) => allowed == number,
                Allowed::Text(text) => match &column.values {
                    Values::Boolean(_) => text.parse() == Ok(*number == 1.0),
                    _ => text.parse() == Ok(*number),
                },
            });
            if !allowed && !column.is_null(row) {
                self.breaches.add(start + row as u64, || column.display(row));
            }
        }
        Ok(())
    }

    pub(crate) fn expected(&self) -> String {
        const SHOWN: usize = 10;
        let mut texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        texts.sort_unstable();
        let more = if texts.len() > SHOWN { format!(" or {} more", texts.len() - SHOWN) } else { String::new() };
        texts.truncate(SHOWN);
        format!("one of `{}`{more}", texts.join("`, `"))
    }
}

/// Checks a column for duplicates.
#[derive(Debug, Default)]
pub(crate) struct UniqueCheck {
    duplicates: Duplicates,
    pub(crate) breaches: Breaches,
    /// There were too many values to remember.
    pub(crate) incomplete: bool,
}

impl UniqueCheck {
    pub(crate) fn see(&mut self, column: &Column, start: u64, rows: usize) -> Result<(), Failure> {
        let texts = column.as_text()?;
        for row in 0..rows {
            if column.is_null(row) {
                continue;
            }
            let seen = match (&texts, &column.values) {
                (Some(texts), _) => self.duplicates.see(texts.get(row).unwrap_or_default().as_bytes()),
                (None, Values::Int64(values) | Values::Timestamp(values)) => {
                    self.duplicates.see(&values[row].to_le_bytes())
                }
                (None, Values::Float64(values)) => self.duplicates.see(&(values[row] + 0.0).to_bits().to_le_bytes()),
                (None, _) => self.duplicates.see(column.display(row).unwrap_or_default().as_bytes()),
            };
            match seen {
                Some(true) => self.breaches.add(start + row as u64, || column.display(row)),
                Some(false) => {}
                None => {
                    self.incomplete = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Returns the result of a check, which passes if at most `tolerated` rows break it.
pub(crate) fn check(
    name: &str,
    column: &str,
    breaches: Breaches,
    tolerated: f64,
    observed: String,
    expected: String,
) -> Check {
    Check {
        name: name.to_owned(),
        column: Some(column.to_owned()),
        passed: breaches.rows as f64 <= tolerated,
        observed,
        expected,
        failures: breaches.rows,
        examples: breaches.examples,
    }
}
