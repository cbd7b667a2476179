//! The bytes that a batch takes: in a guest's layout, and in the host's memory.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_buffer::{Buffer, NullBuffer};

use super::ALIGNMENT;
use crate::batch_fault::{BatchFault, BatchProblem as Problem};
use crate::bitmap;
use crate::schema::{DataType, Field, Schema};

/// Returns how many bytes [`write`](super::write()) makes of a batch.
///
/// # Errors
/// As [`write`](super::write()).
pub fn batch_bytes(batch: &RecordBatch, schema: &Schema) -> Result<usize, BatchFault> {
    Ok(column_bytes(batch, schema)?.into_iter().sum())
}

/// Returns how many bytes [`write`](super::write()) makes of each column of a batch.
///
/// # Errors
/// As [`write`](super::write()).
pub fn column_bytes(batch: &RecordBatch, schema: &Schema) -> Result<Vec<usize>, BatchFault> {
    check_columns(batch, schema)?;
    Ok(sizes(batch, schema).collect())
}

/// Returns how many of a batch's first rows take at most `bytes` in the layout of
/// [`write`](super::write()); 0 if not even the first fits.
///
/// # Errors
/// As [`write`](super::write()).
pub fn rows_within(batch: &RecordBatch, schema: &Schema, bytes: usize) -> Result<usize, BatchFault> {
    check_columns(batch, schema)?;
    let fits = |rows| sizes(&batch.slice(0, rows), schema).sum::<usize>() <= bytes;
    if fits(batch.num_rows()) {
        return Ok(batch.num_rows());
    }
    // Bytes never decrease with rows: `low` rows fit (or `low` is 0), `high` rows do not.
    let (mut low, mut high) = (0, batch.num_rows());
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Returns the bytes of memory behind a batch's columns. Each allocation counts once and as a
/// whole: a batch from a guest lies in one, together with categories that no row uses.
#[must_use]
pub fn held_bytes(batch: &RecordBatch) -> usize {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut parts: Vec<_> = batch.columns().iter().map(|array| array.to_data()).collect();
    while let Some(part) = parts.pop() {
        let buffers = part.buffers().iter().chain(part.nulls().map(NullBuffer::buffer));
        let new = buffers.filter(|buffer| seen.insert(buffer.data_ptr()));
        bytes += new.map(Buffer::capacity).sum::<usize>();
        parts.extend_from_slice(part.child_data());
    }
    bytes
}

/// Refuses columns that are not the schema's.
pub(super) fn check_columns(batch: &RecordBatch, schema: &Schema) -> Result<(), BatchFault> {
    if batch.num_columns() != schema.len() {
        let problem = Problem::ColumnCount { found: batch.num_columns(), expected: schema.len() };
        return Err(BatchFault { column: None, row: None, problem });
    }
    for (array, field) in batch.columns().iter().zip(schema.fields()) {
        let fault = |row, problem| Err(BatchFault { column: Some(field.name.clone()), row, problem });
        if DataType::from_arrow(array.data_type()) != Some(field.data_type) {
            let (found, expected) = (array.data_type().to_string(), field.data_type);
            return fault(None, Problem::Type { found, expected });
        }
        if !field.nullable && array.null_count() > 0 {
            return fault((0..array.len()).find(|&row| array.is_null(row)), Problem::Null);
        }
        // It would be a null without validity.
        if field.data_type == DataType::Categorical && array.as_dictionary::<Int32Type>().values().null_count() > 0 {
            return fault(None, Problem::NullCategory);
        }
    }
    Ok(())
}

/// Returns the bytes of each column. The columns must be the schema's.
fn sizes(batch: &RecordBatch, schema: &Schema) -> impl Iterator<Item = usize> {
    batch.columns().iter().zip(schema.fields()).map(|(array, field)| size(array, field))
}

/// Returns the bytes of a column. It must fit its field.
pub(super) fn size(array: &ArrayRef, field: &Field) -> usize {
    let rows = array.len();
    let validity = if field.nullable { padded(bitmap::bytes_for(rows)) } else { 0 };
    let values = match field.data_type {
        DataType::Boolean => padded(bitmap::bytes_for(rows)),
        DataType::Int64 | DataType::Float64 | DataType::Timestamp => rows * 8,
        DataType::Utf8 => padded((rows + 1) * 4) + padded(text_of(array.as_string::<i32>())),
        DataType::Categorical => {
            let array = array.as_dictionary::<Int32Type>();
            let categories = array.values().as_string::<i32>();
            let (count, text) = if categories.len() <= rows {
                (categories.len(), text_between(categories))
            } else {
                used_categories(array)
            };
            padded(rows * 4) + 8 + padded((count + 1) * 4) + padded(text)
        }
    };
    validity + values
}

const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Returns the bytes of text, without what lies at nulls.
fn text_of(strings: &StringArray) -> usize {
    match strings.nulls() {
        Some(nulls) if strings.offsets().has_non_empty_nulls(Some(nulls)) => {
            let lengths = strings.offsets().lengths().zip(nulls.iter());
            lengths.filter_map(|(length, valid)| valid.then_some(length)).sum()
        }
        _ => text_between(strings),
    }
}

fn text_between(strings: &StringArray) -> usize {
    let offsets = strings.offsets();
    (offsets[offsets.len() - 1] - offsets[0]) as usize
}

/// Returns how many categories the rows use, and the bytes of their text.
fn used_categories(array: &DictionaryArray<Int32Type>) -> (usize, usize) {
    let categories = array.values().as_string::<i32>();
    let used: HashSet<usize> = array.keys().iter().flatten().map(|code| code as usize).collect();
    (used.len(), used.iter().map(|&category| categories.value_length(category) as usize).sum())
}
