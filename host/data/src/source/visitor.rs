//! The receiver of a source's cells.

use crate::cell::Cell;
use crate::error::{DataError, DataFault};

/// Receives the cells of a source.
pub(crate) trait CellVisitor {
    /// Called once, before any cell, with the names of the source's columns. Returns the indices of
    /// the columns to read.
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError>;

    /// Called for each cell, by row, or by column for several rows at once. `column` is an index
    /// into the columns that are read.
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>>;

    /// Called in place of [`CellVisitor::cell`] for a row that has not as many cells as there are
    /// columns. Returns whether to go on.
    fn uneven_row(&mut self, fault: DataFault) -> Result<bool, DataError> {
        Err(fault.into())
    }

    /// Called when `rows` rows are complete. Returns whether to go on.
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError>;

    /// Returns the most rows that may be passed by column.
    fn rows_at_once(&self) -> usize;
}
