//! Rows of JSON: one object for each, or objects `{"rows": [...]}`.
//!
//! A missing key is an error and not a null, so that a misspelt name does not count as a missing
//! value. Nested values become JSON text in utf8 and categorical columns and fit no other. Numbers
//! are read from their digits.

use std::io::Read;

use super::json_values::JsonValues;
use super::pieces::Pieces;
use crate::error::{DataError, DataFault, listed};
use crate::interrupt::Interrupt;
use crate::json::{Halt, Kind, Raw, Scanner};
use crate::rows::{Found, ROWS, RowPlan};
use crate::source::{BatchSink, CellVisitor};

/// Rows between two checks of the interrupt.
const ROWS_PER_LOOK: u64 = 1024;

/// Passes rows of JSON to the pieces. `name` is the text in errors.
pub(crate) fn visit_json(
    text: impl Read,
    name: &str,
    interrupt: &Interrupt,
    pieces: &mut Pieces<impl BatchSink>,
) -> Result<(), DataError> {
    let plan = pieces.plan();
    let mut values = JsonValues::new(text, name)?;
    pieces.opened()?;
    loop {
        let number = pieces.row();
        if number.is_multiple_of(ROWS_PER_LOOK) && interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        let row = values.next().map_err(|error| match error {
            DataError::Fault(fault) => DataError::from(fault.in_row(number)),
            error => error,
        })?;
        let Some(row) = row else { return Ok(()) };
        let members = Members::of(&mut Scanner::new(row), &plan, number)?;
        match members.wrapped(&plan) {
            Some(rows) => wrapped(rows, &plan, pieces)?,
            None => members.append(&plan, pieces)?,
        }
    }
}

/// Appends the rows of an array in an object that is no row itself.
fn wrapped(rows: Raw<'_>, plan: &RowPlan, pieces: &mut Pieces<impl BatchSink>) -> Result<(), DataError> {
    if rows.kind != Kind::Array {
        return Err(DataFault::of_value(rows.text, "is not an array of rows").in_column(ROWS).into());
    }
    let mut failed = None;
    let read = Scanner::new(rows.text).elements(|scanner| {
        let appended = Members::of(scanner, plan, pieces.row()).and_then(|row| row.append(plan, pieces));
        appended.map_err(|error| {
            failed = Some(error);
            Halt::Done
        })
    });
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) => Err(not_json("it has changed while it was read", pieces.row())),
    }
}

fn not_json(problem: impl std::fmt::Display, row: u64) -> DataError {
    DataFault::new(format!("the text is not JSON: {problem}")).in_row(row).into()
}

/// The members of a row, before they are decoded.
struct Members<'a> {
    /// By slot of the plan.
    values: Vec<Option<Raw<'a>>>,
    /// The value of a member [`ROWS`], where it is no column.
    rows: Option<Raw<'a>>,
}

impl<'a> Members<'a> {
    /// Reads the members of the next value, which is row `number`. The last of several members with
    /// the same name wins.
    fn of(scanner: &mut Scanner<'a>, plan: &RowPlan, number: u64) -> Result<Self, DataError> {
        if scanner.peek() != Some(b'{') {
            let text = scanner.value().map_or("", |value| value.text);
            let fault = DataFault::of_value(text, "is not an object with a value for each column");
            return Err(fault.in_row(number).into());
        }
        let mut members = Self { values: vec![None; plan.slots], rows: None };
        let (mut expected, mut unreadable) = (0, None);
        let read = scanner.members(|name, value| match name.string() {
            Ok(name) => match plan.find(&name, &mut expected) {
                Found::Slot(slot) => members.values[slot] = Some(value),
                Found::Unknown if *name == *ROWS => members.rows = Some(value),
                Found::NotRead | Found::Unknown => {}
            },
            Err(error) => unreadable = Some(error),
        });
        match (read, unreadable) {
            // The text was validated. A value may be nested deeper than is read.
            (Err(_), _) => Err(not_json("recursion limit exceeded", number)),
            (Ok(()), Some(error)) => Err(not_json(error, number)),
            (Ok(()), None) => Ok(members),
        }
    }

    /// Returns the rows in an object that is no row itself: it has a member [`ROWS`] and no value
    /// that is read.
    fn wrapped(&self, plan: &RowPlan) -> Option<Raw<'a>> {
        self.rows.filter(|_| plan.admits_wrapper() && self.values.iter().all(Option::is_none))
    }

    /// Appends the row.
    fn append(&self, plan: &RowPlan, pieces: &mut Pieces<impl BatchSink>) -> Result<(), DataError> {
        let number = pieces.row();
        let features = plan.schema().fields().iter().zip(&self.values);
        let absent = features.filter(|(_, value)| value.is_none()).map(|(field, _)| &field.name);
        let kept = plan.kept.iter().filter(|kept| self.values[kept.slot].is_none()).map(|kept| &kept.name);
        let missing: Vec<&String> = absent.chain(kept).collect();
        if !missing.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&missing));
            return Err(DataFault::new(message).in_row(number).into());
        }
        for (column, value) in self.values[..plan.columns()].iter().enumerate() {
            let Some(value) = value else { continue };
            let decoded = value.with_cell(|cell| pieces.cell(column, cell));
            decoded.map_err(|error| not_json(error, number))?.map_err(DataError::Fault)?;
        }
        for (column, kept) in plan.kept.iter().enumerate() {
            let Some(value) = self.values[kept.slot] else { continue };
            pieces.count_kept(column, value.text.len()).map_err(DataError::Fault)?;
            pieces.kept[column].append_json(&value.kept().map_err(|error| not_json(error, number))?);
        }
        pieces.end_rows(1).map(|_| ())
    }
}
