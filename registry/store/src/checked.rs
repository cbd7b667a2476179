//! From an untrusted guest's columns to Arrow arrays.
//!
//! Owns every check that the contract promises (`wit/types.wit`, `batch`): lengths, offsets, UTF-8, codes, bitmap
//! sizes, trailing bits, nulls, total size. It also makes equal columns equal byte for byte: NaN payloads become the
//! one canonical NaN, and what stands at a null becomes zero, `""` or code 0, unlooked at.
//!
//! This is the hot path of every crossing. Vectors become Arrow buffers without a copy; each check is first a pass
//! without branches, and only a failure looks for its row. It uses no `unsafe`: Arrow's own checked constructors have
//! the last word on text and codes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::bitmap;
use crate::fault::{BatchFault, BatchProblem as Problem};
use crate::schema::{DataType, Field, Schema};

/// The most bytes that the columns of one batch may have together: the contract's 8 MiB.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The most rows of one batch: as many as a bitmap of [`MAX_BATCH_BYTES`] has bits. Bounds a batch without columns.
pub const MAX_BATCH_ROWS: usize = MAX_BATCH_BYTES * 8;

/// The one NaN that a table holds.
pub const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// How many values are looked at between two decisions whether a NaN is among them.
const NAN_BLOCK: usize = 1024;

/// One column as it crosses the boundary: the contract's `column`.
#[derive(Clone, Debug, PartialEq)]
pub struct RawColumn {
    /// The values, one per row.
    pub values: RawValues,
    /// A bitmap, 1 for a value and 0 for null; `None`: all rows hold values.
    pub validity: Option<Vec<u8>>,
}

/// The values of a column: the contract's `values`.
#[derive(Clone, Debug, PartialEq)]
pub enum RawValues {
    /// A bitmap.
    Boolean(Vec<u8>),
    /// One number per row.
    Int64(Vec<i64>),
    /// One number per row.
    Float64(Vec<f64>),
    /// One string per row.
    Utf8 {
        /// One more than there are rows.
        offsets: Vec<i32>,
        /// The text of all rows.
        bytes: Vec<u8>,
    },
    /// One code per row.
    Categorical {
        /// Indices into the categories.
        codes: Vec<i32>,
        /// One more than there are categories.
        offsets: Vec<i32>,
        /// The text of all categories.
        bytes: Vec<u8>,
    },
    /// Microseconds since the epoch.
    Timestamp(Vec<i64>),
}

impl RawColumn {
    /// The bytes that the column takes in a crossing, validity included.
    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            RawValues::Boolean(bits) => bits.len(),
            RawValues::Int64(values) | RawValues::Timestamp(values) => size_of_val(&values[..]),
            RawValues::Float64(values) => size_of_val(&values[..]),
            RawValues::Utf8 { offsets, bytes } => size_of_val(&offsets[..]) + bytes.len(),
            RawValues::Categorical { codes, offsets, bytes } => {
                size_of_val(&codes[..]) + size_of_val(&offsets[..]) + bytes.len()
            }
        };
        values + self.validity.as_ref().map_or(0, Vec::len)
    }
}

impl RawValues {
    /// The type of the values.
    pub const fn data_type(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Int64(_) => DataType::Int64,
            Self::Float64(_) => DataType::Float64,
            Self::Utf8 { .. } => DataType::Utf8,
            Self::Categorical { .. } => DataType::Categorical,
            Self::Timestamp(_) => DataType::Timestamp,
        }
    }
}

/// Checks `rows` rows that an untrusted guest sent, and turns them into a batch of `schema`'s Arrow types without
/// copying (text at nulls excepted).
///
/// # Errors
/// A [`BatchFault`] that names the column and, where there is one, the row. Nothing of the batch is kept.
pub fn check(rows: usize, columns: Vec<RawColumn>, schema: &Schema) -> Result<RecordBatch, BatchFault> {
    let whole = |problem| BatchFault { column: None, row: None, problem };
    if columns.len() != schema.len() {
        return Err(whole(Problem::ColumnCount { found: columns.len(), expected: schema.len() }));
    }
    if rows > MAX_BATCH_ROWS {
        return Err(whole(Problem::TooManyRows { rows }));
    }
    let bytes = columns.iter().map(RawColumn::bytes).sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(whole(Problem::TooLarge { bytes }));
    }
    let arrays = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            check_column(rows, column, field).map_err(|(row, problem)| BatchFault {
                column: Some(field.name.clone()),
                row,
                problem,
            })
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)
        .map_err(|error| whole(Problem::Arrow(error.to_string())))
}

/// Replaces every NaN by the canonical one. -0.0 and infinities stay.
pub(crate) fn canonicalise_nans(values: &mut [f64]) {
    for block in values.chunks_mut(NAN_BLOCK) {
        // No short circuit: a plain reduction is one vector comparison for several values.
        let nan = block.iter().fold(0, |seen, value| seen | u64::from(value.is_nan()));
        if nan != 0 {
            for value in block.iter_mut().filter(|value| value.is_nan()) {
                *value = CANONICAL_NAN;
            }
        }
    }
}

/// What is wrong, and in which row.
type ColumnFault = (Option<usize>, Problem);

fn check_column(rows: usize, column: RawColumn, field: &Field) -> Result<ArrayRef, ColumnFault> {
    let found = column.values.data_type();
    if found != field.data_type {
        return Err((None, Problem::Type { found, expected: field.data_type }));
    }
    let validity = check_validity(rows, column.validity, field.nullable)?;
    let nulls = |validity: Option<Vec<u8>>| {
        validity.map(|bits| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)))
    };
    Ok(match column.values {
        RawValues::Boolean(mut bits) => {
            check_bitmap("value", &bits, rows)?;
            if let Some(validity) = &validity {
                bits.iter_mut().zip(validity).for_each(|(byte, valid)| *byte &= valid);
            }
            Arc::new(BooleanArray::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows), nulls(validity)))
        }
        RawValues::Int64(values) => {
            Arc::new(Int64Array::new(numbers(rows, values, validity.as_deref())?.into(), nulls(validity)))
        }
        RawValues::Timestamp(values) => {
            let values = numbers(rows, values, validity.as_deref())?;
            Arc::new(TimestampMicrosecondArray::new(values.into(), nulls(validity)).with_timezone("UTC"))
        }
        RawValues::Float64(values) => {
            let mut values = numbers(rows, values, validity.as_deref())?;
            canonicalise_nans(&mut values);
            Arc::new(Float64Array::new(values.into(), nulls(validity)))
        }
        RawValues::Utf8 { offsets, bytes } => {
            check_offsets("string", &offsets, bytes.len(), rows)?;
            let (offsets, bytes) = match &validity {
                Some(validity) => empty_at_nulls(offsets, bytes, validity),
                None => (offsets, bytes),
            };
            let strings = strings(offsets, bytes, nulls(validity));
            Arc::new(strings.map_err(|row| (Some(row), Problem::StringUtf8))?)
        }
        RawValues::Categorical { codes, offsets, bytes } => {
            let codes = numbers(rows, codes, validity.as_deref())?;
            let categories = check_categories(offsets, bytes)?;
            check_codes(&codes, validity.as_deref(), categories.len())?;
            let codes = Int32Array::new(codes.into(), nulls(validity));
            let array = DictionaryArray::try_new(codes, Arc::new(categories));
            Arc::new(array.map_err(|error| (None, Problem::Arrow(error.to_string())))?)
        }
    })
}

/// The validity bitmap, or `None` if there is no null.
fn check_validity(rows: usize, validity: Option<Vec<u8>>, nullable: bool) -> Result<Option<Vec<u8>>, ColumnFault> {
    let Some(bits) = validity else { return Ok(None) };
    check_bitmap("validity", &bits, rows)?;
    if bitmap::count_ones(&bits) == rows {
        return Ok(None);
    }
    if !nullable {
        return Err((bitmap::first_zero(&bits, rows), Problem::Null));
    }
    Ok(Some(bits))
}

fn check_bitmap(bitmap: &'static str, bits: &[u8], rows: usize) -> Result<(), ColumnFault> {
    let expected = bitmap::bytes_for(rows);
    if bits.len() != expected {
        return Err((None, Problem::BitmapSize { bitmap, found: bits.len(), expected }));
    }
    if !bitmap::trailing_bits_are_zero(bits, rows) {
        return Err((None, Problem::TrailingBits { bitmap }));
    }
    Ok(())
}

/// The values, one for each row and zero at nulls.
fn numbers<T: Copy + Default>(rows: usize, mut values: Vec<T>, validity: Option<&[u8]>) -> Result<Vec<T>, ColumnFault> {
    if values.len() != rows {
        return Err((None, Problem::ValueCount { found: values.len(), rows }));
    }
    if let Some(validity) = validity {
        bitmap::zero_at_nulls(&mut values, validity);
    }
    Ok(values)
}

fn check_offsets(what: &'static str, offsets: &[i32], bytes: usize, strings: usize) -> Result<(), ColumnFault> {
    let expected = strings + 1;
    let (Some(&start), Some(&end)) = (offsets.first(), offsets.last()) else {
        return Err((None, Problem::OffsetCount { what, found: 0, expected }));
    };
    if offsets.len() != expected {
        return Err((None, Problem::OffsetCount { what, found: offsets.len(), expected }));
    }
    if start != 0 {
        return Err((None, Problem::OffsetStart { what, found: start }));
    }
    let falls = offsets.windows(2).fold(false, |falls, pair| falls | (pair[1] < pair[0]));
    if falls && let Some(row) = offsets.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(((what == "string").then_some(row), Problem::OffsetOrder { what, index: row + 1 }));
    }
    if usize::try_from(end) != Ok(bytes) {
        return Err((None, Problem::OffsetEnd { what, found: end, expected: bytes }));
    }
    Ok(())
}

/// Takes away the text that stands at nulls. `offsets` were checked.
fn empty_at_nulls(offsets: Vec<i32>, bytes: Vec<u8>, validity: &[u8]) -> (Vec<i32>, Vec<u8>) {
    let rows = offsets.len() - 1;
    if (0..rows).all(|row| bitmap::get(validity, row) || offsets[row] == offsets[row + 1]) {
        return (offsets, bytes);
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut kept_offsets = Vec::with_capacity(offsets.len());
    kept_offsets.push(0);
    for row in 0..rows {
        if bitmap::get(validity, row) {
            kept.extend_from_slice(text(&offsets, &bytes, row));
        }
        // No longer than `bytes`, whose length an offset held.
        kept_offsets.push(i32::try_from(kept.len()).expect("text shrinks"));
    }
    (kept_offsets, kept)
}

/// String `index`, of checked offsets.
fn text<'a>(offsets: &[i32], bytes: &'a [u8], index: usize) -> &'a [u8] {
    &bytes[offsets[index] as usize..offsets[index + 1] as usize]
}

/// Strings of checked offsets, or the index of the first that is not UTF-8.
fn strings(offsets: Vec<i32>, bytes: Vec<u8>, nulls: Option<NullBuffer>) -> Result<StringArray, usize> {
    let offsets = ScalarBuffer::from(offsets);
    let bytes = Buffer::from_vec(bytes);
    StringArray::try_new(OffsetBuffer::new(offsets.clone()), bytes.clone(), nulls).map_err(|_| {
        let invalid = |&index: &usize| std::str::from_utf8(text(&offsets, &bytes, index)).is_err();
        (0..offsets.len() - 1).find(invalid).unwrap_or_default()
    })
}

fn check_categories(offsets: Vec<i32>, bytes: Vec<u8>) -> Result<StringArray, ColumnFault> {
    check_offsets("category", &offsets, bytes.len(), offsets.len().saturating_sub(1))?;
    let categories = strings(offsets, bytes, None).map_err(|index| (None, Problem::CategoryUtf8 { index }))?;
    let mut seen = HashMap::with_capacity(categories.len());
    for second in 0..categories.len() {
        if let Some(first) = seen.insert(categories.value(second), second) {
            return Err((None, Problem::CategoryTwice { first, second }));
        }
    }
    drop(seen);
    Ok(categories)
}

/// `codes` are 0 at nulls, where 0 need not name a category.
fn check_codes(codes: &[i32], validity: Option<&[u8]>, categories: usize) -> Result<(), ColumnFault> {
    // As unsigned, a negative code is greater than any number of categories: offsets are 31-bit.
    let out = |code: i32| code as u32 as usize >= categories;
    if !codes.iter().fold(false, |seen, &code| seen | out(code)) {
        return Ok(());
    }
    let faulty = |&(row, &code): &(usize, &i32)| out(code) && validity.is_none_or(|bits| bitmap::get(bits, row));
    match codes.iter().enumerate().find(faulty) {
        Some((row, &code)) => Err((Some(row), Problem::Code { code, categories })),
        None => Ok(()),
    }
}
