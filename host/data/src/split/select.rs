//! Picks rows out of a table, batch by batch.

use arrow_array::RecordBatch;
use arrow_array::UInt64Array;
use arrow_select::take::take_record_batch;

use crate::error::DataError;

/// The rows of `batches` (a table's, in order) with these indices, which ascend strictly. One batch comes out for each that has
/// any; a batch of which all rows are wanted is passed on without a copy.
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
    /// Those not yet found.
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
