//! The cells of a split's file, read wherever files are decoded.

use std::io::Read;

use arrow_array::builder::{ArrayBuilder as _, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use stagewright_store::{DataType, Field, Schema, SchemaError};

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed};
use crate::interrupt::Interrupt;
use crate::source::{CellVisitor, CsvText};

/// The column of row numbers, from 0.
pub(super) const ROW: &str = "row";
/// The column of partitions.
pub(super) const PARTITION: &str = "partition";

/// The rows, or bytes of text, that are passed on at once.
const ROWS_AT_ONCE: usize = 8192;
const BYTES_AT_ONCE: usize = 1 << 20;

/// Receives batches of [`split_schema`].
pub type SplitCellSink<'a> = dyn FnMut(&RecordBatch) -> Result<(), DataError> + 'a;

/// Returns the columns of a split's file: the partition, the identifiers, the row number. All are
/// text. A column that the file lacks, or that is not used to find rows, is null.
///
/// # Errors
/// There are more identifiers than a table may have columns.
pub fn split_schema(identifiers: usize) -> Result<Schema, SchemaError> {
    let field = |number: usize| Field::new(format!("cell {number}"), DataType::Utf8).with_nullable(true);
    Schema::new((0..identifiers + 2).map(field).collect())
}

/// Returns an upper bound on the size of a split file's cells: the bytes of their text, and one for
/// each cell. In a file of `length` bytes, every cell but the last is followed by a separator. An
/// identifier with the name of another column of the file is read twice.
pub fn max_split_bytes(length: u64, identifiers: &[String]) -> u64 {
    let twice = identifiers.iter().filter(|name| [ROW, PARTITION].contains(&name.as_str())).count();
    length.saturating_mul(1 + twice as u64).saturating_add(1)
}

/// Reads the cells of a split's file, a CSV file with a header. `name` is the file in errors.
///
/// # Errors
/// [`DataError::Interrupted`]; [`DataError::Fault`] for a text that is no such file, or that has
/// neither row numbers nor all identifiers; those of `take`.
pub fn split_cells(
    input: impl Read,
    name: &str,
    identifiers: &[String],
    interrupt: &Interrupt,
    take: &mut SplitCellSink<'_>,
) -> Result<(), DataError> {
    let columns = (0..identifiers.len() + 2).map(|_| StringBuilder::new()).collect();
    let mut cells = Cells { identifiers, columns, places: Vec::new(), bytes: 0, take };
    CsvText::new(input, name.to_owned(), b',', true)?.visit(interrupt, &mut cells)?;
    cells.pass_on()
}

struct Cells<'a, 'b> {
    identifiers: &'a [String],
    columns: Vec<StringBuilder>,
    /// For each column that is read, its index among all.
    places: Vec<usize>,
    bytes: usize,
    take: &'a mut SplitCellSink<'b>,
}

impl Cells<'_, '_> {
    fn pass_on(&mut self) -> Result<(), DataError> {
        if self.columns[0].len() == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let columns = self.columns.iter_mut().map(|column| std::sync::Arc::new(column.finish()) as ArrayRef);
        let schema = split_schema(self.identifiers.len()).map_err(|error| DataError::plan(error.to_string(), ""))?;
        (self.take)(&RecordBatch::try_new(schema.to_arrow(), columns.collect())?)
    }
}

impl CellVisitor for Cells<'_, '_> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let partition = place(PARTITION).ok_or_else(|| {
            DataFault::new(format!("a split needs the column `{PARTITION}`; the file has {}", listed(names)))
        })?;
        let identifiers: Option<Vec<usize>> = self.identifiers.iter().map(|name| place(name)).collect();
        let identifiers = identifiers.unwrap_or_default();
        let number = place(ROW);
        if identifiers.is_empty() && number.is_none() {
            let wanted =
                if self.identifiers.is_empty() { String::new() } else { format!(" or {}", listed(self.identifiers)) };
            let message = format!("a split needs the column `{ROW}`{wanted}; the file has {}", listed(names));
            return Err(DataFault::new(message).into());
        }
        self.places = (0..=identifiers.len()).chain(number.map(|_| self.columns.len() - 1)).collect();
        Ok(std::iter::once(partition).chain(identifiers).chain(number).collect())
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        let column = &mut self.columns[self.places[column]];
        self.bytes += cell.with_text(|text| {
            column.append_value(text);
            text.len()
        });
        Ok(())
    }

    fn end_rows(&mut self, _rows: usize) -> Result<bool, DataError> {
        let rows = self.columns[0].len();
        for column in self.columns.iter_mut().filter(|column| column.len() < rows) {
            column.append_null();
        }
        if rows >= ROWS_AT_ONCE || self.bytes >= BYTES_AT_ONCE {
            self.pass_on()?;
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        usize::MAX
    }
}
