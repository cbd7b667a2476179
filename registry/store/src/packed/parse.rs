//! Parses the bytes of a guest's batch into Arrow arrays over the same allocation.
//!
//! Fields and row counts determine where each buffer lies. Only the last offsets of text and the
//! numbers of categories, of all that the guest wrote, move the parser. It looks at each value
//! once, and makes NaN and the values at nulls canonical in place. It uses no `unsafe`: Arrow's own
//! checked constructors validate text and codes.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{ALIGNMENT, MAX_BATCH_BYTES, MAX_BATCH_ROWS, canonicalise_nans};
use crate::batch_fault::{BatchFault, BatchProblem as Problem};
use crate::bitmap::{self, zero_at_nulls};
use crate::schema::{DataType, Field, Schema};

/// A problem, and its row.
type ColumnFault = (Option<usize>, Problem);

/// Where the buffers of a column lie.
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

/// Walks through a batch's bytes buffer by buffer.
struct Walk<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Walk<'_> {
    /// Returns the next buffer, of `length` bytes, and skips the zeros after it.
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
        // Offsets start at 0 and do not decrease, so that the last is not negative.
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

/// Parses and checks the bytes of a batch of `rows` rows with `schema`'s fields, from an untrusted
/// guest.
///
/// # Errors
/// A [`BatchFault`] that names the column and, if the problem is in one row, the row.
pub fn parse(rows: usize, mut bytes: Vec<u8>, schema: &Schema) -> Result<RecordBatch, BatchFault> {
    let pieces = walk(rows, &mut bytes, schema)?;
    let mut buffer = Buffer::from_vec(bytes);
    if buffer.as_ptr().align_offset(ALIGNMENT) != 0 {
        buffer = Buffer::from(buffer.as_slice());
    }
    let arrays = pieces.into_iter().zip(schema.fields());
    let arrays = arrays.map(|(pieces, field)| array(rows, &buffer, pieces, field).map_err(in_column(field)));
    let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)
        .map_err(|error| of_batch(Problem::Arrow(error.to_string())))
}

/// Returns whether batches with these fields are matrices: columns of float64 without nulls alone.
#[must_use]
pub fn is_matrix(schema: &Schema) -> bool {
    schema.fields().iter().all(|field| field.data_type == DataType::Float64 && !field.nullable)
}

/// Checks the bytes of a matrix of `rows` rows in place, as [`parse`] does, and makes every NaN
/// canonical. Afterwards the bytes are those that [`write`](super::write()) would make of the
/// batch, so that they can be passed on.
///
/// # Errors
/// As for [`parse`]; a fault if batches with this schema are no matrices.
pub fn check_matrix(rows: usize, bytes: &mut [u8], schema: &Schema) -> Result<(), BatchFault> {
    let expected = rows.checked_mul(8 * schema.len());
    if is_matrix(schema) && expected == Some(bytes.len()) && rows <= MAX_BATCH_ROWS && bytes.len() <= MAX_BATCH_BYTES {
        canonicalise_nans(bytes.as_chunks_mut::<8>().0);
        return Ok(());
    }
    walk(rows, bytes, schema)?;
    Err(of_batch(Problem::Arrow("the columns are no matrix".to_owned())))
}

/// A fault of a batch as a whole.
fn of_batch(problem: Problem) -> BatchFault {
    BatchFault { column: None, row: None, problem }
}

/// Returns a function that makes faults of a column.
fn in_column(field: &Field) -> impl FnOnce(ColumnFault) -> BatchFault {
    let column = Some(field.name.clone());
    |(row, problem)| BatchFault { column, row, problem }
}

/// Finds and checks the pieces of all columns.
fn walk(rows: usize, bytes: &mut [u8], schema: &Schema) -> Result<Vec<Pieces>, BatchFault> {
    if rows > MAX_BATCH_ROWS {
        return Err(of_batch(Problem::TooManyRows { rows }));
    }
    if bytes.len() > MAX_BATCH_BYTES {
        let largest = largest_column(rows, bytes, schema);
        return Err(of_batch(Problem::TooLarge { bytes: bytes.len(), largest }));
    }
    let mut walk = Walk { bytes, at: 0 };
    let mut pieces = Vec::with_capacity(schema.len());
    for field in schema.fields() {
        pieces.push(walk.column(rows, field).map_err(in_column(field))?);
    }
    match walk.bytes.len() - walk.at {
        0 => Ok(pieces),
        left => Err(of_batch(Problem::Trailing { bytes: left })),
    }
}

fn slice(buffer: &Buffer, piece: &Range<usize>) -> Buffer {
    buffer.slice_with_length(piece.start, piece.len())
}

fn array(rows: usize, buffer: &Buffer, pieces: Pieces, field: &Field) -> Result<ArrayRef, ColumnFault> {
    let nulls =
        pieces.validity.as_ref().map(|piece| NullBuffer::new(BooleanBuffer::new(slice(buffer, piece), 0, rows)));
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
            if let Some((first, second)) = equal(&categories) {
                return Err((None, Problem::CategoryTwice { first, second }));
            }
            let codes = Int32Array::new(numbers(buffer, &codes, rows), nulls);
            let array = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(categories));
            Arc::new(array.map_err(|error| (None, Problem::Arrow(error.to_string())))?)
        }
    })
}

/// Returns the indices of two categories that are equal. Takes memory in proportion to the text of
/// the categories, whatever their number, so that a guest that claims millions of empty ones gains
/// nothing.
fn equal(categories: &StringArray) -> Option<(usize, usize)> {
    let offsets = categories.offsets();
    // All but one category need a byte. If there are more than that, two are empty.
    if categories.len() > categories.value_data().len() + 1 {
        let mut empty = (0..categories.len()).filter(|&category| offsets[category] == offsets[category + 1]);
        return empty.next().zip(empty.next());
    }
    let hasher = RandomState::new();
    let hash = |&category: &u32| hasher.hash_one(categories.value(category as usize));
    let mut seen = HashTable::with_capacity(categories.len());
    for (second, text) in categories.iter().flatten().enumerate() {
        let same = |&first: &u32| categories.value(first as usize) == text;
        match seen.entry(hasher.hash_one(text), same, hash) {
            Entry::Occupied(first) => return Some((*first.get() as usize, second)),
            Entry::Vacant(place) => {
                // A batch has fewer bytes than a u32 counts, and a category takes some.
                place.insert(second as u32);
            }
        }
    }
    None
}

/// Returns the name of the column that takes most of the bytes of a batch that is refused for its
/// size. Nothing of the batch was checked: from a column on that does not fit, all bytes count as
/// that column's.
fn largest_column(rows: usize, bytes: &[u8], schema: &Schema) -> Option<String> {
    let mut extents = Extents { bytes, at: 0 };
    let mut largest = (0, None);
    for field in schema.fields() {
        let start = extents.at;
        let end = extents.column(rows, field).map_or(bytes.len(), |()| extents.at);
        if end - start > largest.0 {
            largest = (end - start, Some(field.name.clone()));
        }
        if end >= bytes.len() {
            break;
        }
    }
    largest.1
}

/// Walks through a batch that is too large and looks at lengths alone.
struct Extents<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Extents<'a> {
    fn piece(&mut self, length: usize) -> Option<&'a [u8]> {
        let piece = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length.checked_next_multiple_of(ALIGNMENT)?;
        Some(piece)
    }

    fn text(&mut self, strings: usize) -> Option<()> {
        let end = *self.piece(strings.checked_add(1)?.checked_mul(4)?)?.last_chunk()?;
        self.piece(usize::try_from(i32::from_le_bytes(end)).ok()?).map(|_| ())
    }

    fn column(&mut self, rows: usize, field: &Field) -> Option<()> {
        if field.nullable {
            self.piece(bitmap::bytes_for(rows))?;
        }
        match field.data_type {
            DataType::Boolean => self.piece(bitmap::bytes_for(rows)).map(|_| ()),
            DataType::Int64 | DataType::Timestamp | DataType::Float64 => self.piece(rows * 8).map(|_| ()),
            DataType::Utf8 => self.text(rows),
            DataType::Categorical => {
                self.piece(rows * 4)?;
                let count = i64::from_le_bytes(*self.piece(8)?.first_chunk()?);
                self.text(usize::try_from(count).ok()?)
            }
        }
    }
}

fn numbers(buffer: &Buffer, piece: &Range<usize>, count: usize) -> ScalarBuffer<i32> {
    ScalarBuffer::new(slice(buffer, piece), 0, count)
}

/// Returns strings of checked offsets, or the index of the first that is not UTF-8.
fn strings(offsets: ScalarBuffer<i32>, text: Buffer, nulls: Option<NullBuffer>) -> Result<StringArray, usize> {
    StringArray::try_new(OffsetBuffer::new(offsets.clone()), text.clone(), nulls).map_err(|_| {
        let invalid =
            |&index: &usize| std::str::from_utf8(&text[offsets[index] as usize..offsets[index + 1] as usize]).is_err();
        (0..offsets.len() - 1).find(invalid).unwrap_or_default()
    })
}

/// Returns the text without what lies at nulls, in the same allocation if nothing does.
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
