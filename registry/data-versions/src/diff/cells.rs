//! Cells: whether two are equal, and how one is shown.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_array::{BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use serde_json::Value;

/// A column of a chunk, by its type. Tables have no others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
    Category(&'a arrow_array::DictionaryArray<Int32Type>, &'a StringArray),
}

impl<'a> Cells<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Self {
        use arrow_array::ArrowPrimitiveType;
        let data_type = array.data_type();
        if *data_type == Int64Type::DATA_TYPE {
            Self::Int64(array.as_primitive::<Int64Type>())
        } else if *data_type == Float64Type::DATA_TYPE {
            Self::Float64(array.as_primitive::<Float64Type>())
        } else if let Some(texts) = array.as_string_opt::<i32>() {
            Self::Text(texts)
        } else if let Some(flags) = array.as_boolean_opt() {
            Self::Boolean(flags)
        } else if let Some(codes) = array.as_dictionary_opt::<Int32Type>() {
            Self::Category(codes, codes.values().as_string::<i32>())
        } else {
            Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>())
        }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::Category(array, _) => array.is_null(row),
        }
    }

    /// Returns the text of a cell; `None` if its column holds none.
    pub(super) fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Text(array) => Some(array.value(row)),
            Self::Category(codes, categories) => {
                // Codes were checked when the chunk was read.
                Some(categories.value(usize::try_from(codes.keys().value(row)).unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// Returns the bits of a cell whose column holds no text.
    pub(super) fn bits(&self, row: usize) -> u64 {
        match self {
            Self::Boolean(array) => u64::from(array.value(row)),
            Self::Int64(array) => array.value(row).cast_unsigned(),
            Self::Float64(array) => array.value(row).to_bits(),
            Self::Timestamp(array) => array.value(row).cast_unsigned(),
            Self::Text(_) | Self::Category(..) => 0,
        }
    }

    /// Returns whether two cells are equal: both null, the same text, or the same bits. Columns of
    /// tables have one NaN.
    pub(super) fn same(&self, row: usize, other: &Cells<'_>, other_row: usize) -> bool {
        match (self.is_null(row), other.is_null(other_row)) {
            (true, true) => true,
            (false, false) => match (self.text(row), other.text(other_row)) {
                (Some(one), Some(other)) => one == other,
                _ => self.bits(row) == other.bits(other_row),
            },
            _ => false,
        }
    }

    /// Returns a cell as JSON: timestamps in the form of RFC 3339; numbers that JSON lacks as text.
    pub(super) fn json(&self, row: usize) -> Value {
        if self.is_null(row) {
            return Value::Null;
        }
        match self {
            Self::Boolean(array) => array.value(row).into(),
            Self::Int64(array) => array.value(row).into(),
            Self::Float64(array) => {
                let value = array.value(row);
                serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
            }
            Self::Timestamp(array) => {
                let value = array.value(row);
                jiff::Timestamp::from_microsecond(value).map_or_else(|_| value.into(), |time| time.to_string().into())
            }
            Self::Text(_) | Self::Category(..) => self.text(row).unwrap_or_default().into(),
        }
    }
}
