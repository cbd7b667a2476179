//! Rows from Arrow arrays.

use arrow_array::{Array as _, ArrayRef};

use crate::cell::Cell;
use crate::error::{DataFault, shown};
use crate::rows::{Excess, RowsBuilder};
use crate::source::arrow_cells::{self, ArrayError, ValueVisitor};

/// Passes the values of an array to a column.
struct Values<'a, 'p> {
    rows: &'a mut RowsBuilder<'p>,
    column: usize,
}

impl ValueVisitor for Values<'_, '_> {
    /// Nothing that follows could change the result.
    type Stop = ();

    #[inline]
    fn value(&mut self, row: usize, value: Result<Cell<'_>, DataFault>) -> Result<(), ()> {
        let rows = &mut *self.rows;
        let row = rows.decoder.rows() + row;
        match (value, rows.kept_in(self.column)) {
            (Ok(cell), None) => rows.decode(row, self.column, cell),
            (Ok(cell), Some(kept)) => rows.keep_cell(row, kept, cell),
            (Err(fault), _) => {
                let name = rows.name(self.column);
                rows.collect(fault.in_column(name).in_row(row as u64));
            }
        }
        if rows.is_done() { Err(()) } else { Ok(()) }
    }
}

impl<'p> RowsBuilder<'p> {
    /// Begins a batch of this many rows. Returns whether its values are needed.
    pub(crate) fn begin_batch(&mut self, rows: usize) -> bool {
        self.check_rows(self.decoder.rows().saturating_add(rows));
        !self.is_done()
    }

    /// Appends an array with a value for each row of the batch to column `column`, which counts the
    /// columns in the order of [`RowsBuilder::bind_each`]. Returns whether more values are needed.
    pub(crate) fn append_array(&mut self, column: usize, array: &ArrayRef, is_uuid: bool) -> bool {
        debug_assert!(column < self.plan.columns() + self.kept_columns.len());
        match arrow_cells::visit(array, is_uuid, &mut Values { rows: self, column }) {
            Ok(()) | Err(ArrayError::Stopped(())) => {}
            Err(ArrayError::Arrow(error)) => {
                let (data_type, error) = (shown(&array.data_type().to_string()), shown(&error.to_string()));
                let fault = DataFault::new(format!("values of the type {data_type} cannot be converted: {error}"));
                self.refuse_column(column, fault);
            }
        }
        !self.is_done()
    }

    /// Ends a batch of this many rows.
    pub(crate) fn end_batch(&mut self, rows: usize) {
        self.decoder.end_rows(rows);
    }

    /// Collects the fault of a column as a whole, without which no row can be decoded.
    pub(crate) fn refuse_column(&mut self, column: usize, fault: DataFault) {
        let name = self.name(column);
        self.lacks_columns = true;
        self.collect(fault.in_column(name).in_row(0));
    }

    /// Notes that a text would exceed the limit. Returns whether it would.
    pub(crate) fn exceeds_text(&mut self, bytes: usize) -> bool {
        let exceeds = self.limits.is_some_and(|limits| bytes > limits.text);
        if exceeds {
            self.excess.get_or_insert(Excess::Text);
        }
        exceeds
    }

    /// Keeps a cell of row `row`.
    pub(super) fn keep_cell(&mut self, row: usize, kept: usize, cell: Cell<'_>) {
        cell.with_text(|text| self.keep(row, kept, text));
    }

    fn name(&self, column: usize) -> &'p str {
        let plan = self.plan;
        match self.kept_in(column) {
            None => &plan.decoder.schema().fields()[column].name,
            Some(kept) => &plan.kept[kept].name,
        }
    }
}
