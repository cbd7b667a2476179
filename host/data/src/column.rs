//! Column builders: take cells and make an Arrow array.
//!
//! Each builder knows the decoding of its type ([`crate::cell`]) and the null tokens. Categories
//! are numbered within a batch in order of appearance. Two batches of a table may number them
//! differently, which the contract allows.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, DictionaryArray, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::ArrowError;
use hashbrown::HashTable;
use stagewright_store::DataType;

use crate::cell::{Cell, Complaint, NullTokens};

/// The bytes that a text has room for at first.
const TEXT_BYTES: usize = 8;
/// So many categories are compared one by one.
const FEW: i32 = 4;
/// Slots of the cache of recent categories; a power of two. Few features have more categories.
const CACHE_SLOTS: usize = 64;
const EMPTY: i32 = -1;

/// A column under construction.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Utf8(StringBuilder),
    Categorical(CategoryBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    /// Returns an empty column with room for this many rows.
    pub(crate) fn with_room(data_type: DataType, rows: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            DataType::Utf8 => Self::Utf8(StringBuilder::with_capacity(rows, rows * TEXT_BYTES)),
            DataType::Categorical => Self::Categorical(CategoryBuilder::with_room(rows)),
            DataType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
        }
    }

    /// Appends a cell as a value of the column's type or as null, and returns whether it was null.
    #[inline]
    pub(crate) fn append(&mut self, cell: Cell<'_>, tokens: &NullTokens) -> Result<bool, Complaint> {
        if tokens.matches(cell) {
            self.append_null();
            return Ok(true);
        }
        match self {
            Self::Boolean(values) => values.append_value(cell.to_boolean()?),
            Self::Int64(values) => {
                let number = cell.to_int64()?;
                if tokens.matches_integer(number) {
                    values.append_null();
                    return Ok(true);
                }
                values.append_value(number);
            }
            Self::Float64(values) => {
                let number = cell.to_float64()?;
                if tokens.matches_float(number) {
                    values.append_null();
                    return Ok(true);
                }
                values.append_value(number);
            }
            Self::Utf8(values) => cell.with_text(|text| values.append_value(text)),
            Self::Categorical(values) => cell.with_text(|text| values.append_value(text)),
            Self::Timestamp(values) => values.append_value(cell.to_timestamp()?),
        }
        Ok(false)
    }

    /// Returns the bytes of text since the last batch; each category counts once.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Utf8(values) => values.values_slice().len(),
            Self::Categorical(values) => values.text.len(),
            Self::Boolean(_) | Self::Int64(_) | Self::Float64(_) | Self::Timestamp(_) => 0,
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(values) => values.append_null(),
            Self::Int64(values) => values.append_null(),
            Self::Float64(values) => values.append_null(),
            Self::Utf8(values) => values.append_null(),
            Self::Categorical(values) => values.codes.append_null(),
            Self::Timestamp(values) => values.append_null(),
        }
    }

    /// Ends the batch: returns the array of all cells since the last one and leaves the builder
    /// empty.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Utf8(values) => Arc::new(values.finish()),
            Self::Categorical(values) => values.finish()?,
            Self::Timestamp(values) => Arc::new(values.finish()),
        })
    }
}

/// A categorical column under construction.
#[derive(Debug)]
pub(crate) struct CategoryBuilder {
    codes: Int32Builder,
    /// The texts of all categories, one behind the other.
    text: String,
    /// The position in `text` where each category begins, and where the last ends.
    offsets: Vec<i32>,
    /// Finds categories by their text, once there are more than [`FEW`].
    index: Option<Box<Index>>,
}

/// Categories by their text.
#[derive(Debug)]
struct Index {
    codes: HashTable<i32>,
    /// Keyed at random: whoever sends texts can't choose those that collide.
    hasher: RandomState,
    /// Codes of recent categories by a hash of length and first bytes. A hit is compared with the
    /// text, so a collision only costs time.
    recent: [i32; CACHE_SLOTS],
}

impl CategoryBuilder {
    fn with_room(rows: usize) -> Self {
        Self { codes: Int32Builder::with_capacity(rows), text: String::new(), offsets: vec![0], index: None }
    }

    #[inline]
    fn append_value(&mut self, text: &str) {
        let code = match &self.index {
            None => self.code_of_few(text),
            Some(index) => {
                let slot = cache_slot(text);
                let cached = index.recent[slot];
                if cached != EMPTY && self.category(cached) == text { cached } else { self.code_of_many(text, slot) }
            }
        };
        self.codes.append_value(code);
    }

    #[inline]
    fn category(&self, code: i32) -> &str {
        category(&self.text, &self.offsets, code)
    }

    #[inline]
    fn code_of_few(&mut self, text: &str) -> i32 {
        let known = self.count();
        match (0..known).find(|code| self.category(*code) == text) {
            Some(code) => code,
            None => self.add(text),
        }
    }

    fn code_of_many(&mut self, text: &str, slot: usize) -> i32 {
        let index = self.index.as_ref().expect("there are many categories");
        let hash = index.hasher.hash_one(text);
        let found = index.codes.find(hash, |code| category(&self.text, &self.offsets, *code) == text);
        let code = match found {
            Some(code) => *code,
            None => self.add(text),
        };
        self.index.as_mut().expect("adding keeps it").recent[slot] = code;
        code
    }

    /// Returns how many categories there are.
    fn count(&self) -> i32 {
        // A batch has at most 2^31 - 1 rows, Arrow's limit for these arrays, so there are no more
        // categories.
        i32::try_from(self.offsets.len() - 1).expect("a batch has fewer than 2^31 categories")
    }

    /// Adds a category and returns its code.
    fn add(&mut self, text: &str) -> i32 {
        let code = self.count();
        self.text.push_str(text);
        self.offsets.push(i32::try_from(self.text.len()).expect("the decoder bounds the text of a batch"));
        let (all, offsets) = (&self.text, &self.offsets);
        match &mut self.index {
            Some(index) => index.add(code, |code| category(all, offsets, code)),
            None if code < FEW => {}
            None => {
                let (codes, hasher) = (HashTable::new(), RandomState::new());
                let mut index = Box::new(Index { codes, hasher, recent: [EMPTY; CACHE_SLOTS] });
                (0..=code).for_each(|code| index.add(code, |code| category(all, offsets, code)));
                self.index = Some(index);
            }
        }
        code
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let text = Buffer::from_vec(std::mem::take(&mut self.text).into_bytes());
        let categories = StringArray::try_new(offsets, text, None)?;
        if let Some(index) = &mut self.index {
            index.codes.clear();
            index.recent = [EMPTY; CACHE_SLOTS];
        }
        Ok(Arc::new(DictionaryArray::try_new(self.codes.finish(), Arc::new(categories))?))
    }
}

impl Index {
    fn add<'a>(&mut self, code: i32, text: impl Fn(i32) -> &'a str) {
        let hash = |code: i32| self.hasher.hash_one(text(code));
        self.codes.insert_unique(hash(code), code, |code| hash(*code));
    }
}

#[inline]
fn category<'a>(text: &'a str, offsets: &[i32], code: i32) -> &'a str {
    let place = |index: usize| usize::try_from(offsets[index]).expect("an offset is not negative");
    let code = usize::try_from(code).expect("a code is not negative");
    &text[place(code)..place(code + 1)]
}

#[inline]
fn cache_slot(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut head = [0; 8];
    let length = bytes.len().min(8);
    head[..length].copy_from_slice(&bytes[..length]);
    // Fibonacci hashing (Knuth, TAOCP 3, section 6.4): the top bits of a product with 2^64 / phi.
    let mixed = (u64::from_le_bytes(head) ^ ((bytes.len() as u64) << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (64 - CACHE_SLOTS.ilog2())).expect("six bits fit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;

    fn append_all(builder: &mut ColumnBuilder, cells: &[Cell<'_>]) -> Result<(), Complaint> {
        let tokens = NullTokens::new(&["NA".to_owned(), "-1".to_owned()]);
        cells.iter().try_for_each(|&cell| builder.append(cell, &tokens).map(|_| ()))
    }

    #[test]
    fn categories_are_numbered_in_order_of_appearance_in_each_batch() {
        let mut builder = ColumnBuilder::with_room(DataType::Categorical, 0);
        append_all(&mut builder, &["b", "a", "NA", "b"].map(Cell::Text)).unwrap();
        let first = builder.finish().unwrap();
        append_all(&mut builder, &["a"].map(Cell::Text)).unwrap();
        let second = builder.finish().unwrap();
        let first = first.as_dictionary::<Int32Type>();
        assert_eq!(first.keys().iter().collect::<Vec<_>>(), [Some(0), Some(1), None, Some(0)]);
        assert_eq!(first.values().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(second.as_dictionary::<Int32Type>().values().len(), 1);
    }

    #[test]
    fn categories_that_clash_in_the_cache_stay_apart() {
        let words: Vec<String> = (0..1000).map(|index| format!("same start {}", index % 300)).collect();
        let mut builder = ColumnBuilder::with_room(DataType::Categorical, 0);
        append_all(&mut builder, &words.iter().map(|word| Cell::Text(word)).collect::<Vec<_>>()).unwrap();
        let array = builder.finish().unwrap();
        let array = array.as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
        let read: Vec<&str> = array.into_iter().flatten().collect();
        assert_eq!(read, words);
        assert_eq!(array.values().len(), 300);
    }

    #[test]
    fn a_number_equal_to_a_null_token_is_null_however_it_is_written() {
        let mut builder = ColumnBuilder::with_room(DataType::Float64, 0);
        let cells = [Cell::Text("-1"), Cell::Text("-1.0"), Cell::Integer(-1), Cell::Float(-1.0), Cell::Text("-1.5")];
        append_all(&mut builder, &cells).unwrap();
        let array = builder.finish().unwrap();
        assert_eq!(array.null_count(), 4);
    }

    #[test]
    fn a_boolean_cell_is_no_number_but_has_a_text() {
        let mut numbers = ColumnBuilder::with_room(DataType::Int64, 0);
        assert!(append_all(&mut numbers, &[Cell::Boolean(true)]).is_err());
        let mut texts = ColumnBuilder::with_room(DataType::Utf8, 0);
        append_all(&mut texts, &[Cell::Boolean(true), Cell::Integer(5), Cell::Float(1.0)]).unwrap();
        let array = texts.finish().unwrap();
        assert_eq!(array.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["true", "5", "1.0"]);
    }
}
