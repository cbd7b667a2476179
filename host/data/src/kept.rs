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
use serde::de::IgnoredAny;
use serde_json::{Number, Value};
use stagewright_store::{DataType, Field, Schema};

use crate::cell::{Cell, EXACT_DIGITS, float_text, timestamp_text};

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
            (_, cell) => self.append_json(&json_of(cell).to_string()),
        }
    }

    /// Appends a JSON text in one line, other than `null`. A cell of another kind becomes one too.
    pub(crate) fn append_json(&mut self, text: &str) {
        if !matches!(self, Self::Json(_)) {
            let values = self.finish();
            let mut texts = StringBuilder::new();
            for row in 0..values.len() {
                if values.is_null(row) {
                    texts.append_null();
                } else {
                    values.with_json(row, |text| texts.append_value(text));
                }
            }
            *self = Self::Json(texts);
        }
        if let Self::Json(texts) = self {
            texts.append_value(text);
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

    fn shown(values: &KeptValues) -> Vec<String> {
        (0..values.len()).map(|row| values.with_json(row, str::to_owned)).collect()
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
            assert_eq!(format!("[{}]", shown(&values).join(",")), json);
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
        let texts = [r#"[1,{"a":null}]"#, "18446744073709551615", "10.50", "\"x\"", "-0", "1e400"];
        let mut builder = KeptBuilder::default();
        builder.append(Cell::Null);
        builder.append(Cell::Float(0.5));
        texts.iter().for_each(|text| builder.append_json(text));
        let kept = builder.finish();
        assert_eq!(kept.kind(), KeptKind::Json);
        assert_eq!(shown(&kept), [&["null", "0.5"][..], &texts].concat());
        let text = |row: usize| kept.with_text(row, str::to_owned);
        assert_eq!([text(0), text(1), text(4), text(5)], ["", "0.5", "10.50", "x"]);
    }

    #[test]
    fn a_number_is_a_double_if_its_digits_survive() {
        let float = |text: &str| {
            let mut builder = KeptBuilder::default();
            builder.append_json(text);
            builder.finish().float(0)
        };
        for (text, expected) in [
            ("10.50", 10.5),
            ("1e3", 1000.0),
            ("-0", -0.0),
            ("0.000e7", 0.0),
            ("1.00000000000000000000", 1.0),
            ("0.12345678901234568", 0.123_456_789_012_345_68),
            ("9007199254740992", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(float(text).map(f64::to_bits), Some(f64::to_bits(expected)), "{text}");
        }
        for text in ["9007199254740993", "2.9999999999999999999", "1e400", "1e-400", "1.5e-310", "true", "\"1\"", "[1]"]
        {
            assert_eq!(float(text), None, "{text}");
        }
        let mixed = built(&[Cell::Boolean(true), Cell::Integer(7), Cell::Text("8"), Cell::Null]);
        assert_eq!([0, 1, 2, 3].map(|row| mixed.boolean(row)), [Some(true), None, None, None]);
        assert_eq!([0, 1, 2, 3].map(|row| mixed.integer(row)), [None, Some(7), None, None]);
    }

    #[test]
    fn a_json_text_that_is_none_is_a_string() {
        let lies = KeptValues::Json(StringArray::from(vec!["{", "[1,\n2]", "", "nul"]));
        assert_eq!(shown(&lies), ["\"{\"", "\"[1,\\n2]\"", "\"\"", "\"nul\""]);
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
