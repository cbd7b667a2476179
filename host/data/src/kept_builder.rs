//! Builds kept columns of cells.

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use serde_json::Value;

use crate::cell::Cell;
use crate::kept::KeptValues;

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
    use arrow_array::StringArray;

    use super::*;
    use crate::kept::{KeptColumn, KeptKind};

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
