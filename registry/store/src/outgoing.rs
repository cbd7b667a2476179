//! From Arrow arrays to the columns that a guest gets: the inverse of [`crate::checked`].
//!
//! Each value is copied once, at the speed of `memcpy`: into the vectors that cross. Slices are resolved (bitmaps from
//! bit 0 on, offsets from 0 on), NaN and what stands at nulls made canonical, so a guest sees the same bytes however the
//! host cut the table. Of categories, a batch gets no more than it has rows: a table may have far more categories than
//! fit into a batch.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};

use crate::bitmap;
use crate::checked::{RawColumn, RawValues, canonicalise_nans};
use crate::schema::{DataType, SchemaError};

/// The columns of a batch, copied out for a guest.
///
/// # Errors
/// [`SchemaError::ArrowType`] if a column is of a type that tables do not hold.
pub fn raw_columns(batch: &RecordBatch) -> Result<Vec<RawColumn>, SchemaError> {
    columns(batch).map(|column| column.map(|(data_type, array)| raw_column(data_type, array))).collect()
}

/// The bytes of the batch's first `rows` rows as a guest would get them, never less than [`raw_columns`] makes of them.
///
/// # Errors
/// [`SchemaError::ArrowType`] if a column is of a type that tables do not hold.
///
/// # Panics
/// If the batch has fewer rows.
pub fn batch_bytes(batch: &RecordBatch, rows: usize) -> Result<usize, SchemaError> {
    columns(batch).map(|column| column.map(|(data_type, array)| column_bytes(data_type, array, rows))).sum()
}

/// How many of the batch's first rows fit into `bytes`; 0 if not even the first does.
///
/// # Errors
/// [`SchemaError::ArrowType`] if a column is of a type that tables do not hold.
pub fn rows_within(batch: &RecordBatch, bytes: usize) -> Result<usize, SchemaError> {
    if batch_bytes(batch, batch.num_rows())? <= bytes {
        return Ok(batch.num_rows());
    }
    // Bytes never decrease with rows: `low` rows fit (or low is 0), `high` do not.
    let (mut low, mut high) = (0, batch.num_rows());
    while high - low > 1 {
        let middle = low.midpoint(high);
        if batch_bytes(batch, middle)? <= bytes {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn columns(batch: &RecordBatch) -> impl Iterator<Item = Result<(DataType, &ArrayRef), SchemaError>> {
    batch.columns().iter().enumerate().map(|(index, array)| match DataType::from_arrow(array.data_type()) {
        Some(data_type) => Ok((data_type, array)),
        None => Err(SchemaError::ArrowType {
            name: batch.schema_ref().field(index).name().clone(),
            arrow: array.data_type().to_string(),
        }),
    })
}

fn raw_column(data_type: DataType, array: &ArrayRef) -> RawColumn {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let validity = nulls.map(|nulls| bitmap::from_buffer(nulls.inner()));
    let validity_bits = validity.as_deref();
    let values = match data_type {
        DataType::Boolean => {
            let mut bits = bitmap::from_buffer(array.as_boolean().values());
            if let Some(validity) = validity_bits {
                bits.iter_mut().zip(validity).for_each(|(byte, valid)| *byte &= valid);
            }
            RawValues::Boolean(bits)
        }
        DataType::Int64 => RawValues::Int64(copied(array.as_primitive::<Int64Type>().values(), validity_bits)),
        DataType::Timestamp => {
            RawValues::Timestamp(copied(array.as_primitive::<TimestampMicrosecondType>().values(), validity_bits))
        }
        DataType::Float64 => {
            let mut values = copied(array.as_primitive::<Float64Type>().values(), validity_bits);
            canonicalise_nans(&mut values);
            RawValues::Float64(values)
        }
        DataType::Utf8 => {
            let (offsets, bytes) = text(array.as_string::<i32>(), nulls);
            RawValues::Utf8 { offsets, bytes }
        }
        DataType::Categorical => categorical(array.as_dictionary::<Int32Type>(), validity_bits),
    };
    RawColumn { values, validity }
}

fn copied<T: Copy + Default>(values: &[T], validity: Option<&[u8]>) -> Vec<T> {
    let mut values = values.to_vec();
    if let Some(validity) = validity {
        bitmap::zero_at_nulls(&mut values, validity);
    }
    values
}

/// Offsets from 0 on and the text between them, without what stands at nulls.
fn text(strings: &StringArray, nulls: Option<&NullBuffer>) -> (Vec<i32>, Vec<u8>) {
    let offsets = strings.offsets();
    if offsets.has_non_empty_nulls(nulls) {
        let mut bytes = Vec::with_capacity(strings.value_data().len());
        let mut ends = Vec::with_capacity(offsets.len());
        ends.push(0);
        for value in strings {
            bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
            // A part of text whose length an i32 holds.
            ends.push(i32::try_from(bytes.len()).expect("text shrinks"));
        }
        return (ends, bytes);
    }
    (rebased(offsets), text_between(strings).to_vec())
}

fn rebased(offsets: &OffsetBuffer<i32>) -> Vec<i32> {
    let start = offsets[0];
    offsets.iter().map(|offset| offset - start).collect()
}

fn text_between(strings: &StringArray) -> &[u8] {
    let offsets = strings.offsets();
    &strings.value_data()[offsets[0] as usize..offsets[offsets.len() - 1] as usize]
}

fn categorical(array: &DictionaryArray<Int32Type>, validity: Option<&[u8]>) -> RawValues {
    let categories = array.values().as_string::<i32>();
    let mut codes = copied(array.keys().values(), validity);
    // A null among the categories would be a null without validity; no array of ours has one.
    if categories.len() <= codes.len() {
        let (offsets, bytes) = text(categories, None);
        return RawValues::Categorical { codes, offsets, bytes };
    }
    let mut numbers = HashMap::with_capacity(codes.len());
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for (row, code) in codes.iter_mut().enumerate() {
        if validity.is_none_or(|bits| bitmap::get(bits, row)) {
            // No more numbers than rows, no more text than the categories have.
            let next = i32::try_from(numbers.len()).expect("a code per row");
            *code = *numbers.entry(*code).or_insert_with_key(|&code| {
                bytes.extend_from_slice(categories.value(code as usize).as_bytes());
                offsets.push(i32::try_from(bytes.len()).expect("text shrinks"));
                next
            });
        }
    }
    RawValues::Categorical { codes, offsets, bytes }
}

/// An upper bound that is exact for every type but categoricals.
fn column_bytes(data_type: DataType, array: &ArrayRef, rows: usize) -> usize {
    let validity = if array.null_count() > 0 { bitmap::bytes_for(rows) } else { 0 };
    let values = match data_type {
        DataType::Boolean => bitmap::bytes_for(rows),
        DataType::Int64 | DataType::Float64 | DataType::Timestamp => rows * 8,
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().offsets();
            (rows + 1) * 4 + (offsets[rows] - offsets[0]) as usize
        }
        DataType::Categorical => {
            let categories = array.as_dictionary::<Int32Type>().values().as_string::<i32>();
            let all = (categories.len() + 1) * 4 + text_between(categories).len();
            let longest = categories.offsets().lengths().max().unwrap_or(0);
            rows * 4 + all.min(4 + rows.saturating_mul(longest + 4))
        }
    };
    validity + values
}
