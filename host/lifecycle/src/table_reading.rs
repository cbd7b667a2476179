//! Tables read batch by batch for a stage, within its limits.

use std::cell::Cell;

use arrow_array::{Int64Array, RecordBatch};
use stagewright_data::{DataError, RowHash, hash_rows};
use stagewright_store::{Role, Schema, Table, packed};

use crate::fault::StageFault;
use crate::limits::Watch;

/// The column of the `test-rows` artifact.
pub(crate) const ROW_COLUMN: &str = "row";

/// A fault that passes through the iterators of `stagewright-data`.
pub(crate) struct ReadError(pub(crate) StageFault);

impl From<DataError> for ReadError {
    fn from(error: DataError) -> Self {
        Self(StageFault::of_data(&error))
    }
}

/// Reads columns of a table batch by batch, in order. Ends with an error at a limit of the stage.
pub(crate) fn columns(
    table: &Table,
    columns: Vec<usize>,
    watch: &Watch,
) -> impl Iterator<Item = Result<RecordBatch, ReadError>> {
    let (table, watch) = (table.clone(), watch.clone());
    let mut start = 0;
    std::iter::from_fn(move || {
        (start < table.rows()).then(|| {
            watch.check().map_err(ReadError)?;
            let rows = table
                .read(start, table.schema().chunk_rows(), Some(&columns))
                .map_err(|error| ReadError(StageFault::host(error)))?;
            start += rows.num_rows() as u64;
            Ok(rows)
        })
    })
}

/// Reads all columns of a table, as [`columns`] does.
pub(crate) fn all(table: &Table, watch: &Watch) -> impl Iterator<Item = Result<RecordBatch, ReadError>> {
    columns(table, (0..table.schema().len()).collect(), watch)
}

/// Reads all columns of a table for a caller that keeps the identifiers. Their text and `besides`
/// bytes for each row are recorded as the stage's memory while they come.
pub(crate) fn with_kept_identifiers(
    table: &Table,
    watch: &Watch,
    held: &Cell<u64>,
    besides: usize,
) -> impl Iterator<Item = Result<RecordBatch, ReadError>> {
    let identifiers = table.schema().indices_with(Role::Identifier);
    let fields = identifiers.iter().map(|&column| table.schema().fields()[column].clone()).collect();
    let named_schema = Schema::new(fields).expect("a subset of a valid schema is valid");
    let watch_memory = watch.clone();
    all(table, watch).map(move |rows| {
        let rows = rows?;
        let named = rows.project(&identifiers).map_err(|error| ReadError(StageFault::host(error)))?;
        let text = packed::batch_bytes(&named, &named_schema).map_err(|error| ReadError(StageFault::host(error)))?;
        held.set(held.get() + (text + rows.num_rows() * besides) as u64);
        watch_memory.hold(held.get()).map_err(ReadError)?;
        Ok(rows)
    })
}

/// Reads the row numbers of a `test-rows` artifact.
///
/// # Errors
/// The table does not have one column of row numbers.
pub(crate) fn source_rows(index: &Table, watch: &Watch) -> Result<Vec<u64>, StageFault> {
    let wrong = || StageFault::host("an index of test rows has one column of row numbers");
    let column = index.schema().index_of(ROW_COLUMN).ok_or_else(wrong)?;
    let mut rows = Vec::with_capacity(index.rows() as usize);
    for batch in columns(index, vec![column], watch) {
        let batch = batch.map_err(|ReadError(fault)| fault)?;
        let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().ok_or_else(wrong)?;
        for &number in numbers.values() {
            rows.push(u64::try_from(number).map_err(|_| wrong())?);
        }
    }
    Ok(rows)
}

/// Returns the hashes of all rows of an ingested table, in order. `key` is the registry's hash key.
pub(crate) fn hashes_of(table: &Table, key: &[u8; 32], watch: &Watch) -> Result<Vec<RowHash>, StageFault> {
    hash_rows(table.schema(), all(table, watch), key).map_err(|ReadError(fault)| fault)
}
