//! Reads the values of a column: as text for labels and identifiers, as bytes for keys.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use stagewright_store::DataType;

use crate::cell::{Cell, canonical};
use crate::error::DataError;

/// A column of one of the contract's types.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    Utf8(&'a StringArray),
    Categorical { codes: &'a Int32Array, categories: &'a StringArray },
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> Values<'a> {
    pub(crate) fn of(array: &'a ArrayRef) -> Result<Self, DataError> {
        let data_type = DataType::from_arrow(array.data_type()).ok_or_else(|| {
            DataError::plan(
                format!("a column has the Arrow type `{}`, which tables do not hold", array.data_type()),
                "",
            )
        })?;
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>()),
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::Categorical => {
                let dictionary = array.as_dictionary::<Int32Type>();
                Self::Categorical { codes: dictionary.keys(), categories: dictionary.values().as_string() }
            }
            DataType::Timestamp => Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>()),
        })
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Utf8(array) => array.is_null(row),
            Self::Categorical { codes, .. } => codes.is_null(row),
            Self::Timestamp(array) => array.is_null(row),
        }
    }

    pub(crate) fn cell(&self, row: usize) -> Cell<'a> {
        if self.is_null(row) {
            return Cell::Null;
        }
        match self {
            Self::Boolean(array) => Cell::Boolean(array.value(row)),
            Self::Int64(array) => Cell::Integer(array.value(row)),
            Self::Float64(array) => Cell::Float(array.value(row)),
            Self::Utf8(array) => Cell::Text(array.value(row)),
            Self::Categorical { codes, categories } => {
                // The codes of a checked table are not negative.
                Cell::Text(categories.value(usize::try_from(codes.value(row)).unwrap_or_default()))
            }
            Self::Timestamp(array) => Cell::Timestamp(array.value(row)),
        }
    }

    /// Appends the length and the text of a value, so that no two rows of cells have the same
    /// bytes.
    pub(crate) fn write_text_key(&self, row: usize, key: &mut Vec<u8>) {
        match self.cell(row) {
            Cell::Null => key.push(0),
            cell => {
                key.push(1);
                cell.with_text(|text| write_text(text, key));
            }
        }
    }

    /// Appends the bytes of a value, which is cheaper than text for numbers.
    pub(crate) fn write_value_key(&self, row: usize, key: &mut Vec<u8>) {
        let cell = self.cell(row);
        key.push(u8::from(!matches!(cell, Cell::Null)));
        match cell {
            Cell::Null => {}
            Cell::Boolean(value) => key.push(value.into()),
            Cell::Integer(number) | Cell::Timestamp(number) => key.extend(number.to_le_bytes()),
            Cell::Float(number) => key.extend(canonical(number).to_bits().to_le_bytes()),
            Cell::Text(text) | Cell::Decimal(text) => write_text(text, key),
        }
    }
}

fn write_text(text: &str, key: &mut Vec<u8>) {
    key.extend((text.len() as u64).to_le_bytes());
    key.extend(text.as_bytes());
}
