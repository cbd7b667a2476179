//! Rows from the cells of a source.

use crate::cell::Cell;
use crate::error::{DataError, DataFault};
use crate::rows::{MAX_BYTES, RowsBuilder};
use crate::source::CellVisitor;

/// The rows of a source that are decoded at once.
const ROWS_AT_ONCE: usize = 8192;

impl CellVisitor for RowsBuilder<'_> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        if self.limits.is_some() {
            return Ok(self.bind_each(names).unwrap_or_default());
        }
        self.plan.signature.bind(names, self.plan.strictness)
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        if self.limits.is_none() {
            return self.decoder.cell(column, cell);
        }
        let row = self.decoder.rows();
        match self.kept_in(column) {
            None => self.decode(row, column, cell),
            Some(kept) => self.keep_cell(row, kept, cell),
        }
        Ok(())
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
