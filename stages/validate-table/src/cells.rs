//! The values of a batch as checks see them, and the checks as the one pass over the table calls
//! them.

use stagewright_kit::{Batch, Cell, Check, Column, TextView, Values};

/// The most example cells of a check, as the contract says.
pub(crate) const EXAMPLES: usize = 20;

/// One column of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) column: &'a Column,
    /// The column as text; `None` for another type.
    pub(crate) text: Option<TextView<'a>>,
    /// The column as numbers, with NaN for null; `None` for text.
    pub(crate) numbers: Option<&'a [f64]>,
    /// The number of the first row in the table.
    pub(crate) start: u64,
    pub(crate) rows: usize,
}

impl Cells<'_> {
    /// Calls `see` with each row that has a text and with the class of the text. A category is
    /// classified once.
    pub(crate) fn each_text<T: Copy>(&self, mut class: impl FnMut(&[u8]) -> T, mut see: impl FnMut(usize, T)) {
        if let Values::Categorical(values) = &self.column.values {
            let categories = values.categories.raw();
            let mut classes: Vec<Option<T>> = vec![None; categories.len()];
            for (row, &code) in values.codes.iter().enumerate() {
                if self.column.is_null(row) {
                    continue;
                }
                let code = code as usize;
                // The host refuses codes of no category.
                if let Some(known) = classes.get_mut(code) {
                    see(row, *known.get_or_insert_with(|| class(categories.get(code))));
                }
            }
        } else if let Some(text) = self.text {
            for row in 0..text.len() {
                if let Some(text) = text.bytes(row) {
                    see(row, class(text));
                }
            }
        }
    }
}

/// All columns of a batch.
pub(crate) struct Rows<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) texts: &'a [Option<TextView<'a>>],
    pub(crate) start: u64,
}

/// A check of one column.
pub(crate) trait ColumnCheck {
    /// Sees the next rows.
    fn see(&mut self, cells: &Cells<'_>);
    /// Adds the results.
    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>);
}

/// A check of several columns.
pub(crate) trait TableCheck {
    /// Sees the next rows.
    fn see(&mut self, rows: &Rows<'_>);
    /// Adds the results.
    fn finish(self: Box<Self>, rows: u64, found: &mut Vec<Found>);
}

/// The size of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals<'a> {
    pub(crate) column: &'a str,
    pub(crate) rows: u64,
    pub(crate) nulls: u64,
}

impl Totals<'_> {
    /// Returns the number of values that are not null.
    pub(crate) fn values(&self) -> u64 {
        self.rows - self.nulls
    }
}

/// The meaning of a check that does not pass for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It ends.
    Error,
    /// It continues.
    Warn,
}

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) severity: Severity,
    pub(crate) check: Check,
}

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

/// Formats a requirement that a share of rows may break.
pub(crate) fn but_for(expected: String, ratio: f64) -> String {
    if ratio == 0.0 { expected } else { format!("{expected}, but for at most {} %", 100.0 * ratio) }
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

/// Returns the result of a check that broke no rows and passes or not.
pub(crate) fn verdict(name: &str, column: Option<&str>, passed: bool, observed: String, expected: String) -> Check {
    Check {
        name: name.to_owned(),
        column: column.map(str::to_owned),
        passed,
        observed,
        expected,
        failures: 0,
        examples: Vec::new(),
    }
}
