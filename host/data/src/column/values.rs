//! Numbers and texts under construction.

use arrow_array::{ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::ArrowError;

/// The bytes that a text has room for at first.
const TEXT_BYTES: usize = 8;

/// Numbers, or what is stored as numbers.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(crate) fn with_room(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    /// Ends the array and leaves the builder empty.
    pub(crate) fn finish(&mut self) -> Result<PrimitiveArray<T>, ArrowError> {
        PrimitiveArray::try_new(std::mem::take(&mut self.values).into(), self.nulls.finish())
    }
}

/// Texts, one behind the other.
#[derive(Debug)]
pub(crate) struct Texts {
    text: String,
    /// The position in `text` where each begins, and where the last ends.
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Texts {
    pub(crate) fn with_room(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { text: String::with_capacity(rows * TEXT_BYTES), offsets, nulls: NullBufferBuilder::new(rows) }
    }

    #[inline]
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.offsets.push(self.end());
        self.nulls.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.offsets.push(self.end());
        self.nulls.append_null();
    }

    #[inline]
    fn end(&self) -> i32 {
        i32::try_from(self.text.len()).expect("the decoder bounds the text of a batch")
    }

    /// Returns how many texts there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &str {
        let place = |index: usize| usize::try_from(self.offsets[index]).expect("an offset is not negative");
        &self.text[place(index)..place(index + 1)]
    }

    #[inline]
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Ends the array and leaves the builder empty.
    pub(crate) fn finish(&mut self) -> Result<StringArray, ArrowError> {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let text = Buffer::from_vec(std::mem::take(&mut self.text).into_bytes());
        StringArray::try_new(offsets, text, self.nulls.finish())
    }
}
