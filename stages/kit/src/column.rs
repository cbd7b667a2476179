//! Columns and batches: typed views, constructors, conversions.
//!
//! Columns hold `Vec`s, which are moved into and out of them. Nothing here calls the host; the
//! module `packed` converts batches from and to the bytes of the contract.

use crate::{DataType, Failure, Field};

/// Strings of a column or of its categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strings {
    /// The offsets of the strings in `bytes`, one more than there are strings. They start at 0 and
    /// never decrease.
    pub offsets: Vec<i32>,
    /// The UTF-8 of all strings, concatenated.
    pub bytes: Vec<u8>,
}

/// Text from a small set of categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categorical {
    /// The index of each row's category.
    pub codes: Vec<i32>,
    /// The categories, distinct, in any order.
    pub categories: Strings,
}

/// The values of a column, one for each row. The value at a null is unspecified.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// A bitmap, 1 for true.
    Boolean(Vec<u8>),
    /// Integers.
    Int64(Vec<i64>),
    /// Doubles. NaN is a value.
    Float64(Vec<f64>),
    /// Text.
    Utf8(Strings),
    /// Text from a small set.
    Categorical(Categorical),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(Vec<i64>),
}

/// A column of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The values.
    pub values: Values,
    /// A bitmap with 0 for each null; `None` if there are no nulls.
    pub validity: Option<Vec<u8>>,
}

/// Consecutive rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The number of rows.
    pub rows: u32,
    /// The columns, in the order of the fields.
    pub columns: Vec<Column>,
}

/// Bitmaps: least significant bit first, with zeros in the unused bits.
pub mod bitmap {
    /// Returns bit `index`.
    ///
    /// # Panics
    /// If the bitmap is too short.
    #[inline]
    pub fn get(bytes: &[u8], index: usize) -> bool {
        bytes[index / 8] >> (index % 8) & 1 == 1
    }

    /// Packs bits into a bitmap.
    pub fn pack(bits: impl IntoIterator<Item = bool>) -> Vec<u8> {
        let bits = bits.into_iter();
        let mut bytes = Vec::with_capacity(bits.size_hint().0.div_ceil(8));
        for (index, bit) in bits.enumerate() {
            if index % 8 == 0 {
                bytes.push(0);
            }
            if bit && let Some(last) = bytes.last_mut() {
                *last |= 1 << (index % 8);
            }
        }
        bytes
    }

    /// Returns the number of zeros among the first `length` bits.
    pub fn zeros(bytes: &[u8], length: usize) -> usize {
        length - bytes.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
    }
}

/// A borrowed view of strings.
#[derive(Debug, Clone, Copy)]
pub struct StringView<'a> {
    text: &'a str,
    offsets: &'a [i32],
}

impl<'a> StringView<'a> {
    pub(crate) fn new(bytes: &'a [u8], offsets: &'a [i32]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::internal("a string column is not UTF-8"))?;
        Ok(Self { text, offsets })
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns string `index`. Invalid offsets, which the host refuses, give the empty string.
    #[inline]
    pub fn get(&self, index: usize) -> &'a str {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        self.text.get(range).unwrap_or_default()
    }

    /// Returns the bytes of string `index`, without checking for character boundaries.
    #[inline]
    pub fn bytes(&self, index: usize) -> &'a [u8] {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        self.text.as_bytes().get(range).unwrap_or_default()
    }

    /// Returns all strings, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        (0..self.len()).map(move |index| self.get(index))
    }

    /// Returns the bytes of all strings, in order.
    pub fn iter_bytes(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let range = |pair: &[i32]| pair[0] as usize..pair[1] as usize;
        self.offsets.windows(2).map(move |pair| self.text.as_bytes().get(range(pair)).unwrap_or_default())
    }
}

impl Strings {
    /// Collects strings.
    ///
    /// # Panics
    /// If they are longer than 2 GiB in total, which is far above the limit of a batch.
    pub fn collect<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Self {
        let items = items.into_iter();
        let mut offsets = Vec::with_capacity(items.size_hint().0 + 1);
        let mut bytes = Vec::new();
        offsets.push(0);
        for item in items {
            bytes.extend_from_slice(item.as_ref().as_bytes());
            offsets.push(i32::try_from(bytes.len()).expect("a batch holds at most 8 MiB"));
        }
        Self { offsets, bytes }
    }

    /// Returns a view of the strings.
    ///
    /// # Errors
    /// `internal` if the bytes are not UTF-8, which the host refuses.
    pub fn view(&self) -> Result<StringView<'_>, Failure> {
        StringView::new(&self.bytes, &self.offsets)
    }
}

/// A column of text: [`Values::Utf8`] or [`Values::Categorical`].
#[derive(Debug, Clone, Copy)]
pub struct TextView<'a> {
    strings: StringView<'a>,
    codes: Option<&'a [i32]>,
    validity: Option<&'a [u8]>,
}

impl<'a> TextView<'a> {
    pub(crate) fn new(strings: StringView<'a>, codes: Option<&'a [i32]>, validity: Option<&'a [u8]>) -> Self {
        Self { strings, codes, validity }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.codes.map_or(self.strings.len(), <[i32]>::len)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the text in row `row`, or `None` for null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if self.validity.is_some_and(|bits| !bitmap::get(bits, row)) {
            return None;
        }
        Some(self.strings.get(self.codes.map_or(row, |codes| codes[row] as usize)))
    }

    /// Returns the bytes of the text in row `row`, or `None` for null.
    #[inline]
    pub fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        if self.validity.is_some_and(|bits| !bitmap::get(bits, row)) {
            return None;
        }
        Some(self.strings.bytes(self.codes.map_or(row, |codes| codes[row] as usize)))
    }

    /// Returns all rows, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Option<&'a str>> {
        (0..self.len()).map(move |row| self.get(row))
    }
}

impl Values {
    /// Returns the type of the values.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Int64(_) => DataType::Int64,
            Self::Float64(_) => DataType::Float64,
            Self::Utf8(_) => DataType::Utf8,
            Self::Categorical(_) => DataType::Categorical,
            Self::Timestamp(_) => DataType::Timestamp,
        }
    }
}

impl From<Values> for Column {
    /// Creates a column without nulls.
    fn from(values: Values) -> Self {
        Self { values, validity: None }
    }
}

impl From<Vec<f64>> for Column {
    /// Creates a float64 column without nulls. Moves the vector.
    fn from(values: Vec<f64>) -> Self {
        Values::Float64(values).into()
    }
}

impl From<Vec<i64>> for Column {
    /// Creates an int64 column without nulls. Moves the vector.
    fn from(values: Vec<i64>) -> Self {
        Values::Int64(values).into()
    }
}

impl Column {
    /// Creates a utf8 column. `None` becomes null.
    pub fn utf8<S: AsRef<str>>(rows: impl IntoIterator<Item = Option<S>>) -> Self {
        let mut valid = Vec::new();
        let strings = Strings::collect(rows.into_iter().map(|row| {
            valid.push(row.is_some());
            OrEmpty(row)
        }));
        Self::from(Values::Utf8(strings)).with_validity(valid)
    }

    /// Creates a boolean column without nulls.
    pub fn boolean(rows: impl IntoIterator<Item = bool>) -> Self {
        Values::Boolean(bitmap::pack(rows)).into()
    }

    /// Creates a categorical column without nulls.
    pub fn categorical<S: AsRef<str>>(codes: Vec<i32>, categories: impl IntoIterator<Item = S>) -> Self {
        let categories = Strings::collect(categories);
        Values::Categorical(Categorical { codes, categories }).into()
    }

    /// Creates a timestamp column without nulls, from microseconds since the epoch, UTC.
    pub fn timestamp(rows: Vec<i64>) -> Self {
        Values::Timestamp(rows).into()
    }

    /// Adds nulls where `valid` is false. If all are true, no bitmap is stored.
    #[must_use]
    pub fn with_validity(mut self, valid: impl IntoIterator<Item = bool>) -> Self {
        let mut all = true;
        let bits = bitmap::pack(valid.into_iter().inspect(|bit| all &= bit));
        self.validity = (!all).then_some(bits);
        self
    }

    /// Returns the type of the column.
    pub fn data_type(&self) -> DataType {
        self.values.data_type()
    }

    /// Returns whether row `row` is null.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.validity.as_deref().is_some_and(|bits| !bitmap::get(bits, row))
    }

    /// Returns the number of nulls among the first `rows` rows.
    pub fn null_count(&self, rows: usize) -> usize {
        self.validity.as_deref().map_or(0, |bits| bitmap::zeros(bits, rows))
    }

    /// Returns the values of a float64 column. The values at nulls are unspecified (see
    /// [`Column::is_null`]).
    pub fn as_f64(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Float64(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the values of an int64 column. The values at nulls are unspecified.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Int64(values) => Some(values),
            _ => None,
        }
    }

    /// Returns a view of a utf8 or categorical column, or `None` for another type.
    ///
    /// # Errors
    /// `internal` if the text is not UTF-8, which the host refuses.
    pub fn as_text(&self) -> Result<Option<TextView<'_>>, Failure> {
        self.view().as_text()
    }

    /// Converts the first `rows` rows to numbers, with NaN for null: float64 unchanged, int64
    /// rounded beyond 2^53, booleans as 0 and 1, timestamps in microseconds. Returns `None` for
    /// text. Moves a float64 column without nulls.
    pub fn into_numbers(self, rows: usize) -> Option<Vec<f64>> {
        let mut numbers = match self.values {
            Values::Float64(values) => values,
            Values::Int64(values) | Values::Timestamp(values) => values.into_iter().map(|value| value as f64).collect(),
            Values::Boolean(bits) => (0..rows).map(|row| f64::from(bitmap::get(&bits, row))).collect(),
            Values::Utf8(_) | Values::Categorical(_) => return None,
        };
        if let Some(bits) = self.validity {
            for (row, number) in numbers.iter_mut().enumerate() {
                if !bitmap::get(&bits, row) {
                    *number = f64::NAN;
                }
            }
        }
        Some(numbers)
    }

    /// Copies some rows. The categories are copied as they are.
    ///
    /// # Panics
    /// If the rows do not exist.
    #[must_use]
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        let cut = |bits: &[u8]| bitmap::pack(rows.clone().map(|row| bitmap::get(bits, row)));
        let values = match &self.values {
            Values::Boolean(bits) => Values::Boolean(cut(bits)),
            Values::Int64(values) => Values::Int64(values[rows.clone()].to_vec()),
            Values::Float64(values) => Values::Float64(values[rows.clone()].to_vec()),
            Values::Timestamp(values) => Values::Timestamp(values[rows.clone()].to_vec()),
            Values::Utf8(strings) => {
                let offsets = &strings.offsets[rows.start..=rows.end];
                let (first, last) = (offsets[0], offsets[rows.len()]);
                Values::Utf8(Strings {
                    offsets: offsets.iter().map(|offset| offset - first).collect(),
                    bytes: strings.bytes[first as usize..last as usize].to_vec(),
                })
            }
            Values::Categorical(column) => Values::Categorical(Categorical {
                codes: column.codes[rows.clone()].to_vec(),
                categories: column.categories.clone(),
            }),
        };
        Self { values, validity: self.validity.as_deref().map(cut) }
    }

    /// Formats value `row` for messages. Returns `None` for null.
    pub fn display(&self, row: usize) -> Option<String> {
        self.view().display(row)
    }
}

/// Text that is empty for null.
struct OrEmpty<S>(Option<S>);

impl<S: AsRef<str>> AsRef<str> for OrEmpty<S> {
    fn as_ref(&self) -> &str {
        self.0.as_ref().map_or("", AsRef::as_ref)
    }
}

impl Batch {
    /// Creates a batch of `rows` rows.
    pub fn new(rows: u32, columns: Vec<Column>) -> Self {
        Self { rows, columns }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

impl Field {
    /// Creates a field that may hold nulls.
    pub fn nullable(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: true }
    }

    /// Creates a field without nulls.
    pub fn required(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_packed_least_significant_first_with_trailing_zeros() {
        let bits = [true, false, false, true, false, false, false, false, true];
        let packed = bitmap::pack(bits);
        assert_eq!(packed, [0b0000_1001, 0b0000_0001]);
        assert!((0..9).all(|index| bitmap::get(&packed, index) == bits[index]));
        assert_eq!(bitmap::zeros(&packed, 9), 6);
    }

    #[test]
    fn numbers_of_every_type_come_with_nulls_as_nan() {
        let valid = [true, false, true];
        let columns = [
            Column::from(vec![1.0, 9.0, 0.0]),
            Column::from(vec![1i64, 9, 0]),
            Column::timestamp(vec![1, 9, 0]),
            Column::boolean([true, true, false]),
        ];
        for column in columns {
            let numbers = column.with_validity(valid).into_numbers(3).unwrap();
            assert_eq!((numbers[0], numbers[2]), (1.0, 0.0));
            assert!(numbers[1].is_nan());
        }
    }

    #[test]
    fn a_float_column_without_nulls_is_moved_not_copied() {
        let values = vec![1.0; 1000];
        let place = values.as_ptr();
        let numbers = Column::from(values).into_numbers(1000).unwrap();
        assert_eq!(numbers.as_ptr(), place);
    }

    #[test]
    fn text_reads_the_same_from_utf8_and_categorical_columns() {
        let utf8 = Column::utf8([Some("one"), None, Some("zwei"), Some("")]);
        let categorical =
            Column::categorical(vec![1, 0, 2, 0], ["", "one", "zwei"]).with_validity([true, false, true, true]);
        for column in [utf8, categorical] {
            let text = column.as_text().unwrap().unwrap();
            assert!(text.iter().enumerate().all(|(row, value)| text.bytes(row) == value.map(str::as_bytes)));
            assert_eq!(text.iter().collect::<Vec<_>>(), [Some("one"), None, Some("zwei"), Some("")]);
            assert_eq!(column.null_count(4), 1);
            assert_eq!(column.display(2).as_deref(), Some("zwei"));
            assert_eq!(column.display(1), None);
        }
    }

    #[test]
    fn no_bitmap_is_kept_where_nothing_is_null() {
        assert_eq!(Column::from(vec![1i64]).with_validity([true]).validity, None);
    }

    #[test]
    fn a_slice_holds_the_rows_of_every_type() {
        let columns = [
            Column::utf8([Some("a"), None, Some("ccc"), Some("d")]),
            Column::categorical(vec![0, 1, 1, 0], ["x", "y"]),
            Column::boolean([true, false, false, true]),
            Column::from(vec![1.0, 2.0, 3.0, 4.0]),
        ];
        for column in columns {
            let slice = column.slice(1..4);
            for row in 0..3 {
                assert_eq!(slice.display(row), column.display(row + 1));
            }
        }
    }
}
