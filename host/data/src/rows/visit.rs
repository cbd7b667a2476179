//! Rows from the cells of a source.

use serde_json::Value;

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed};
use crate::rows::{MAX_BYTES, RowsBuilder};
use crate::source::CellVisitor;

/// The rows of a source that are decoded at once.
const ROWS_AT_ONCE: usize = 8192;

impl CellVisitor for RowsBuilder<'_> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        if self.limits.is_some() {
            return Ok(self.bind_each(names).unwrap_or_default());
        }
        let mut places = self.plan.signature.bind(names, self.plan.strictness)?;
        let mut missing: Vec<&String> = Vec::new();
        for column in &self.kept {
            let mut found = (0..names.len()).filter(|place| names[*place] == column.name);
            match (found.next(), found.next()) {
                (Some(place), None) => places.push(place),
                (None, _) => missing.push(&column.name),
                (Some(_), Some(_)) => {
                    let message = format!("more than one column is named {}", listed(&[&column.name]));
                    return Err(DataFault::new(message).into());
                }
            }
        }
        if !missing.is_empty() {
            let message = format!("the data has no {} to keep; it has {}", listed(&missing), listed(names));
            return Err(DataFault::new(message).into());
        }
        Ok(places)
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        match column.checked_sub(self.plan.columns()) {
            Some(kept) => {
                let bytes = if let Cell::Text(text) = cell { text.len() } else { 0 };
                self.keep(kept, bytes, kept_cell(cell)).map_err(Box::new)
            }
            None if self.limits.is_some() => {
                self.decode(self.decoder.rows(), column, cell);
                Ok(())
            }
            None => self.decoder.cell(column, cell),
        }
    }

    fn uneven_row(&mut self, fault: DataFault) -> Result<bool, DataError> {
        if self.limits.is_none() {
            return Err(fault.into());
        }
        self.collect(fault);
        self.end_rows(1)
    }

    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.decoder.end_rows(rows);
        if self.limits.is_some() {
            self.check_rows(self.decoder.rows());
            return Ok(!self.is_done());
        }
        let is_due = rows > 1 || self.decoder.rows().is_multiple_of(ROWS_AT_ONCE);
        if is_due && self.decoder.held_bytes() > MAX_BYTES {
            let message = format!("the rows take more than {MAX_BYTES} bytes together\nhint: pass them in parts");
            return Err(DataFault::new(message).in_row(self.decoder.row()).into());
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        ROWS_AT_ONCE
    }
}

/// Returns a cell that is kept as JSON.
pub(super) fn kept_cell(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Boolean(value) => value.into(),
        Cell::Integer(number) => number.into(),
        Cell::Float(number) if number.is_finite() => number.into(),
        cell => cell.with_text(|text| Value::from(text)),
    }
}
