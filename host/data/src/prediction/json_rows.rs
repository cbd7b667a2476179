//! Rows of JSON: one object for each, or objects `{"rows": [...]}`.
//!
//! A missing key is an error and not a null, so that a misspelt name does not count as a missing
//! value. Nested values become JSON text in utf8 and categorical columns and fit no other. Numbers
//! are read from their digits.

use std::io::Read;

use serde_json::Number;

use super::json_values::{JsonValues, Position};
use super::pieces::Pieces;
use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed};
use crate::interrupt::Interrupt;
use crate::json::{Halt, Kind, Raw, Scanner};
use crate::kept_builder::KeptBuilder;
use crate::rows::{MemberOrder, Members, RowPlan};
use crate::source::{BatchSink, CellVisitor};

/// Rows between two checks of the interrupt.
const ROWS_PER_LOOK: u32 = 1024;

/// Passes rows of JSON to the pieces. `name` is the text in errors.
pub(crate) fn visit_json(
    text: impl Read,
    name: &str,
    interrupt: &Interrupt,
    pieces: &mut Pieces<impl BatchSink>,
) -> Result<(), DataError> {
    let plan = pieces.plan();
    let mut values = JsonValues::new(text, name, interrupt)?;
    pieces.opened()?;
    let mut rows = JsonRows { plan: &plan, order: MemberOrder::default(), interrupt, since_look: 0, pieces };
    loop {
        let number = rows.pieces.row();
        let value = values.next().map_err(|error| match error {
            DataError::Fault(fault) => DataError::from(fault.in_row(number)),
            error => error,
        })?;
        let Some((value, position)) = value else { return Ok(()) };
        let members = rows.members(&mut Scanner::new(value))?;
        let wrapped = match position {
            Position::Top => members.wrapped(&plan)?,
            Position::Element => None,
        };
        match wrapped {
            Some(wrapped) => rows.append_all(wrapped)?,
            None => rows.append(&members)?,
        }
    }
}

/// Decodes rows into pieces.
struct JsonRows<'r, T> {
    plan: &'r RowPlan,
    order: MemberOrder,
    interrupt: &'r Interrupt,
    /// The rows since the last check of the interrupt.
    since_look: u32,
    pieces: &'r mut Pieces<T>,
}

impl<T: BatchSink> JsonRows<'_, T> {
    /// Appends the rows of an array in an object that is no row itself.
    fn append_all(&mut self, rows: Raw<'_>) -> Result<(), DataError> {
        let mut failed = None;
        let read = Scanner::new(rows.text).elements(|scanner| {
            let appended = self.members(scanner).and_then(|row| self.append(&row));
            appended.map_err(|error| {
                failed = Some(error);
                Halt::Done
            })
        });
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(self.not_json("it has changed while it was read")),
        }
    }

    /// Reads the members of the next value.
    fn members<'a>(&mut self, scanner: &mut Scanner<'a>) -> Result<Members<'a>, DataError> {
        if scanner.peek() != Some(b'{') {
            let text = scanner.value().map_or("", |value| value.text);
            let fault = DataFault::of_value(text, "is not an object with a value for each column");
            return Err(fault.in_row(self.pieces.row()).into());
        }
        let mut members = Members::new(self.plan);
        // The text was validated. A value may be nested deeper than is read.
        let read = members.scan(self.plan, scanner, &mut self.order, 0);
        read.map_err(|_| self.not_json("recursion limit exceeded"))?;
        match &members.unreadable {
            Some(error) => Err(self.not_json(error)),
            None => Ok(members),
        }
    }

    /// Appends a row.
    fn append(&mut self, members: &Members<'_>) -> Result<(), DataError> {
        self.since_look += 1;
        if self.since_look >= ROWS_PER_LOOK {
            self.since_look = 0;
            if self.interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
        }
        let (plan, number) = (self.plan, self.pieces.row());
        let features = plan.schema().fields().iter().zip(&members.values);
        let absent = features.filter(|(_, value)| value.is_none()).map(|(field, _)| &field.name);
        let kept = plan.kept.iter().filter(|kept| members.values[kept.slot].is_none()).map(|kept| &kept.name);
        let missing: Vec<&String> = absent.chain(kept).collect();
        if !missing.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&missing));
            return Err(DataFault::new(message).in_row(number).into());
        }
        for (column, value) in members.values[..plan.columns()].iter().enumerate() {
            let Some(value) = value else { continue };
            let decoded = value.with_cell(|cell| self.pieces.cell(column, cell));
            let in_place = |fault: Box<DataFault>| fault.in_column(&plan.schema().fields()[column].name).in_row(number);
            decoded.map_err(in_place)?.map_err(DataError::Fault)?;
        }
        for (column, kept) in plan.kept.iter().enumerate() {
            let Some(value) = members.values[kept.slot] else { continue };
            self.pieces.count_kept(column, value.text.len()).map_err(DataError::Fault)?;
            keep(&mut self.pieces.kept[column], value).map_err(|fault| fault.in_column(&kept.name).in_row(number))?;
        }
        self.pieces.end_rows(1).map(|_| ())
    }

    fn not_json(&self, problem: impl std::fmt::Display) -> DataError {
        DataFault::new(format!("the text is not JSON: {problem}")).in_row(self.pieces.row()).into()
    }
}

/// Keeps a value: a number as it is written, whether or not a cell can hold it.
fn keep(column: &mut KeptBuilder, value: Raw<'_>) -> Result<(), Box<DataFault>> {
    match value.kind {
        Kind::Integer => match value.text.parse() {
            Ok(integer) if value.text != "-0" => column.append(Cell::Integer(integer)),
            _ => column.append_json(value.text),
        },
        Kind::Decimal => {
            let float = value.text.parse().ok().and_then(Number::from_f64);
            match float.filter(|float| float.to_string() == value.text).and_then(|float| float.as_f64()) {
                Some(float) => column.append(Cell::Float(float)),
                None => column.append_json(value.text),
            }
        }
        Kind::Array | Kind::Object => column.append_json(&value.kept_text()?),
        Kind::Null | Kind::Boolean(_) | Kind::Plain | Kind::Escaped => {
            value.with_cell(|cell| column.append(cell))?;
        }
    }
    Ok(())
}
