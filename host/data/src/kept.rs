//! Rows to predict with the columns that are passed through to the output, whose values stay as
//! they came.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use serde::de::IgnoredAny;
use serde_json::{Number, Value};
use stagewright_store::{DataType, Field, Schema};

use crate::cell::{EXACT_DIGITS, float_text, timestamp_text};

/// A double holds every integer up to this one.
const MAX_EXACT: u64 = 1 << 53;

/// Consecutive rows to predict: at least one.
#[derive(Clone, Debug)]
pub struct RowsPiece {
    /// The features, in the signature's order.
    pub batch: RecordBatch,
    /// The kept columns, in the order of the request.
    pub kept: Vec<KeptColumn>,
}

/// A column that is passed through to the output.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptColumn {
    /// The name.
    pub name: String,
    /// A value for each row.
    pub values: KeptValues,
}

/// The values of a kept column. Cells of CSV are texts. JSON and SQLite may mix kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptValues {
    /// So many nulls.
    Null(usize),
    /// Booleans.
    Boolean(BooleanArray),
    /// Integers.
    Int64(Int64Array),
    /// Floats.
    Float64(Float64Array),
    /// Times in microseconds since 1970, UTC.
    Timestamp(TimestampMicrosecondArray),
    /// Texts.
    Text(StringArray),
    /// JSON texts: values of several kinds, nested values, or numbers that no other kind holds as
    /// they are written, such as `10.50`.
    Json(StringArray),
}

/// The kind of a kept column's values. It may differ from piece to piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeptKind {
    /// Nulls alone.
    Null,
    /// Booleans.
    Boolean,
    /// Integers.
    Int64,
    /// Floats.
    Float64,
    /// Times.
    Timestamp,
    /// Texts.
    Text,
    /// JSON texts.
    Json,
}

impl KeptKind {
    const ALL: [Self; 7] =
        [Self::Null, Self::Boolean, Self::Int64, Self::Float64, Self::Timestamp, Self::Text, Self::Json];

    /// Returns the kind with this number, if there is one. The inverse of `as u8`.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the columns of a batch with these kinds of values.
    pub fn schema(kinds: &[Self]) -> Schema {
        let field = |(number, kind): (usize, &Self)| {
            let data_type = match kind {
                Self::Null | Self::Boolean => DataType::Boolean,
                Self::Int64 => DataType::Int64,
                Self::Float64 => DataType::Float64,
                Self::Timestamp => DataType::Timestamp,
                Self::Text | Self::Json => DataType::Utf8,
            };
            Field::new(format!("kept {number}"), data_type).with_nullable(true)
        };
        Schema::new(kinds.iter().enumerate().map(field).collect()).expect("the names are distinct")
    }
}

impl KeptColumn {
    /// Returns columns as one batch of so many rows, with the kind of each.
    ///
    /// # Errors
    /// A column has another number of rows.
    pub fn to_batch(
        columns: &[Self],
        rows: usize,
    ) -> Result<(Schema, Vec<KeptKind>, RecordBatch), arrow_schema::ArrowError> {
        let kinds: Vec<KeptKind> = columns.iter().map(|column| column.values.kind()).collect();
        let schema = KeptKind::schema(&kinds);
        let arrays = columns.iter().map(|column| column.values.to_array()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)?;
        Ok((schema, kinds, batch))
    }

    /// Returns the columns of a batch with the schema [`KeptKind::schema`]. The inverse of
    /// [`KeptColumn::to_batch`].
    ///
    /// # Errors
    /// The part of the batch that no column is made of.
    pub fn from_batch(names: &[String], kinds: &[KeptKind], batch: &RecordBatch) -> Result<Vec<Self>, &'static str> {
        if names.len() != kinds.len() || names.len() != batch.num_columns() {
            return Err("another number of kept columns");
        }
        let column = |((name, kind), array): ((&String, &KeptKind), &ArrayRef)| {
            let values = KeptValues::of(*kind, array).ok_or("kept values of another kind")?;
            Ok(Self { name: name.clone(), values })
        };
        names.iter().zip(kinds).zip(batch.columns()).map(column).collect()
    }
}

impl KeptValues {
    /// Returns the kind.
    pub fn kind(&self) -> KeptKind {
        match self {
            Self::Null(_) => KeptKind::Null,
            Self::Boolean(_) => KeptKind::Boolean,
            Self::Int64(_) => KeptKind::Int64,
            Self::Float64(_) => KeptKind::Float64,
            Self::Timestamp(_) => KeptKind::Timestamp,
            Self::Text(_) => KeptKind::Text,
            Self::Json(_) => KeptKind::Json,
        }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Null(rows) => *rows,
            values => values.to_array().len(),
        }
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the values as an array.
    pub fn to_array(&self) -> ArrayRef {
        match self {
            Self::Null(rows) => Arc::new(BooleanArray::new_null(*rows)),
            Self::Boolean(values) => Arc::new(values.clone()),
            Self::Int64(values) => Arc::new(values.clone()),
            Self::Float64(values) => Arc::new(values.clone()),
            Self::Timestamp(values) => Arc::new(values.clone()),
            Self::Text(values) | Self::Json(values) => Arc::new(values.clone()),
        }
    }

    fn of(kind: KeptKind, array: &ArrayRef) -> Option<Self> {
        Some(match kind {
            KeptKind::Null if array.null_count() == array.len() => Self::Null(array.len()),
            KeptKind::Null => return None,
            KeptKind::Boolean => Self::Boolean(array.as_boolean_opt()?.clone()),
            KeptKind::Int64 => Self::Int64(array.as_primitive_opt::<Int64Type>()?.clone()),
            KeptKind::Float64 => Self::Float64(array.as_primitive_opt::<Float64Type>()?.clone()),
            KeptKind::Timestamp => Self::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?.clone()),
            KeptKind::Text => Self::Text(array.as_string_opt::<i32>()?.clone()),
            KeptKind::Json => Self::Json(array.as_string_opt::<i32>()?.clone()),
        })
    }

    /// Returns whether a value is null.
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null(_) => true,
            Self::Boolean(values) => values.is_null(row),
            Self::Int64(values) => values.is_null(row),
            Self::Float64(values) => values.is_null(row),
            Self::Timestamp(values) => values.is_null(row),
            Self::Text(values) | Self::Json(values) => values.is_null(row),
        }
    }

    /// Calls `take` with a value as JSON text in one line. Times, infinities and NaN are strings. A
    /// JSON text that is none, which only a process that lies sends, is a string too.
    pub fn with_json<T>(&self, row: usize, take: impl FnOnce(&str) -> T) -> T {
        let value = match self {
            _ if self.is_null(row) => Value::Null,
            Self::Json(values) => match values.value(row) {
                text if is_json_line(text) => return take(text),
                text => text.into(),
            },
            Self::Boolean(values) => values.value(row).into(),
            Self::Int64(values) => values.value(row).into(),
            Self::Float64(values) => {
                let number = values.value(row);
                Number::from_f64(number).map_or_else(|| float_text(number).into(), Value::Number)
            }
            Self::Timestamp(values) => timestamp_text(values.value(row)).into(),
            Self::Text(values) => values.value(row).into(),
            Self::Null(_) => Value::Null,
        };
        take(&value.to_string())
    }

    /// Calls `take` with a value as text: the cell of a text file. A null is the empty text.
    pub fn with_text<T>(&self, row: usize, take: impl FnOnce(&str) -> T) -> T {
        match self {
            _ if self.is_null(row) => take(""),
            Self::Text(values) => take(values.value(row)),
            _ => self.with_json(row, |json| match serde_json::from_str::<String>(json) {
                Ok(text) => take(&text),
                Err(_) => take(json),
            }),
        }
    }

    /// Returns a value as a boolean, if it is one.
    pub fn boolean(&self, row: usize) -> Option<bool> {
        match self {
            _ if self.is_null(row) => None,
            Self::Boolean(values) => Some(values.value(row)),
            Self::Json(values) => serde_json::from_str(values.value(row)).ok(),
            _ => None,
        }
    }

    /// Returns a value as an integer, if it is one.
    pub fn integer(&self, row: usize) -> Option<i64> {
        match self {
            _ if self.is_null(row) => None,
            Self::Int64(values) => Some(values.value(row)),
            Self::Json(values) => values.value(row).parse().ok(),
            _ => None,
        }
    }

    /// Returns a value as a double, if it is a number that a double holds: its digits can be read
    /// from the double again.
    pub fn float(&self, row: usize) -> Option<f64> {
        match self {
            _ if self.is_null(row) => None,
            Self::Float64(values) => Some(values.value(row)),
            Self::Int64(values) => exact_float(values.value(row)),
            Self::Json(values) => match values.value(row).parse() {
                Ok(integer) if values.value(row) != "-0" => exact_float(integer),
                _ => decimal_float(values.value(row)),
            },
            _ => None,
        }
    }
}

/// Returns whether a text is JSON in one line.
fn is_json_line(text: &str) -> bool {
    !text.contains(['\n', '\r']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Returns an integer as a double, which holds it up to 2^53.
fn exact_float(integer: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    (integer.unsigned_abs() <= MAX_EXACT).then_some(integer as f64)
}

/// Returns a number of JSON as a double, if it has no more digits than survive this, or is the
/// text of the double.
fn decimal_float(text: &str) -> Option<f64> {
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_matches('0');
    let is_normal = if digits.is_empty() { number == 0.0 } else { number.is_normal() };
    let is_own_text = || Number::from_f64(number).is_some_and(|own| own.to_string() == text);
    (is_normal && (digits.len() <= EXACT_DIGITS || is_own_text())).then_some(number)
}
