//! A chunk that is being filled: one vector per column, in the canonical form that is both stored
//! and hashed.
//!
//! The same rows give the same bytes, however they arrive: in slices, in batches of any size, with
//! categories in any order. Values at nulls are zero, NaN is the canonical NaN, text starts at
//! offset 0, codes count categories in order of first appearance in the table, and a column of a
//! chunk without nulls has no bitmap.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::bitmap;
use crate::packed::{CANONICAL_NAN, replace_nans};
use crate::schema::DataType;

/// The most bytes of the categories of a table's column (text and 4 bytes each). They are held in
/// memory, and every reader loads them.
pub(super) const MAX_CATEGORY_BYTES: usize = 64 << 20;

/// Bytes that a category takes in memory besides its text: two fat pointers, a number, reference
/// counts, and a map at most half empty.
const CATEGORY_OVERHEAD: usize = 96;

/// Bytes that a category takes while its table is finished, besides its text: entries in the list
/// of all, in the list that is read back, and in the array made of it.
const FINISHING_OVERHEAD: usize = 48;

/// Returns the bytes of a text as JSON, with quotes and a comma.
fn escaped_bytes(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    3 + text.bytes().map(escaped).sum::<usize>()
}

/// The categories of one column of a table, numbered in order of first appearance.
#[derive(Debug, Default)]
pub(super) struct Categories {
    numbers: HashMap<Arc<str>, i32>,
    list: Vec<Arc<str>>,
    bytes: usize,
    /// Bytes of the list in the file's footer, as JSON.
    escaped: usize,
    /// The last dictionary, and the number of each of its entries here (-1: not seen yet). Slices
    /// of a batch share one dictionary, and so do the chunks of a table.
    last: Option<(ArrayRef, Vec<i32>)>,
}

impl Categories {
    /// Returns the categories, in the order of their numbers.
    pub(super) fn list(&self) -> &[Arc<str>] {
        &self.list
    }

    /// Returns the bytes that they count for [`MAX_CATEGORY_BYTES`]: text, and 4 each.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes of memory that they take, approximately: each category is in a map and in
    /// a list. The last dictionary belongs to its batch, whose owner counts it, until
    /// [`Categories::forget`].
    pub(super) fn held_bytes(&self) -> usize {
        let last = self.last.as_ref().map_or(0, |(_, codes)| 4 * codes.capacity());
        self.bytes + self.list.len() * CATEGORY_OVERHEAD + last
    }

    /// Releases the last dictionary, which may keep the allocation of its batch.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Returns the bytes of the list in the file's footer.
    pub(super) fn footer_bytes(&self) -> usize {
        self.escaped
    }

    /// Returns the bytes of memory that writing the list and reading it back takes for a moment,
    /// approximately: the footer's text grows, is copied, and is read into an array.
    pub(super) fn finishing_bytes(&self) -> usize {
        4 * self.escaped + self.bytes + self.list.len() * FINISHING_OVERHEAD
    }

    fn number(&mut self, category: &str) -> Result<i32, String> {
        if let Some(&number) = self.numbers.get(category) {
            return Ok(number);
        }
        self.bytes += category.len() + 4;
        if self.bytes > MAX_CATEGORY_BYTES {
            let most = MAX_CATEGORY_BYTES >> 20;
            return Err(format!("its categories take more than {most} MiB\nhint: make the column utf8"));
        }
        // At 4 bytes each, an i32 counts more than MAX_CATEGORY_BYTES allows.
        let number = i32::try_from(self.list.len()).expect("categories are bounded");
        self.escaped += escaped_bytes(category);
        let category: Arc<str> = category.into();
        self.list.push(Arc::clone(&category));
        self.numbers.insert(category, number);
        Ok(number)
    }

    fn append(&mut self, array: &DictionaryArray<Int32Type>, codes: &mut Vec<i32>) -> Result<(), String> {
        let dictionary = array.values();
        let mut numbers = match self.last.take() {
            Some((last, numbers)) if Arc::ptr_eq(&last, dictionary) => numbers,
            _ => vec![-1; dictionary.len()],
        };
        let categories = dictionary.as_string::<i32>();
        codes.reserve(array.len());
        for row in 0..array.len() {
            if array.is_null(row) {
                codes.push(0);
                continue;
            }
            let code = array.keys().value(row) as usize;
            if numbers[code] < 0 {
                numbers[code] = self.number(categories.value(code))?;
            }
            codes.push(numbers[code]);
        }
        self.last = Some((Arc::clone(dictionary), numbers));
        Ok(())
    }
}

/// One column of a chunk that is being filled.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    rows: usize,
    capacity: usize,
    /// Allocated when the first null arrives.
    validity: Option<Vec<u8>>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean(Vec<u8>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Utf8 { offsets: Vec<i32>, bytes: Vec<u8> },
    Codes(Vec<i32>),
    Timestamp(Vec<i64>),
}

impl Values {
    /// Returns no values, with room for so many rows.
    fn with_room(data_type: DataType, rows: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(Vec::with_capacity(bitmap::bytes_for(rows))),
            DataType::Int64 => Self::Int64(Vec::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Vec::with_capacity(rows)),
            DataType::Utf8 => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Self::Utf8 { offsets, bytes: Vec::new() }
            }
            DataType::Categorical => Self::Codes(Vec::with_capacity(rows)),
            DataType::Timestamp => Self::Timestamp(Vec::with_capacity(rows)),
        }
    }

    /// Reserves room for `added` rows of a chunk that will have at most `most`.
    fn make_room(&mut self, added: usize, most: usize) {
        match self {
            Self::Boolean(bits) => make_room(bits, added.div_ceil(8) + 1, bitmap::bytes_for(most)),
            Self::Int64(values) | Self::Timestamp(values) => make_room(values, added, most),
            Self::Float64(values) => make_room(values, added, most),
            Self::Utf8 { offsets, .. } => make_room(offsets, added, most + 1),
            Self::Codes(codes) => make_room(codes, added, most),
        }
    }
}

/// Reserves room for what is added to a vector that will have at most `most` values. If it has many
/// already, reserves room for all of them, so that they are not moved often; if few, no more than
/// needed.
fn make_room<T>(values: &mut Vec<T>, added: usize, most: usize) {
    if values.capacity() - values.len() < added {
        let needed = values.len() + added;
        values.reserve_exact(needed.max((2 * values.capacity()).min(most)) - values.len());
    }
}

impl ColumnBuilder {
    /// Returns an empty column for chunks of `capacity` rows. It allocates as rows arrive: most
    /// tables have fewer rows than a chunk, and fresh memory costs more than moving them.
    pub(super) fn new(data_type: DataType, capacity: usize) -> Self {
        Self { rows: 0, capacity, validity: None, values: Values::with_room(data_type, 0) }
    }

    /// Appends an array of this column's type. `categories` are the table's.
    ///
    /// # Errors
    /// A text that says what is too long.
    pub(super) fn append(&mut self, array: &dyn Array, categories: &mut Categories) -> Result<(), String> {
        let added = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let validity = added.map(|nulls| bitmap::from_buffer(nulls.inner()));
        let validity_bits = validity.as_deref();
        self.values.make_room(array.len(), self.capacity);
        match &mut self.values {
            Values::Boolean(bits) => {
                let values = array.as_boolean().values();
                match added {
                    Some(nulls) => bitmap::append(bits, self.rows, &(values & nulls.inner())),
                    None => bitmap::append(bits, self.rows, values),
                }
            }
            Values::Int64(values) => append_numbers(values, array.as_primitive::<Int64Type>().values(), validity_bits),
            Values::Timestamp(values) => {
                append_numbers(values, array.as_primitive::<TimestampMicrosecondType>().values(), validity_bits);
            }
            Values::Float64(values) => {
                append_numbers(values, array.as_primitive::<Float64Type>().values(), validity_bits);
                replace_nans(&mut values[self.rows..], f64::is_nan, CANONICAL_NAN);
            }
            Values::Utf8 { offsets, bytes } => append_text(offsets, bytes, array.as_string::<i32>(), added)?,
            Values::Codes(codes) => categories.append(array.as_dictionary::<Int32Type>(), codes)?,
        }
        match (&mut self.validity, added) {
            (Some(bits), Some(nulls)) => bitmap::append(bits, self.rows, nulls.inner()),
            (Some(bits), None) => bitmap::append_ones(bits, self.rows, array.len()),
            (empty, Some(nulls)) => {
                let mut bits = Vec::with_capacity(bitmap::bytes_for(self.capacity));
                bitmap::append_ones(&mut bits, 0, self.rows);
                bitmap::append(&mut bits, self.rows, nulls.inner());
                *empty = Some(bits);
            }
            (None, None) => {}
        }
        self.rows += array.len();
        Ok(())
    }

    /// Returns the most bytes of memory that the column takes until its chunk is full, besides
    /// text.
    pub(super) fn held_bytes(&self) -> usize {
        let (data_type, taken) = match &self.values {
            Values::Boolean(bits) => (DataType::Boolean, bits.capacity()),
            Values::Int64(values) | Values::Timestamp(values) => (DataType::Int64, 8 * values.capacity()),
            Values::Float64(values) => (DataType::Float64, 8 * values.capacity()),
            Values::Utf8 { offsets, .. } => (DataType::Utf8, 4 * offsets.capacity()),
            Values::Codes(codes) => (DataType::Categorical, 4 * codes.capacity()),
        };
        let text = if let Values::Utf8 { bytes, .. } = &self.values { bytes.capacity() } else { 0 };
        let validity = self.validity.as_ref().map_or(0, Vec::capacity);
        taken.max(Self::empty_bytes(data_type, self.capacity)) + text + validity
    }

    /// Returns the [`Self::held_bytes`] of an empty column for chunks of `capacity` rows.
    pub(super) fn empty_bytes(data_type: DataType, capacity: usize) -> usize {
        match data_type {
            DataType::Boolean => bitmap::bytes_for(capacity),
            DataType::Int64 | DataType::Float64 | DataType::Timestamp => 8 * capacity,
            DataType::Utf8 => 4 * (capacity + 1),
            DataType::Categorical => 4 * capacity,
        }
    }

    /// Returns the column as it is stored (categoricals as codes), and empties the builder for the
    /// next chunk, with room for `capacity` rows.
    pub(super) fn take(&mut self, data_type: DataType, capacity: usize) -> ArrayRef {
        let values = Values::with_room(data_type, capacity);
        let full = std::mem::replace(self, Self { rows: 0, capacity, validity: None, values });
        let bits = |bits| BooleanBuffer::new(Buffer::from_vec::<u8>(bits), 0, full.rows);
        let nulls = full.validity.map(|validity| NullBuffer::new(bits(validity)));
        match full.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(bits(values), nulls)),
            Values::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Codes(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Values::Utf8 { offsets, bytes } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), nulls))
            }
        }
    }
}

fn append_numbers<T: Copy + Default>(values: &mut Vec<T>, added: &[T], validity: Option<&[u8]>) {
    let start = values.len();
    values.extend_from_slice(added);
    if let Some(validity) = validity {
        bitmap::zero_at_nulls(&mut values[start..], validity);
    }
}

fn append_text(
    offsets: &mut Vec<i32>,
    bytes: &mut Vec<u8>,
    strings: &StringArray,
    nulls: Option<&NullBuffer>,
) -> Result<(), String> {
    let too_long = |_| {
        let most = i32::MAX >> 20;
        format!("the text of one chunk takes more than {most} MiB\nhint: shorten the text or drop the column")
    };
    if strings.offsets().has_non_empty_nulls(nulls) {
        for value in strings {
            bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
            offsets.push(i32::try_from(bytes.len()).map_err(too_long)?);
        }
        return Ok(());
    }
    let (first, last) = (strings.offsets()[0], strings.offsets()[strings.len()]);
    let added = &strings.value_data()[first as usize..last as usize];
    i32::try_from(bytes.len() + added.len()).map_err(too_long)?;
    let base = bytes.len() as i32 - first;
    offsets.extend(strings.offsets()[1..].iter().map(|offset| offset + base));
    bytes.extend_from_slice(added);
    Ok(())
}
