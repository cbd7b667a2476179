//! The receiver of a source's cells.

use arrow_schema::DataType;

use crate::cell::Cell;
use crate::dialect::Style;
use crate::error::{DataError, DataFault};

/// The columns that a visitor wants.
pub(crate) enum Wanted {
    /// All that the source has.
    All,
    /// Those with these names.
    These {
        /// The names.
        names: Vec<String>,
        /// Whether it is a fault that the source has others.
        refuses_others: bool,
    },
}

/// Receives the cells of a source.
pub(crate) trait CellVisitor {
    /// Called once, before any cell, with the names of the source's columns. Returns the indices of
    /// the columns to read.
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError>;

    /// Called in place of [`CellVisitor::columns`] where columns have a type whose values are no
    /// cells. `unheld` has their indices with what is wrong: the rest of a sentence about the
    /// column. It is an error to read such a column.
    fn columns_but(&mut self, names: &[String], unheld: &[(usize, String)]) -> Result<Vec<usize>, DataError> {
        let _ = unheld;
        self.columns(names)
    }

    /// Called behind [`CellVisitor::columns`] by readers of formats that know types, with names and
    /// types of the columns that are read.
    fn types(&mut self, fields: &[(&str, &DataType)]) -> Result<(), DataError> {
        let _ = fields;
        Ok(())
    }

    /// Returns the columns that are wanted, for sources that do not say which they have.
    fn wanted(&self) -> Wanted {
        Wanted::All
    }

    /// Called for each cell, by row, or by column for several rows at once. `column` is an index
    /// into the columns that are read.
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>>;

    /// Called in place of [`CellVisitor::cell`] for a text whose value is written in a style.
    /// A visitor without types takes it as it is.
    fn styled(&mut self, column: usize, text: &str, style: &Style) -> Result<(), Box<DataFault>> {
        let _ = style;
        self.cell(column, Cell::Text(text))
    }

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
