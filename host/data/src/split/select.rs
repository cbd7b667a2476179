//! Selects rows of a table, in its order or in any order.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, UInt64Array};
use arrow_select::interleave::interleave;
use arrow_select::take::take_record_batch;

use crate::error::DataError;

/// Selects the rows with these indices, which ascend strictly, from a table's batches in order.
/// Returns one batch for each that has selected rows. A batch of which all rows are selected is not
/// copied.
pub fn select<E, I>(batches: I, indices: &[u64]) -> Select<'_, I::IntoIter>
where
    I: IntoIterator<Item = Result<RecordBatch, E>>,
    E: From<DataError>,
{
    Select { batches: batches.into_iter(), indices, start: 0 }
}

/// The iterator that [`select`] returns.
#[derive(Debug)]
pub struct Select<'a, I> {
    batches: I,
    /// The indices that are not yet found.
    indices: &'a [u64],
    /// The row that the next batch begins with.
    start: u64,
}

impl<I, E> Iterator for Select<'_, I>
where
    I: Iterator<Item = Result<RecordBatch, E>>,
    E: From<DataError>,
{
    type Item = Result<RecordBatch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&first) = self.indices.first() {
            let batch = match self.batches.next() {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.indices = &[];
                    let message = format!("row {first} was asked for, and the table has {} rows", self.start);
                    return Some(Err(DataError::plan(message, "").into()));
                }
            };
            let start = self.start;
            let end = start + batch.num_rows() as u64;
            self.start = end;
            let (here, later) = self.indices.split_at(self.indices.partition_point(|&index| index < end));
            if here.is_empty() {
                continue;
            }
            self.indices = later;
            if here.len() == batch.num_rows() {
                return Some(Ok(batch));
            }
            let offsets: UInt64Array = here.iter().map(|index| index - start).collect::<Vec<u64>>().into();
            return Some(take_record_batch(&batch, &offsets).map_err(|error| DataError::from(error).into()));
        }
        None
    }
}

/// Selects rows of a table in any order.
///
/// It holds all batches. Those of a stored table are views of its mapped file and take no memory
/// for their rows.
#[derive(Debug)]
pub struct Gather {
    batches: Vec<RecordBatch>,
    /// For each batch, the row behind its last one.
    ends: Vec<u64>,
}

impl Gather {
    /// Takes a table's batches in order: at least one, all of one schema.
    pub fn new(batches: Vec<RecordBatch>) -> Self {
        let ends = batches.iter().scan(0, |end, batch| {
            *end += batch.num_rows() as u64;
            Some(*end)
        });
        Self { ends: ends.collect(), batches }
    }

    /// Returns a copy of these rows, in this order.
    ///
    /// # Errors
    /// [`DataError::Plan`] for a row that the table does not have.
    pub fn rows(&self, rows: &[u64]) -> Result<RecordBatch, DataError> {
        let places: Vec<(usize, usize)> = rows.iter().map(|&row| self.place(row)).collect::<Result<_, _>>()?;
        let Some(first) = self.batches.first() else {
            return Err(DataError::plan("rows were asked for, and the table has no batches", ""));
        };
        let columns = (0..first.num_columns()).map(|column| self.column(column, &places)).collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(first.schema(), columns)?)
    }

    /// Returns the batch that a row is in, and its position there.
    fn place(&self, row: u64) -> Result<(usize, usize), DataError> {
        let batch = self.ends.partition_point(|&end| end <= row);
        let Some(end) = self.ends.get(batch) else {
            let rows = self.ends.last().copied().unwrap_or_default();
            return Err(DataError::plan(format!("row {row} was asked for, and the table has {rows} rows"), ""));
        };
        let rows = self.batches[batch].num_rows();
        // Less than `rows`, because the row is in this batch.
        Ok((batch, rows - (end - row) as usize))
    }

    fn column(&self, column: usize, places: &[(usize, usize)]) -> Result<ArrayRef, DataError> {
        let arrays: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        let dictionaries: Option<Vec<&DictionaryArray<Int32Type>>> =
            arrays.iter().map(|array| array.as_any().downcast_ref()).collect();
        if let Some([first, others @ ..]) = dictionaries.as_deref() {
            let categories = first.values();
            // `interleave` would concatenate the categories of all batches for each batch that it
            // returns.
            if others.iter().all(|it| Arc::ptr_eq(it.values(), categories) || it.values() == categories) {
                let codes: Vec<&dyn Array> = dictionaries.iter().flatten().map(|it| it.keys() as &dyn Array).collect();
                let codes = interleave(&codes, places)?.as_primitive::<Int32Type>().clone();
                return Ok(Arc::new(DictionaryArray::try_new(codes, Arc::clone(categories))?));
            }
        }
        Ok(interleave(&arrays, places)?)
    }
}
