//! Writes Arrow arrays as the bytes of a batch for a guest.
//!
//! Slices are resolved: bitmaps start at bit 0, offsets at 0. NaN and the values at nulls are made
//! canonical. So a guest sees the same bytes however the host cut the table. A batch gets no more
//! categories than it has rows, since a table may have far more than fit into a batch.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_buffer::NullBuffer;

use super::size::{check_columns, size};
use super::{ALIGNMENT, canonicalise_nans};
use crate::batch_fault::BatchFault;
use crate::bitmap::{self, zero_at_nulls};
use crate::schema::{DataType, Field, Schema};

/// Bytes of values that are copied and then checked: what fits a processor's first-level cache.
const BLOCK: usize = 16 << 10;

/// Appends buffers.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn piece(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.pad();
    }

    fn text(&mut self, strings: &StringArray, nulls: Option<&NullBuffer>) {
        let offsets = strings.offsets();
        let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
        let is_loose = offsets.has_non_empty_nulls(nulls);
        if first == 0 && !is_loose {
            self.piece(offsets.inner().inner().as_slice());
            return self.piece(&strings.value_data()[..last as usize]);
        }
        let at = self.bytes.len();
        self.bytes.resize(at + offsets.len() * 4, 0);
        let (ends, _) = self.bytes[at..].as_chunks_mut::<4>();
        if is_loose {
            let (mut end, mut text) = (0i32, Vec::with_capacity((last - first) as usize));
            for (place, value) in ends[1..].iter_mut().zip(strings) {
                let value = value.unwrap_or_default().as_bytes();
                text.extend_from_slice(value);
                end += value.len() as i32;
                *place = end.to_le_bytes();
            }
            self.pad();
            self.piece(&text);
        } else {
            ends.iter_mut().zip(offsets.iter()).for_each(|(end, offset)| *end = (offset - first).to_le_bytes());
            self.pad();
            self.piece(&strings.value_data()[first as usize..last as usize]);
        }
    }

    /// Appends values of a fixed width, zero at nulls, without padding.
    fn words<const N: usize>(&mut self, values: &[u8], nulls: Option<&NullBuffer>, float: bool)
    where
        [u8; N]: Default,
    {
        let at = self.bytes.len();
        // The copied values are checked while they are in the cache.
        for block in values.chunks(BLOCK) {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(block);
            if float {
                canonicalise_nans(self.bytes[at..].as_chunks_mut::<8>().0);
            }
        }
        if let Some(nulls) = nulls {
            let validity = bitmap::from_buffer(nulls.inner());
            zero_at_nulls(self.bytes[at..].as_chunks_mut::<N>().0, &validity);
        }
    }

    fn categorical(&mut self, array: &DictionaryArray<Int32Type>, nulls: Option<&NullBuffer>) {
        let categories = array.values().as_string::<i32>();
        let codes = array.keys().values();
        if categories.len() <= codes.len() {
            self.words::<4>(codes.inner().as_slice(), nulls, false);
            self.pad();
            self.piece(&(categories.len() as i64).to_le_bytes());
            return self.text(categories, None);
        }
        let mut known = HashMap::with_capacity(codes.len());
        let mut used = Vec::new();
        for (row, &code) in codes.iter().enumerate() {
            let mut number = 0i32;
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                number = *known.entry(code).or_insert_with(|| {
                    used.push(categories.value(code as usize));
                    used.len() as i32 - 1
                });
            }
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.pad();
        self.piece(&(used.len() as i64).to_le_bytes());
        self.text(&StringArray::from_iter_values(used), None);
    }
}

/// Returns the bytes to reserve for a column. They are exact, since a batch is the largest
/// allocation of a call, unless they would have to be counted category by category.
fn room(array: &ArrayRef, field: &Field) -> usize {
    match array.as_dictionary_opt::<Int32Type>() {
        Some(categorical) if categorical.values().len() > array.len() => array.len() * 24,
        _ => size(array, field),
    }
}

/// Batches of at most this number of rows are written without counting their bytes before.
const FEW_ROWS: usize = 64;

/// Returns the bytes of a batch for a guest that knows the schema's fields.
///
/// # Errors
/// A [`BatchFault`] if the columns are not the schema's: if their number or a type differs, or if a
/// field that is not nullable has a null, for which the layout has no place.
pub fn write(batch: &RecordBatch, schema: &Schema) -> Result<Vec<u8>, BatchFault> {
    check_columns(batch, schema)?;
    let columns = batch.columns().iter().zip(schema.fields());
    let mut writer = Writer { bytes: Vec::with_capacity(columns.map(|(array, field)| room(array, field)).sum()) };
    writer.batch(batch, schema);
    Ok(writer.bytes)
}

/// Writes the rows of several batches, in order, as the bytes of one batch. Replaces what is in
/// `bytes` and uses its allocation. Returns the number of rows.
///
/// # Errors
/// As for [`write()`]. The content of `bytes` is unspecified then.
pub fn write_into(batches: &[RecordBatch], schema: &Schema, bytes: &mut Vec<u8>) -> Result<usize, BatchFault> {
    bytes.clear();
    batches.iter().try_for_each(|batch| check_columns(batch, schema))?;
    let mut writer = Writer { bytes: std::mem::take(bytes) };
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    match batches {
        [batch] => {
            if rows > FEW_ROWS {
                let columns = batch.columns().iter().zip(schema.fields());
                writer.bytes.reserve(columns.map(|(array, field)| room(array, field)).sum());
            }
            writer.batch(batch, schema);
        }
        _ => {
            for (place, field) in schema.fields().iter().enumerate() {
                writer.joined(&batches.iter().map(|batch| batch.column(place)).collect::<Vec<_>>(), field);
            }
        }
    }
    *bytes = writer.bytes;
    Ok(rows)
}

/// Returns the nulls of an array that has some.
fn nulls(array: &ArrayRef) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}

impl Writer {
    /// Appends a batch, whose columns were checked.
    fn batch(&mut self, batch: &RecordBatch, schema: &Schema) {
        let rows = batch.num_rows();
        for (array, field) in batch.columns().iter().zip(schema.fields()) {
            let nulls = nulls(array);
            if field.nullable {
                let at = self.bytes.len();
                match nulls {
                    Some(nulls) => self.bytes.extend_from_slice(&bitmap::from_buffer(nulls.inner())),
                    None => {
                        self.bytes.resize(at + bitmap::bytes_for(rows), 0xff);
                        bitmap::clear_trailing_bits(&mut self.bytes[at..], rows);
                    }
                }
                self.pad();
            }
            match field.data_type {
                DataType::Boolean => {
                    let mut bits = bitmap::from_buffer(array.as_boolean().values());
                    if let Some(nulls) = nulls {
                        let validity = bitmap::from_buffer(nulls.inner());
                        bits.iter_mut().zip(validity).for_each(|(byte, valid)| *byte &= valid);
                    }
                    self.piece(&bits);
                }
                DataType::Utf8 => self.text(array.as_string::<i32>(), nulls),
                DataType::Categorical => self.categorical(array.as_dictionary::<Int32Type>(), nulls),
                _ => {
                    self.words::<8>(words_of(array, field.data_type), nulls, field.data_type == DataType::Float64);
                    self.pad();
                }
            }
        }
    }

    /// Appends a bitmap of all rows of some arrays.
    fn bits<'a>(&mut self, arrays: &[&'a ArrayRef], bit: impl Fn(&'a ArrayRef, usize) -> bool) {
        let at = self.bytes.len();
        let rows: usize = arrays.iter().map(|array| array.len()).sum();
        self.bytes.resize((at + bitmap::bytes_for(rows)).next_multiple_of(ALIGNMENT), 0);
        let rows = arrays.iter().flat_map(|array| (0..array.len()).map(move |row| (*array, row)));
        for (place, (array, row)) in rows.enumerate() {
            self.bytes[at + place / 8] |= u8::from(bit(array, row)) << (place % 8);
        }
    }

    /// Appends the rows of a column that is in several batches.
    fn joined(&mut self, arrays: &[&ArrayRef], field: &Field) {
        if field.nullable {
            self.bits(arrays, |array, row| array.is_valid(row));
        }
        match field.data_type {
            DataType::Boolean => {
                self.bits(arrays, |array, row| array.is_valid(row) && array.as_boolean().value(row));
            }
            DataType::Utf8 => {
                self.strings(arrays, |array, row| array.as_string::<i32>().value(row));
            }
            DataType::Categorical => self.joined_categories(arrays),
            _ => {
                for array in arrays {
                    let is_float = field.data_type == DataType::Float64;
                    self.words::<8>(words_of(array, field.data_type), nulls(array), is_float);
                }
                self.pad();
            }
        }
    }

    /// Appends the strings of all rows of some arrays, the empty one at nulls.
    fn strings<'a>(&mut self, arrays: &[&'a ArrayRef], text: impl Fn(&'a ArrayRef, usize) -> &'a str) {
        let rows = || arrays.iter().flat_map(|array| (0..array.len()).map(move |row| (*array, row)));
        let string = |(array, row): (&'a ArrayRef, usize)| if array.is_valid(row) { text(array, row) } else { "" };
        let mut end = 0i32;
        self.bytes.extend_from_slice(&end.to_le_bytes());
        for row in rows() {
            // Text past the size limit of a batch is refused by whoever sends it.
            end = end.saturating_add(i32::try_from(string(row).len()).unwrap_or(i32::MAX));
            self.bytes.extend_from_slice(&end.to_le_bytes());
        }
        self.pad();
        for row in rows() {
            self.bytes.extend_from_slice(string(row).as_bytes());
        }
        self.pad();
    }

    /// Appends categorical arrays under the categories that their rows use, in the order of their
    /// first use.
    fn joined_categories(&mut self, arrays: &[&ArrayRef]) {
        let mut known = HashMap::new();
        let mut used = Vec::new();
        for array in arrays {
            let array = array.as_dictionary::<Int32Type>();
            let categories = array.values().as_string::<i32>();
            for (row, &code) in array.keys().values().iter().enumerate() {
                let mut number = 0i32;
                if array.is_valid(row) {
                    let text = categories.value(code as usize);
                    number = *known.entry(text).or_insert_with(|| {
                        used.push(text);
                        used.len() as i32 - 1
                    });
                }
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        self.pad();
        self.piece(&(used.len() as i64).to_le_bytes());
        self.text(&StringArray::from_iter_values(used), None);
    }
}

/// Returns the bytes of an array of words of 8 bytes.
fn words_of(array: &ArrayRef, data_type: DataType) -> &[u8] {
    match data_type {
        DataType::Float64 => array.as_primitive::<Float64Type>().values().inner(),
        DataType::Timestamp => array.as_primitive::<TimestampMicrosecondType>().values().inner(),
        _ => array.as_primitive::<Int64Type>().values().inner(),
    }
}
