//! Batches as the contract has them: pieces of bytes at multiples of 8, in the order of the fields.
//!
//! Owns the only parser of bytes that a guest calls a batch, and the only writer of bytes that a
//! guest gets as one. Fields and rows say where a piece lies; of what the guest wrote, only text's
//! last offsets and the numbers of categories move the parser. It looks at each value once, mends
//! NaN and what stands at nulls in place, and hands out Arrow arrays over the same allocation.
//! It uses no `unsafe`: Arrow's own checked constructors have the last word on text and codes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::bitmap;
use crate::checked::{CANONICAL_NAN, MAX_BATCH_BYTES, MAX_BATCH_ROWS};
use crate::fault::{BatchFault, BatchProblem as Problem};
use crate::schema::{DataType, Field, Schema};

/// Each piece of a batch starts at a multiple of this.
const ALIGNMENT: usize = 8;

/// What is wrong, and in which row.
type ColumnFault = (Option<usize>, Problem);

/// Where the pieces of a column lie.
struct Pieces {
    validity: Option<Range<usize>>,
    values: Values,
}

enum Values {
    Boolean(Range<usize>),
    Words(Range<usize>),
    Text(Text),
    Categorical { codes: Range<usize>, categories: Text },
}

struct Text {
    offsets: Range<usize>,
    text: Range<usize>,
}

/// Goes through a batch's bytes piece by piece.
struct Walk<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Walk<'_> {
    /// The next piece, of `length` bytes, and the zeros after it.
    fn piece(&mut self, length: usize) -> Result<Range<usize>, ColumnFault> {
        let cut = |found| (None, Problem::Cut { piece: length, found });
        let left = self.bytes.len() - self.at;
        let padded = length.checked_next_multiple_of(ALIGNMENT).filter(|&padded| padded <= left);
        let padded = padded.ok_or_else(|| cut(left.min(length)))?;
        let piece = self.at..self.at + length;
        self.at += padded;
        if self.bytes[piece.end..self.at].iter().any(|&byte| byte != 0) {
            return Err((None, Problem::Padding));
        }
        Ok(piece)
    }

    fn bitmap(&mut self, what: &'static str, rows: usize) -> Result<Range<usize>, ColumnFault> {
        let piece = self.piece(bitmap::bytes_for(rows))?;
        if bitmap::trailing_bits_are_zero(&self.bytes[piece.clone()], rows) {
            Ok(piece)
        } else {
            Err((None, Problem::TrailingBits { bitmap: what }))
        }
    }

    fn text(&mut self, what: &'static str, strings: usize) -> Result<Text, ColumnFault> {
        let offsets = self.piece(strings.saturating_add(1).saturating_mul(4))?;
        let (numbers, _) = self.bytes[offsets.clone()].as_chunks::<4>();
        let start = i32::from_le_bytes(numbers[0]);
        if start != 0 {
            return Err((None, Problem::OffsetStart { what, found: start }));
        }
        let pair = |pair: &[[u8; 4]]| i32::from_le_bytes(pair[1]) < i32::from_le_bytes(pair[0]);
        let falls = numbers.windows(2).fold(false, |falls, two| falls | pair(two));
        if falls && let Some(row) = numbers.windows(2).position(pair) {
            return Err(((what == "string").then_some(row), Problem::OffsetOrder { what, index: row + 1 }));
        }
        let end = i32::from_le_bytes(numbers[strings]);
        // They start at 0 and do not fall, so the last is not negative.
        let text = self.piece(end as usize)?;
        Ok(Text { offsets, text })
    }

    fn column(&mut self, rows: usize, field: &Field) -> Result<Pieces, ColumnFault> {
        let mut validity = None;
        if field.nullable {
            let piece = self.bitmap("validity", rows)?;
            validity = (bitmap::count_ones(&self.bytes[piece.clone()]) != rows).then_some(piece);
        }
        let values = match field.data_type {
            DataType::Boolean => Values::Boolean(self.bitmap("value", rows)?),
            DataType::Int64 | DataType::Timestamp | DataType::Float64 => {
                let piece = self.piece(rows * 8)?;
                // Validity lies before the values.
                let (before, from) = self.bytes.split_at_mut(piece.start);
                let (words, _) = from[..piece.len()].as_chunks_mut::<8>();
                if let Some(validity) = &validity {
                    zero_at_nulls(words, &before[validity.clone()]);
                }
                if field.data_type == DataType::Float64 {
                    canonicalise_nans(words);
                }
                Values::Words(piece)
            }
            DataType::Utf8 => Values::Text(self.text("string", rows)?),
            DataType::Categorical => {
                let codes = self.piece(rows * 4)?;
                let count = self.piece(8)?;
                let count = i64::from_le_bytes(self.bytes[count].try_into().expect("a piece of 8 bytes"));
                let categories = usize::try_from(count).map_err(|_| (None, Problem::CategoryCount { count }))?;
                let categories = self.text("category", categories)?;
                let (before, from) = self.bytes.split_at_mut(codes.start);
                let (numbers, _) = from[..codes.len()].as_chunks_mut::<4>();
                if let Some(validity) = &validity {
                    zero_at_nulls(numbers, &before[validity.clone()]);
                }
                check_codes(numbers, validity.as_ref().map(|piece| &before[piece.clone()]), count as usize)?;
                Values::Categorical { codes, categories }
            }
        };
        if let (Some(validity), Values::Boolean(piece)) = (&validity, &values) {
            let (before, from) = self.bytes.split_at_mut(piece.start);
            from[..piece.len()].iter_mut().zip(&before[validity.clone()]).for_each(|(byte, valid)| *byte &= valid);
        }
        Ok(Pieces { validity, values })
    }
}

/// Zeroes what stands at nulls, so that equal columns have equal bytes.
fn zero_at_nulls<const N: usize>(values: &mut [[u8; N]], validity: &[u8]) {
    for (block, &byte) in values.chunks_mut(8).zip(validity) {
        if byte != 0xff {
            for (bit, value) in block.iter_mut().enumerate() {
                if byte >> bit & 1 == 0 {
                    *value = [0; N];
                }
            }
        }
    }
}

fn canonicalise_nans(words: &mut [[u8; 8]]) {
    for block in words.chunks_mut(1024) {
        let nan = block.iter().fold(0, |seen, word| seen | u64::from(f64::from_le_bytes(*word).is_nan()));
        if nan != 0 {
            for word in block.iter_mut().filter(|word| f64::from_le_bytes(**word).is_nan()) {
                *word = CANONICAL_NAN.to_le_bytes();
            }
        }
    }
}

fn check_codes(codes: &[[u8; 4]], validity: Option<&[u8]>, categories: usize) -> Result<(), ColumnFault> {
    let out = |code: &[u8; 4]| u32::from_le_bytes(*code) as usize >= categories;
    if !codes.iter().fold(false, |seen, code| seen | out(code)) {
        return Ok(());
    }
    let faulty = |&(row, code): &(usize, &[u8; 4])| out(code) && validity.is_none_or(|bits| bitmap::get(bits, row));
    match codes.iter().enumerate().find(faulty) {
        Some((row, code)) => Err((Some(row), Problem::Code { code: i32::from_le_bytes(*code), categories })),
        None => Ok(()),
    }
}

/// Checks the bytes that an untrusted guest calls a batch of `rows` rows with `schema`'s fields.
///
/// # Errors
/// A [`BatchFault`] that names the column and, where there is one, the row.
pub fn parse(rows: usize, mut bytes: Vec<u8>, schema: &Schema) -> Result<RecordBatch, BatchFault> {
    let whole = |problem| BatchFault { column: None, row: None, problem };
    if rows > MAX_BATCH_ROWS {
        return Err(whole(Problem::TooManyRows { rows }));
    }
    if bytes.len() > MAX_BATCH_BYTES {
        return Err(whole(Problem::TooLarge { bytes: bytes.len() }));
    }
    let fault = |field: &Field| {
        let column = Some(field.name.clone());
        |(row, problem)| BatchFault { column, row, problem }
    };
    let mut walk = Walk { bytes: &mut bytes, at: 0 };
    let mut pieces = Vec::with_capacity(schema.len());
    for field in schema.fields() {
        pieces.push(walk.column(rows, field).map_err(fault(field))?);
    }
    let left = walk.bytes.len() - walk.at;
    if left > 0 {
        return Err(whole(Problem::Trailing { bytes: left }));
    }
    let mut buffer = Buffer::from_vec(bytes);
    if buffer.as_ptr().align_offset(ALIGNMENT) != 0 {
        buffer = Buffer::from(buffer.as_slice());
    }
    let arrays = pieces.into_iter().zip(schema.fields());
    let arrays = arrays.map(|(pieces, field)| array(rows, &buffer, pieces, field).map_err(fault(field)));
    let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)
        .map_err(|error| whole(Problem::Arrow(error.to_string())))
}

fn slice(buffer: &Buffer, piece: &Range<usize>) -> Buffer {
    buffer.slice_with_length(piece.start, piece.len())
}

fn array(rows: usize, buffer: &Buffer, pieces: Pieces, field: &Field) -> Result<ArrayRef, ColumnFault> {
    let nulls =
        pieces.validity.as_ref().map(|piece| NullBuffer::new(BooleanBuffer::new(slice(buffer, piece), 0, rows)));
    if nulls.is_some() && !field.nullable {
        return Err((None, Problem::Null));
    }
    Ok(match pieces.values {
        Values::Boolean(piece) => {
            Arc::new(BooleanArray::new(BooleanBuffer::new(slice(buffer, &piece), 0, rows), nulls))
        }
        Values::Words(piece) => {
            let words = slice(buffer, &piece);
            match field.data_type {
                DataType::Float64 => Arc::new(Float64Array::new(ScalarBuffer::new(words, 0, rows), nulls)),
                DataType::Timestamp => Arc::new(
                    TimestampMicrosecondArray::new(ScalarBuffer::new(words, 0, rows), nulls).with_timezone("UTC"),
                ),
                _ => Arc::new(Int64Array::new(ScalarBuffer::new(words, 0, rows), nulls)),
            }
        }
        Values::Text(text) => {
            let (offsets, bytes) = match &nulls {
                Some(nulls) => empty_at_nulls(buffer, &text, rows, nulls),
                None => (numbers(buffer, &text.offsets, rows + 1), slice(buffer, &text.text)),
            };
            Arc::new(strings(offsets, bytes, nulls).map_err(|row| (Some(row), Problem::StringUtf8))?)
        }
        Values::Categorical { codes, categories } => {
            let count = categories.offsets.len() / 4 - 1;
            let offsets = numbers(buffer, &categories.offsets, count + 1);
            let categories = strings(offsets, slice(buffer, &categories.text), None);
            let categories = categories.map_err(|index| (None, Problem::CategoryUtf8 { index }))?;
            let mut seen = HashMap::with_capacity(count);
            for second in 0..count {
                if let Some(first) = seen.insert(categories.value(second), second) {
                    return Err((None, Problem::CategoryTwice { first, second }));
                }
            }
            drop(seen);
            let codes = Int32Array::new(numbers(buffer, &codes, rows), nulls);
            let array = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(categories));
            Arc::new(array.map_err(|error| (None, Problem::Arrow(error.to_string())))?)
        }
    })
}

fn numbers(buffer: &Buffer, piece: &Range<usize>, count: usize) -> ScalarBuffer<i32> {
    ScalarBuffer::new(slice(buffer, piece), 0, count)
}

/// Strings of checked offsets, or the index of the first that is not UTF-8.
fn strings(offsets: ScalarBuffer<i32>, text: Buffer, nulls: Option<NullBuffer>) -> Result<StringArray, usize> {
    StringArray::try_new(OffsetBuffer::new(offsets.clone()), text.clone(), nulls).map_err(|_| {
        let invalid =
            |&index: &usize| std::str::from_utf8(&text[offsets[index] as usize..offsets[index + 1] as usize]).is_err();
        (0..offsets.len() - 1).find(invalid).unwrap_or_default()
    })
}

/// The text without what stands at nulls; the same allocation if nothing does.
fn empty_at_nulls(buffer: &Buffer, text: &Text, rows: usize, nulls: &NullBuffer) -> (ScalarBuffer<i32>, Buffer) {
    let offsets = numbers(buffer, &text.offsets, rows + 1);
    if (0..rows).all(|row| nulls.is_valid(row) || offsets[row] == offsets[row + 1]) {
        return (offsets, slice(buffer, &text.text));
    }
    let bytes = &buffer[text.text.clone()];
    let mut kept = Vec::with_capacity(bytes.len());
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    for row in 0..rows {
        if nulls.is_valid(row) {
            kept.extend_from_slice(&bytes[offsets[row] as usize..offsets[row + 1] as usize]);
        }
        ends.push(i32::try_from(kept.len()).expect("text shrinks"));
    }
    (ends.into(), Buffer::from_vec(kept))
}

/// Writes pieces.
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
        let at = self.bytes.len();
        self.bytes.resize(at + offsets.len() * 4, 0);
        let (ends, _) = self.bytes[at..].as_chunks_mut::<4>();
        if offsets.has_non_empty_nulls(nulls) {
            let (mut end, mut text) = (0i32, Vec::with_capacity(strings.value_data().len()));
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

    /// Values of a fixed width, zero at nulls.
    fn words<const N: usize>(&mut self, values: &[u8], nulls: Option<&NullBuffer>, float: bool) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(values);
        if let Some(nulls) = nulls {
            let validity = bitmap::from_buffer(nulls.inner());
            zero_at_nulls(self.bytes[at..].as_chunks_mut::<N>().0, &validity);
        }
        if float {
            canonicalise_nans(self.bytes[at..].as_chunks_mut::<8>().0);
        }
        self.pad();
    }

    fn categorical(&mut self, array: &DictionaryArray<Int32Type>, nulls: Option<&NullBuffer>) {
        let categories = array.values().as_string::<i32>();
        let codes = array.keys().values();
        if categories.len() <= codes.len() {
            self.words::<4>(codes.inner().as_slice(), nulls, false);
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

/// The bytes of a batch for a guest that is told `fields`, and that gets no null where its field has none.
///
/// # Panics
/// If the columns are not of the fields' types.
#[must_use]
pub fn write(batch: &RecordBatch, schema: &Schema) -> Vec<u8> {
    let rows = batch.num_rows();
    let room: usize = batch.columns().iter().map(|array| array.get_array_memory_size().min(rows * 24 + 64)).sum();
    let mut writer = Writer { bytes: Vec::with_capacity(room) };
    for (array, field) in batch.columns().iter().zip(schema.fields()) {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        if field.nullable {
            let at = writer.bytes.len();
            match nulls {
                Some(nulls) => writer.bytes.extend_from_slice(&bitmap::from_buffer(nulls.inner())),
                None => {
                    writer.bytes.resize(at + bitmap::bytes_for(rows), 0xff);
                    bitmap::clear_trailing_bits(&mut writer.bytes[at..], rows);
                }
            }
            writer.pad();
        }
        match field.data_type {
            DataType::Boolean => {
                let mut bits = bitmap::from_buffer(array.as_boolean().values());
                if let Some(nulls) = nulls {
                    let validity = bitmap::from_buffer(nulls.inner());
                    bits.iter_mut().zip(validity).for_each(|(byte, valid)| *byte &= valid);
                }
                writer.piece(&bits);
            }
            DataType::Int64 => writer.words::<8>(array.as_primitive::<Int64Type>().values().inner(), nulls, false),
            DataType::Timestamp => {
                writer.words::<8>(array.as_primitive::<TimestampMicrosecondType>().values().inner(), nulls, false);
            }
            DataType::Float64 => writer.words::<8>(array.as_primitive::<Float64Type>().values().inner(), nulls, true),
            DataType::Utf8 => writer.text(array.as_string::<i32>(), nulls),
            DataType::Categorical => writer.categorical(array.as_dictionary::<Int32Type>(), nulls),
        }
    }
    writer.bytes
}
