//! Rows of Arrow arrays, passed on by column.

use std::ops::Range;

use arrow_array::ArrayRef;
use stagewright_store::MAX_BATCH_BYTES;

use crate::cell::Cell;
use crate::error::{DataError, DataFault};
use crate::source::CellVisitor;
use crate::source::arrow_cells::{self, ArrayError, ValueVisitor};

/// Splits rows into ranges whose texts fit into one batch of ours, at least one row each. A text
/// that the file has once may be repeated in many rows. Texts are views.
pub(super) fn parts(columns: &[ArrayRef], rows: usize) -> Vec<Range<usize>> {
    let mut lengths = vec![0; rows];
    columns.iter().for_each(|column| arrow_cells::add_lengths(column, &mut lengths));
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    for (row, length) in lengths.into_iter().enumerate() {
        if bytes + length > MAX_BATCH_BYTES as u64 && row > start {
            parts.push(start..row);
            (start, bytes) = (row, 0);
        }
        bytes += length;
    }
    if start < rows || rows == 0 {
        parts.push(start..rows);
    }
    parts
}

/// Passes the values of a column on as cells.
pub(super) struct Values<'a, V> {
    pub(super) column: usize,
    pub(super) name: &'a str,
    /// The row of the first value.
    pub(super) first: u64,
    pub(super) visitor: &'a mut V,
}

impl<V> Values<'_, V> {
    pub(super) fn unfit(&self, row: usize, fault: DataFault) -> DataError {
        fault.in_column(self.name).in_row(self.first + row as u64).into()
    }
}

impl<V: CellVisitor> ValueVisitor for Values<'_, V> {
    type Stop = DataError;

    #[inline]
    fn value(&mut self, row: usize, value: Result<Cell<'_>, DataFault>) -> Result<(), DataError> {
        match value {
            // The visitor counts complete rows alone.
            Ok(cell) => {
                self.visitor.cell(self.column, cell).map_err(|fault| fault.in_row(self.first + row as u64).into())
            }
            Err(fault) => Err(self.unfit(row, fault)),
        }
    }
}

pub(super) fn in_words(error: ArrayError<DataError>, name: &str) -> DataError {
    match error {
        ArrayError::Stopped(error) => error,
        ArrayError::Arrow(error) => {
            DataFault::new(format!("the values cannot be converted: {error}")).in_column(name).into()
        }
    }
}
