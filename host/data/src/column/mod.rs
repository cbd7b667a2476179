//! Column builders: take cells and make an Arrow array.
//!
//! Each builder knows the decoding of its type ([`crate::cell`]) and the null tokens. Categories
//! are numbered within a batch in order of appearance. Two batches of a table may number them
//! differently, which the contract allows.
//!
//! Most of the time for a request of one row passes in making arrays. Arrow's own builders go
//! through its untyped form of an array, which takes twice as long as what is done here.

mod category;
mod values;

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::BooleanBuilder;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_schema::ArrowError;
use stagewright_store::DataType;

use crate::cell::{Cell, Complaint, NullTokens};
use category::CategoryBuilder;
use values::{Numbers, Texts};

/// A column under construction.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int64(Numbers<Int64Type>),
    Float64(Numbers<Float64Type>),
    Utf8(Texts),
    Categorical(CategoryBuilder),
    Timestamp(Numbers<TimestampMicrosecondType>),
}

impl ColumnBuilder {
    /// Returns an empty column with room for this many rows.
    pub(crate) fn with_room(data_type: DataType, rows: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Numbers::with_room(rows)),
            DataType::Float64 => Self::Float64(Numbers::with_room(rows)),
            DataType::Utf8 => Self::Utf8(Texts::with_room(rows)),
            DataType::Categorical => Self::Categorical(CategoryBuilder::with_room(rows)),
            DataType::Timestamp => Self::Timestamp(Numbers::with_room(rows)),
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
                    values.push_null();
                    return Ok(true);
                }
                values.push(number);
            }
            Self::Float64(values) => {
                let number = cell.to_float64()?;
                if tokens.matches_float(number) {
                    values.push_null();
                    return Ok(true);
                }
                values.push(number);
            }
            Self::Utf8(values) => cell.with_text(|text| values.push(text)),
            Self::Categorical(values) => cell.with_text(|text| values.push(text)),
            Self::Timestamp(values) => values.push(cell.to_timestamp()?),
        }
        Ok(false)
    }

    /// Returns the bytes of text since the last batch; each category counts once.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Utf8(values) => values.text_bytes(),
            Self::Categorical(values) => values.text_bytes(),
            Self::Boolean(_) | Self::Int64(_) | Self::Float64(_) | Self::Timestamp(_) => 0,
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(values) => values.append_null(),
            Self::Int64(values) => values.push_null(),
            Self::Float64(values) => values.push_null(),
            Self::Utf8(values) => values.push_null(),
            Self::Categorical(values) => values.push_null(),
            Self::Timestamp(values) => values.push_null(),
        }
    }

    /// Ends the batch: returns the array of all cells since the last one and leaves the builder
    /// empty.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()?),
            Self::Float64(values) => Arc::new(values.finish()?),
            Self::Utf8(values) => Arc::new(values.finish()?),
            Self::Categorical(values) => Arc::new(values.finish()?),
            Self::Timestamp(values) => Arc::new(values.finish()?.with_timezone("UTC")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    use arrow_array::{Array, StringArray};

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
