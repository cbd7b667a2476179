//! Rows to predict with the columns that are passed through to the output, whose values stay as
//! they came.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use serde_json::{Number, Value};
use stagewright_store::{DataType, Field, Schema};

use crate::cell::{Cell, float_text, timestamp_text};

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
    /// JSON texts: values of several kinds, nested values, or numbers that no other kind holds.
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

    fn to_array(&self) -> ArrayRef {
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

    /// Returns a value as JSON. Times, infinities and NaN are texts. A JSON text that is none,
    /// which only a process that lies sends, is a text too.
    pub fn json(&self, row: usize) -> Value {
        match self {
            Self::Boolean(values) if values.is_valid(row) => values.value(row).into(),
            Self::Int64(values) if values.is_valid(row) => values.value(row).into(),
            Self::Float64(values) if values.is_valid(row) => {
                let number = values.value(row);
                Number::from_f64(number).map_or_else(|| float_text(number).into(), Value::Number)
            }
            Self::Timestamp(values) if values.is_valid(row) => timestamp_text(values.value(row)).into(),
            Self::Text(values) if values.is_valid(row) => values.value(row).into(),
            Self::Json(values) if values.is_valid(row) => {
                let text = values.value(row);
                serde_json::from_str(text).unwrap_or_else(|_| text.into())
            }
            _ => Value::Null,
        }
    }

    /// Calls `take` with a value as text: the cell of a text file. A null is the empty text.
    pub fn with_text<T>(&self, row: usize, take: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Text(values) if values.is_valid(row) => take(values.value(row)),
            _ => match self.json(row) {
                Value::Null => take(""),
                Value::String(text) => take(&text),
                value => take(&value.to_string()),
            },
        }
    }
}

/// A kept column under construction. It has the kind of its cells, or JSON if they are of several.
#[derive(Debug)]
pub(crate) enum KeptBuilder {
    Null(usize),
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
}

impl Default for KeptBuilder {
    fn default() -> Self {
        Self::Null(0)
    }
}

impl KeptBuilder {
    /// Appends a cell.
    #[inline]
    pub(crate) fn append(&mut self, cell: Cell<'_>) {
        match (&mut *self, cell) {
            (Self::Text(values), Cell::Text(text)) => values.append_value(text),
            (Self::Int64(values), Cell::Integer(number)) => values.append_value(number),
            (Self::Float64(values), Cell::Float(number)) => values.append_value(number),
            (Self::Boolean(values), Cell::Boolean(value)) => values.append_value(value),
            (Self::Timestamp(values), Cell::Timestamp(time)) => values.append_value(time),
            (Self::Null(rows), Cell::Null) => *rows += 1,
            (_, Cell::Null) => self.append_null(),
            (Self::Null(rows), cell) => {
                *self = Self::begun(*rows, cell);
                self.append(cell);
            }
            (Self::Json(values), cell) => values.append_value(json_of(cell).to_string()),
            (_, cell) => {
                let values = self.finish();
                let mut texts = StringBuilder::new();
                for row in 0..values.len() {
                    match values.json(row) {
                        Value::Null => texts.append_null(),
                        value => texts.append_value(value.to_string()),
                    }
                }
                *self = Self::Json(texts);
                self.append(cell);
            }
        }
    }

    /// Appends a value of JSON.
    pub(crate) fn append_json(&mut self, value: &Value) {
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Bool(value) => Cell::Boolean(*value),
            Value::String(text) => Cell::Text(text),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Cell::Integer(number),
                (None, Some(float)) if number.is_f64() => Cell::Float(float),
                _ => return self.append_nested(value),
            },
            Value::Array(_) | Value::Object(_) => return self.append_nested(value),
        };
        self.append(cell);
    }

    /// Appends a value that no cell is.
    fn append_nested(&mut self, value: &Value) {
        // A cell of another kind makes it JSON.
        if !matches!(self, Self::Json(_)) {
            let values = self.finish();
            *self = Self::Json(StringBuilder::new());
            (0..values.len()).for_each(|row| self.append_json(&values.json(row)));
        }
        if let Self::Json(texts) = self {
            texts.append_value(value.to_string());
        }
    }

    /// Returns a builder for values like this cell, after so many nulls.
    fn begun(nulls: usize, cell: Cell<'_>) -> Self {
        macro_rules! after_nulls {
            ($kind:ident, $values:expr) => {{
                let mut values = $values;
                (0..nulls).for_each(|_| values.append_null());
                Self::$kind(values)
            }};
        }
        match cell {
            Cell::Boolean(_) => after_nulls!(Boolean, BooleanBuilder::new()),
            Cell::Integer(_) => after_nulls!(Int64, Int64Builder::new()),
            Cell::Float(_) => after_nulls!(Float64, Float64Builder::new()),
            Cell::Timestamp(_) => {
                after_nulls!(Timestamp, TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            Cell::Text(_) => after_nulls!(Text, StringBuilder::new()),
            Cell::Null | Cell::Decimal(_) => after_nulls!(Json, StringBuilder::new()),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(values) => values.append_null(),
            Self::Int64(values) => values.append_null(),
            Self::Float64(values) => values.append_null(),
            Self::Timestamp(values) => values.append_null(),
            Self::Text(values) | Self::Json(values) => values.append_null(),
        }
    }

    /// Returns the values so far, and leaves the builder empty.
    pub(crate) fn finish(&mut self) -> KeptValues {
        match std::mem::take(self) {
            Self::Null(rows) => KeptValues::Null(rows),
            Self::Boolean(mut values) => KeptValues::Boolean(values.finish()),
            Self::Int64(mut values) => KeptValues::Int64(values.finish()),
            Self::Float64(mut values) => KeptValues::Float64(values.finish()),
            Self::Timestamp(mut values) => KeptValues::Timestamp(values.finish()),
            Self::Text(mut values) => KeptValues::Text(values.finish()),
            Self::Json(mut values) => KeptValues::Json(values.finish()),
        }
    }
}

/// Returns a cell as JSON.
fn json_of(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Boolean(value) => value.into(),
        Cell::Integer(number) => number.into(),
        Cell::Float(number) if number.is_finite() => number.into(),
        cell => cell.with_text(|text| Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(cells: &[Cell<'_>]) -> KeptValues {
        let mut builder = KeptBuilder::default();
        cells.iter().for_each(|cell| builder.append(*cell));
        builder.finish()
    }

    fn shown(values: &KeptValues) -> Vec<Value> {
        (0..values.len()).map(|row| values.json(row)).collect()
    }

    #[test]
    fn values_of_one_kind_are_typed_and_mixed_ones_are_json() {
        for (cells, kind, json) in [
            (vec![Cell::Null, Cell::Integer(7)], KeptKind::Int64, "[null,7]"),
            (vec![Cell::Text("007"), Cell::Null, Cell::Text("")], KeptKind::Text, r#"["007",null,""]"#),
            (vec![Cell::Float(0.5), Cell::Float(f64::NAN)], KeptKind::Float64, r#"[0.5,"NaN"]"#),
            (vec![Cell::Timestamp(0)], KeptKind::Timestamp, r#"["1970-01-01T00:00:00Z"]"#),
            (vec![Cell::Null, Cell::Null], KeptKind::Null, "[null,null]"),
            (vec![Cell::Boolean(true), Cell::Null, Cell::Integer(1)], KeptKind::Json, "[true,null,1]"),
            (
                vec![Cell::Integer(1), Cell::Float(f64::INFINITY), Cell::Text("a\"b"), Cell::Null],
                KeptKind::Json,
                r#"[1,"inf","a\"b",null]"#,
            ),
        ] {
            let values = built(&cells);
            assert_eq!((values.kind(), values.len()), (kind, cells.len()));
            assert_eq!(Value::from(shown(&values)).to_string(), json);
            let column = KeptColumn { name: "k".to_owned(), values };
            let (schema, kinds, batch) = KeptColumn::to_batch(std::slice::from_ref(&column), cells.len()).unwrap();
            assert_eq!(schema, KeptKind::schema(&kinds));
            assert_eq!(KeptKind::from_byte(kinds[0] as u8), Some(kind));
            assert_eq!(KeptColumn::from_batch(&["k".to_owned()], &kinds, &batch), Ok(vec![column]));
        }
        assert_eq!(KeptKind::from_byte(7), None);
    }

    #[test]
    fn values_of_json_are_kept_as_they_are() {
        let values = [r#"[1,{"a":null}]"#, "18446744073709551615", "0.1", "\"x\"", "null", "1"];
        let values = values.map(|text| serde_json::from_str::<Value>(text).unwrap());
        let mut builder = KeptBuilder::default();
        values.iter().rev().for_each(|value| builder.append_json(value));
        let kept = builder.finish();
        assert_eq!(kept.kind(), KeptKind::Json);
        let mut shown = shown(&kept);
        shown.reverse();
        assert_eq!(shown, values);
        let text = |row: usize| kept.with_text(row, str::to_owned);
        assert_eq!([text(0), text(1), text(2), text(5)], ["1", "", "x", r#"[1,{"a":null}]"#]);
    }

    #[test]
    fn what_a_process_sends_is_checked_against_the_kinds() {
        let column = KeptColumn { name: "k".to_owned(), values: built(&[Cell::Boolean(true)]) };
        let names = ["k".to_owned()];
        let (_, _, batch) = KeptColumn::to_batch(&[column], 1).unwrap();
        assert!(KeptColumn::from_batch(&names, &[KeptKind::Null], &batch).is_err());
        assert!(KeptColumn::from_batch(&names, &[KeptKind::Text], &batch).is_err());
        assert!(KeptColumn::from_batch(&names, &[], &batch).is_err());
    }
}
