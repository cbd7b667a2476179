//! The receiver of a source's cells.

use crate::cell::Cell;
use crate::error::{DataError, DataFault};

/// Who takes the cells of a source.
pub(crate) trait CellVisitor {
    /// Called once, before any cell, with the names of the source's columns. Returns which of them it wants, by place.
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError>;

    /// Called for each row (or for a column of several rows, before the next column) with the number of a column among those
    /// wanted.
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>>;

    /// Called when `rows` rows are complete. Returns whether it wants more.
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError>;

    /// At most how many rows should come column by column.
    fn rows_at_once(&self) -> usize;
}
