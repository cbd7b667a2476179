//! Rows that arrive whole: the body of a prediction request, or a file given to `predict`.
//!
//! JSON and CSV go through the decoder that training used. JSON may be an array of objects, one object, or objects one after the
//! other (JSON Lines).

use std::io::Read;

use arrow_array::RecordBatch;
use serde_json::{Deserializer, Map, Value};

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed};
use crate::interrupt::Interrupt;
use crate::signature::{Decoder, ExtraColumns, Signature, Strictness};
use crate::source::{CellVisitor, CsvText};

/// Decodes rows of JSON to one batch.
///
/// A key that is absent is not the same as a null: it is a fault, so that a misspelt name does not pass for a missing value.
/// Nested values become JSON text in utf8 and categorical columns and fit no other.
///
/// # Errors
/// [`DataError::Fault`] if the text is not JSON, if a row is not an object or lacks a column, if a value does not fit.
pub fn decode_json(text: &[u8], signature: &Signature, strictness: Strictness) -> Result<RecordBatch, DataError> {
    let mut rows = JsonRows { decoder: Decoder::new(signature, strictness), signature, strictness };
    for value in Deserializer::from_slice(text).into_iter::<Value>() {
        match value.map_err(|error| DataFault::new(format!("the text is not JSON: {error}")))? {
            Value::Array(values) => values.iter().try_for_each(|value| rows.append(value))?,
            value => rows.append(&value)?,
        }
    }
    rows.decoder.finish()
}

struct JsonRows<'a> {
    decoder: Decoder,
    signature: &'a Signature,
    strictness: Strictness,
}

impl JsonRows<'_> {
    fn append(&mut self, value: &Value) -> Result<(), DataError> {
        let Value::Object(object) = value else {
            let fault = DataFault::of_value(&value.to_string(), "is not an object with a value for each column");
            return Err(fault.in_row(self.decoder.row()).into());
        };
        self.check_keys(object)?;
        for column in 0..self.decoder.schema().len() {
            let value = &object[&self.decoder.schema().fields()[column].name];
            append_value(&mut self.decoder, column, value)?;
        }
        self.decoder.end_row();
        Ok(())
    }

    fn check_keys(&self, object: &Map<String, Value>) -> Result<(), DataError> {
        let fields = self.decoder.schema().fields();
        let missing: Vec<&String> =
            fields.iter().map(|field| &field.name).filter(|name| !object.contains_key(*name)).collect();
        let row = self.decoder.row();
        if !missing.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&missing));
            return Err(DataFault::new(message).in_row(row).into());
        }
        if self.strictness == Strictness::Ingest && self.signature.extra_columns == ExtraColumns::Error {
            let extra: Vec<&String> =
                object.keys().filter(|name| self.signature.fields.index_of(name).is_none()).collect();
            if !extra.is_empty() {
                let message =
                    format!("the signature does not name {}, and says that extra columns are an error", listed(&extra));
                return Err(DataFault::new(message).in_row(row).into());
            }
        }
        Ok(())
    }
}

fn append_value(decoder: &mut Decoder, column: usize, value: &Value) -> Result<(), DataError> {
    let result = match value {
        Value::Null => decoder.cell(column, Cell::Null),
        Value::Bool(value) => decoder.cell(column, Cell::Boolean(*value)),
        Value::String(text) => decoder.cell(column, Cell::Text(text)),
        Value::Number(number) => match (number.as_i64(), number.is_u64(), number.as_f64()) {
            (Some(integer), _, _) => decoder.cell(column, Cell::Integer(integer)),
            (None, false, Some(float)) => decoder.cell(column, Cell::Float(float)),
            // Beyond int64: the digits decide what they fit.
            _ => decoder.cell(column, Cell::Text(&number.to_string())),
        },
        Value::Array(_) | Value::Object(_) => decoder.cell(column, Cell::Text(&value.to_string())),
    };
    result.map_err(DataError::Fault)
}

/// Decodes rows of CSV with a header to one batch.
///
/// # Errors
/// [`DataError`] as for a CSV source.
pub fn decode_csv(
    input: impl Read,
    delimiter: u8,
    signature: &Signature,
    strictness: Strictness,
) -> Result<RecordBatch, DataError> {
    let mut rows = CsvRows { decoder: Decoder::new(signature, strictness), signature, strictness };
    CsvText::new(input, "the request".to_owned(), delimiter, true)?.visit(&Interrupt::never(), &mut rows)?;
    rows.decoder.finish()
}

struct CsvRows<'a> {
    decoder: Decoder,
    signature: &'a Signature,
    strictness: Strictness,
}

impl CellVisitor for CsvRows<'_> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        self.signature.bind(names, self.strictness)
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        self.decoder.cell(column, cell)
    }

    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.decoder.end_rows(rows);
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use stagewright_store::{DataType, Field, Role};

    fn signature() -> Signature {
        Signature::new(vec![
            Field::new("id", DataType::Utf8).with_role(Role::Identifier),
            Field::new("tenure", DataType::Int64),
            Field::new("charges", DataType::Float64).with_nullable(true),
            Field::new("contract", DataType::Categorical),
            Field::new("paperless", DataType::Boolean),
            Field::new("since", DataType::Timestamp),
        ])
        .unwrap()
        .with_null_values([" "])
    }

    const CSV: &str = "since,tenure,charges,contract,paperless,extra\n\
        2024-01-06,1,29.85,Monthly,yes,x\n2024-01-06T00:00:00+00:00,34, ,\"One, year\",0,y\n";

    #[test]
    fn json_and_csv_give_the_same_batch() {
        let from_csv = decode_csv(CSV.as_bytes(), b',', &signature(), Strictness::Predict).unwrap();
        let array = br#"[{"tenure": 1, "charges": 29.85, "contract": "Monthly", "paperless": true, "since": "2024-01-06"},
            {"tenure": 34.0, "charges": null, "contract": "One, year", "paperless": 0, "since": "2024-01-06 00:00", "z": []}]"#;
        let lines = br#"{"tenure": "1", "charges": "29.85", "contract": "Monthly", "paperless": "TRUE", "since": "2024-01-06"}
            {"tenure": 34, "charges": " ", "contract": "One, year", "paperless": false, "since": "2024-01-06T01:00:00+01:00"}"#;
        for text in [&array[..], &lines[..]] {
            assert_eq!(decode_json(text, &signature(), Strictness::Predict).unwrap(), from_csv);
        }
        assert_eq!(from_csv.num_columns(), 5, "the identifier is no feature");
        assert!(from_csv.column(1).is_null(1));
    }

    #[test]
    fn every_absent_key_is_named() {
        let error = decode_json(br#"[{"tenure": 1, "charges": 2}]"#, &signature(), Strictness::Predict).unwrap_err();
        assert!(
            error.to_string().starts_with("row 0: the object has no `contract`, `paperless`, `since`\n"),
            "{error}"
        );
    }

    #[test]
    fn what_does_not_fit_is_a_fault_with_row_and_value() {
        let narrow = signature().with_roles(&[Role::Feature]);
        let narrow = Signature { fields: narrow.fields.project(&[0, 2]), ..narrow };
        for (text, message) in [
            (r#"{"tenure": 1.5, "contract": "a"}"#, "column `tenure`, row 0: `1.5` is not an int64: it has a fraction"),
            (r#"{"tenure": true, "contract": "a"}"#, "column `tenure`, row 0: `true` is not an int64"),
            (r#"{"tenure": [1], "contract": "a"}"#, "column `tenure`, row 0: `[1]` is not an int64"),
            (
                r#"{"tenure": 18446744073709551615, "contract": "a"}"#,
                "column `tenure`, row 0: `18446744073709551615` lies outside int64",
            ),
            (
                r#"{"tenure": 1, "contract": null}"#,
                "column `contract`, row 0: the value is missing, and the signature says that it never is",
            ),
            ("[1]", "row 0: `1` is not an object with a value for each column"),
            ("{", "the text is not JSON: EOF while parsing an object at line 1 column 1"),
        ] {
            let error = decode_json(text.as_bytes(), &narrow, Strictness::Predict).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn no_rows_are_an_empty_batch() {
        let batch = decode_json(b"[]", &signature(), Strictness::Predict).unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (0, 5));
    }
}
