//! Views of batches that lie where the host wrote them. Nothing is copied or allocated per column.
//!
//! A call with few rows costs mostly allocations: decoding a batch makes up to four for each
//! column. A stage that is asked for single rows reads views.

use crate::column::bitmap;
use crate::{Batch, Categorical, Column, DataType, Failure, StringView, Strings, TextView, Values};

/// Borrowed strings, whose bytes were not checked to be UTF-8. The host checks every batch.
#[derive(Debug, Clone, Copy)]
pub struct StringsView<'a> {
    /// The ends of the strings in `bytes`, after the start of the first: one more than there are
    /// strings.
    pub offsets: &'a [i32],
    /// The UTF-8 of the strings.
    pub bytes: &'a [u8],
}

/// Borrowed values of a column. See [`Values`].
#[derive(Debug, Clone, Copy)]
pub enum ValuesView<'a> {
    /// A bitmap, 1 for true.
    Boolean(&'a [u8]),
    /// Integers.
    Int64(&'a [i64]),
    /// Doubles. NaN is a value.
    Float64(&'a [f64]),
    /// Text.
    Utf8(StringsView<'a>),
    /// Text from a small set.
    Categorical {
        /// The index of each row's category.
        codes: &'a [i32],
        /// The categories, distinct, in any order.
        categories: StringsView<'a>,
    },
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(&'a [i64]),
}

/// A borrowed column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnView<'a> {
    /// The values, one for each row. The value at a null is unspecified.
    pub values: ValuesView<'a>,
    /// A bitmap with 0 for each null; `None` if there are no nulls.
    pub validity: Option<&'a [u8]>,
}

/// A borrowed batch.
#[derive(Debug, Clone)]
pub struct BatchView<'a> {
    /// The number of rows.
    pub rows: u32,
    /// The columns, in the order of the fields.
    pub columns: Vec<ColumnView<'a>>,
}

impl<'a> StringsView<'a> {
    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of string `index`. Invalid offsets, which the host refuses, give none.
    ///
    /// # Panics
    /// If there is no such string.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// Returns the bytes of all strings, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let range = |pair: &[i32]| pair[0] as usize..pair[1] as usize;
        self.offsets.windows(2).map(move |pair| self.bytes.get(range(pair)).unwrap_or_default())
    }

    /// Returns the strings as text.
    ///
    /// # Errors
    /// `internal` if the bytes are not UTF-8, which the host refuses.
    pub fn checked(self) -> Result<StringView<'a>, Failure> {
        StringView::new(self.bytes, self.offsets)
    }

    fn to_strings(self) -> Strings {
        let (Some(&first), Some(&last)) = (self.offsets.first(), self.offsets.last()) else {
            return Strings { offsets: vec![0], bytes: Vec::new() };
        };
        let bytes = self.bytes.get(first as usize..last as usize).unwrap_or_default().to_vec();
        Strings { offsets: self.offsets.iter().map(|offset| offset.wrapping_sub(first)).collect(), bytes }
    }
}

impl ValuesView<'_> {
    /// Returns the type of the values.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Int64(_) => DataType::Int64,
            Self::Float64(_) => DataType::Float64,
            Self::Utf8(_) => DataType::Utf8,
            Self::Categorical { .. } => DataType::Categorical,
            Self::Timestamp(_) => DataType::Timestamp,
        }
    }
}

impl<'a> ColumnView<'a> {
    /// Returns the type of the column.
    pub fn data_type(&self) -> DataType {
        self.values.data_type()
    }

    /// Returns whether row `row` is null.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.validity.is_some_and(|bits| !bitmap::get(bits, row))
    }

    /// Returns a view of a utf8 or categorical column as text, or `None` for another type.
    ///
    /// # Errors
    /// `internal` if the text is not UTF-8, which the host refuses.
    pub fn as_text(&self) -> Result<Option<TextView<'a>>, Failure> {
        let (strings, codes) = match self.values {
            ValuesView::Utf8(strings) => (strings.checked()?, None),
            ValuesView::Categorical { codes, categories } => (categories.checked()?, Some(codes)),
            _ => return Ok(None),
        };
        Ok(Some(TextView::new(strings, codes, self.validity)))
    }

    /// Writes the column as numbers, with NaN for null: float64 unchanged, int64 rounded beyond
    /// 2^53, booleans as 0 and 1, timestamps in microseconds. Returns `false`, and writes nothing,
    /// for text. `numbers` has an element for each row.
    pub fn write_numbers(&self, numbers: &mut [f64]) -> bool {
        match self.values {
            ValuesView::Float64(values) => numbers.copy_from_slice(values),
            ValuesView::Int64(values) | ValuesView::Timestamp(values) => {
                numbers.iter_mut().zip(values).for_each(|(number, value)| *number = *value as f64);
            }
            ValuesView::Boolean(bits) => {
                numbers.iter_mut().enumerate().for_each(|(row, number)| *number = f64::from(bitmap::get(bits, row)));
            }
            ValuesView::Utf8(_) | ValuesView::Categorical { .. } => return false,
        }
        if let Some(bits) = self.validity {
            for (row, number) in numbers.iter_mut().enumerate() {
                if !bitmap::get(bits, row) {
                    *number = f64::NAN;
                }
            }
        }
        true
    }

    /// Formats value `row` for messages. Returns `None` for null.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn display(&self, row: usize) -> Option<String> {
        if self.is_null(row) {
            return None;
        }
        let text =
            |strings: StringsView<'_>, index: usize| std::str::from_utf8(strings.get(index)).ok().map(str::to_owned);
        Some(match self.values {
            ValuesView::Boolean(bits) => bitmap::get(bits, row).to_string(),
            ValuesView::Int64(values) | ValuesView::Timestamp(values) => values[row].to_string(),
            ValuesView::Float64(values) => values[row].to_string(),
            ValuesView::Utf8(strings) => text(strings, row)?,
            ValuesView::Categorical { codes, categories } => text(categories, codes[row] as usize)?,
        })
    }

    /// Copies the column.
    pub fn to_column(&self) -> Column {
        let values = match self.values {
            ValuesView::Boolean(bits) => Values::Boolean(bits.to_vec()),
            ValuesView::Int64(values) => Values::Int64(values.to_vec()),
            ValuesView::Float64(values) => Values::Float64(values.to_vec()),
            ValuesView::Timestamp(values) => Values::Timestamp(values.to_vec()),
            ValuesView::Utf8(strings) => Values::Utf8(strings.to_strings()),
            ValuesView::Categorical { codes, categories } => {
                Values::Categorical(Categorical { codes: codes.to_vec(), categories: categories.to_strings() })
            }
        };
        Column { values, validity: self.validity.map(<[u8]>::to_vec) }
    }
}

impl BatchView<'_> {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Copies the batch.
    pub fn to_batch(&self) -> Batch {
        Batch::new(self.rows, self.columns.iter().map(ColumnView::to_column).collect())
    }
}

impl Strings {
    /// Returns a view of the strings, whose bytes are not checked.
    pub fn raw(&self) -> StringsView<'_> {
        StringsView { offsets: &self.offsets, bytes: &self.bytes }
    }
}

impl Column {
    /// Returns a view of the column.
    pub fn view(&self) -> ColumnView<'_> {
        let values = match &self.values {
            Values::Boolean(bits) => ValuesView::Boolean(bits),
            Values::Int64(values) => ValuesView::Int64(values),
            Values::Float64(values) => ValuesView::Float64(values),
            Values::Timestamp(values) => ValuesView::Timestamp(values),
            Values::Utf8(strings) => ValuesView::Utf8(strings.raw()),
            Values::Categorical(column) => {
                ValuesView::Categorical { codes: &column.codes, categories: column.categories.raw() }
            }
        };
        ColumnView { values, validity: self.validity.as_deref() }
    }
}

impl Batch {
    /// Returns a view of the batch.
    pub fn view(&self) -> BatchView<'_> {
        BatchView { rows: self.rows, columns: self.columns.iter().map(Column::view).collect() }
    }
}

/// Borrowed rows of numbers, column after column: a batch of float64 columns without nulls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatrixView<'a> {
    rows: usize,
    width: usize,
    numbers: &'a [f64],
}

impl<'a> MatrixView<'a> {
    /// Creates a view of `numbers`, which are column after column.
    ///
    /// # Errors
    /// `internal` if they do not fill `rows` rows of `width` columns.
    pub fn new(rows: usize, width: usize, numbers: &'a [f64]) -> Result<Self, Failure> {
        if rows.checked_mul(width) != Some(numbers.len()) {
            let found = numbers.len();
            return Err(Failure::internal(format!("{found} numbers for {rows} rows of {width} columns")));
        }
        Ok(Self { rows, width, numbers })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns all numbers, column after column.
    pub fn numbers(&self) -> &'a [f64] {
        self.numbers
    }

    /// Returns a column.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    pub fn column(&self, index: usize) -> &'a [f64] {
        &self.numbers[index * self.rows..][..self.rows]
    }

    /// Returns the columns, in order.
    pub fn columns(self) -> impl ExactSizeIterator<Item = &'a [f64]> {
        (0..self.width).map(move |index| self.column(index))
    }

    /// Copies some rows.
    ///
    /// # Panics
    /// If the rows do not exist.
    pub fn to_batch(&self, rows: std::ops::Range<usize>) -> Batch {
        let columns = self.columns().map(|column| Column::from(column[rows.clone()].to_vec()));
        Batch::new(rows.len() as u32, columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_of_a_batch_is_the_batch() {
        let nulls = [true, false, true];
        let columns = [
            Column::boolean([true, false, true]),
            Column::from(vec![1i64, -2, i64::MAX]),
            Column::from(vec![0.1, -0.0, f64::MAX]),
            Column::timestamp(vec![0, 1, 2]),
            Column::utf8([Some("a"), Some(""), Some("zwölf")]),
            Column::categorical(vec![1, 0, 1], ["no", "yes"]),
        ];
        let nullable = columns.clone().map(|column| column.with_validity(nulls));
        let batch = Batch::new(3, columns.into_iter().chain(nullable).collect());
        let view = batch.view();
        assert_eq!(view.to_batch(), batch);
        for (column, seen) in batch.columns.iter().zip(&view.columns) {
            assert_eq!(column.data_type(), seen.data_type());
            for row in 0..3 {
                assert_eq!((column.is_null(row), column.display(row)), (seen.is_null(row), seen.display(row)));
            }
            let mut numbers = [7.0; 3];
            match column.clone().into_numbers(3) {
                Some(expected) => {
                    assert!(seen.write_numbers(&mut numbers));
                    assert!(expected.iter().zip(numbers).all(|(a, b)| a.to_bits() == b.to_bits()));
                }
                None => {
                    assert!(!seen.write_numbers(&mut numbers));
                    let texts = |text: Option<TextView<'_>>| -> Vec<Option<String>> {
                        text.unwrap().iter().map(|text| text.map(str::to_owned)).collect()
                    };
                    assert_eq!(texts(column.as_text().unwrap()), texts(seen.as_text().unwrap()));
                }
            }
        }
    }

    #[test]
    fn a_matrix_has_its_numbers_column_after_column() {
        let numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let matrix = MatrixView::new(2, 3, &numbers).unwrap();
        assert_eq!((matrix.rows(), matrix.width(), matrix.columns().len()), (2, 3, 3));
        assert_eq!(matrix.column(2), [5.0, 6.0]);
        assert_eq!(matrix.to_batch(1..2).columns[1], Column::from(vec![4.0]));
        assert!(MatrixView::new(4, 2, &numbers).is_err());
        let empty = MatrixView::new(0, 3, &[]).unwrap();
        assert_eq!((empty.columns().len(), empty.to_batch(0..0).columns.len()), (3, 3));
    }
}
