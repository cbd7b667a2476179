//! Rows that arrive at once: the body of a prediction request, or the input of `predict`.
//!
//! JSON, CSV and every source pass through the decoder that training used. JSON may be an array of
//! objects, one object, or a sequence of objects (JSON Lines).

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use serde_json::Value;

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed};
use crate::interrupt::Interrupt;
use crate::json;
use crate::signature::{Decoder, ExtraColumns, Signature, Strictness};
use crate::source::{CellVisitor, CsvText, Place, Source, recognise, visit};

/// The most bytes of decoded rows. More rows must be predicted in parts.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// The longest time for reading the rows of a source, the same as for ingestion by default.
pub const MAX_READ_TIME: Duration = Duration::from_secs(15 * 60);

/// Bytes that a kept value takes besides its text.
pub(crate) const KEPT_MEMORY: usize = 64;

/// The rows of a source that are decoded at once.
const ROWS_AT_ONCE: usize = 8192;

/// The rows to predict.
#[derive(Clone, Copy, Debug)]
pub enum RowsInput<'a> {
    /// JSON text.
    Json(&'a [u8]),
    /// Delimited text.
    Csv {
        /// The text.
        text: &'a [u8],
        /// The delimiter.
        delimiter: u8,
        /// Whether the first line names the columns.
        header: bool,
    },
    /// A file or a table, as for training.
    Source(&'a Source),
}

/// Decoded rows to predict.
#[derive(Clone, Debug)]
pub struct Rows {
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
    /// A value for each row. Cells of CSV, times, and numbers that JSON cannot hold exactly are
    /// texts.
    pub values: Vec<Value>,
}

/// Decodes rows for prediction and keeps columns beside them, even columns that the signature does
/// not have.
///
/// `name` is the input in errors.
///
/// # Errors
/// As [`decode_json`], [`decode_csv`] and [`crate::open`]; [`DataError::Fault`] if a column to keep
/// does not exist.
pub fn decode_rows(
    input: RowsInput<'_>,
    name: &str,
    signature: &Signature,
    keep: &[String],
) -> Result<Rows, DataError> {
    decode_rows_until(input, name, signature, keep, &Interrupt::at(Instant::now() + MAX_READ_TIME))
}

/// As [`decode_rows`], with an interrupt.
pub(crate) fn decode_rows_until(
    input: RowsInput<'_>,
    name: &str,
    signature: &Signature,
    keep: &[String],
    interrupt: &Interrupt,
) -> Result<Rows, DataError> {
    let mut rows = RowsBuilder::new(signature, Strictness::Predict, keep);
    match input {
        RowsInput::Json(text) => rows.append_json(text, name)?,
        RowsInput::Csv { text, delimiter, header } => {
            CsvText::new(text, name.to_owned(), delimiter, header)?.visit(interrupt, &mut rows)?;
        }
        RowsInput::Source(source) => visit(source, Place::Files, interrupt, &mut rows)?,
    }
    Ok(Rows { batch: rows.decoder.finish()?, kept: rows.kept })
}

/// As [`decode_rows`], for a source whose files are in memory.
pub(crate) fn decode_memory(
    source: &Source,
    place: Place,
    signature: &Signature,
    keep: &[String],
) -> Result<Rows, DataError> {
    let mut rows = RowsBuilder::new(signature, Strictness::Predict, keep);
    visit(source, place, &Interrupt::never(), &mut rows)?;
    Ok(Rows { batch: rows.decoder.finish()?, kept: rows.kept })
}

/// Decodes rows of JSON to one batch.
///
/// A missing key is an error and not a null, so that a misspelt name does not count as a missing
/// value. Nested values become JSON text in utf8 and categorical columns and fit no other. Numbers
/// are read from their digits.
///
/// # Errors
/// [`DataError::Fault`] if the text is not JSON, a row is not an object or lacks a column, or a
/// value does not fit.
pub fn decode_json(text: &[u8], signature: &Signature, strictness: Strictness) -> Result<RecordBatch, DataError> {
    let mut rows = RowsBuilder::new(signature, strictness, &[]);
    rows.append_json(text, "the request")?;
    rows.decoder.finish()
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
    let mut rows = RowsBuilder::new(signature, strictness, &[]);
    CsvText::new(input, "the request".to_owned(), delimiter, true)?.visit(&Interrupt::never(), &mut rows)?;
    rows.decoder.finish()
}

fn too_many() -> DataFault {
    DataFault::new(format!("the rows take more than {MAX_BYTES} bytes together\nhint: pass them in parts"))
}

/// Collects rows: features in the decoder, kept columns beside it.
struct RowsBuilder<'a> {
    decoder: Decoder,
    signature: &'a Signature,
    strictness: Strictness,
    kept: Vec<KeptColumn>,
    /// The approximate bytes of the kept values.
    kept_bytes: usize,
}

impl<'a> RowsBuilder<'a> {
    fn new(signature: &'a Signature, strictness: Strictness, keep: &[String]) -> Self {
        let kept = |name: &String| KeptColumn { name: name.clone(), values: Vec::new() };
        let decoder = Decoder::new(signature, strictness).of_all_rows(MAX_BYTES);
        Self { decoder, signature, strictness, kept: keep.iter().map(kept).collect(), kept_bytes: 0 }
    }

    fn append_json(&mut self, text: &[u8], name: &str) -> Result<(), DataError> {
        if let Some(found) = recognise(text) {
            return Err(found.error(Path::new(name)));
        }
        let text = std::str::from_utf8(text)
            .map_err(|error| DataFault::new(format!("the text is not UTF-8, from byte {} on", error.valid_up_to())))?;
        json::rows(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter().try_for_each(|row| self.append(row))
    }

    fn append(&mut self, row: &str) -> Result<(), DataError> {
        let number = self.decoder.row();
        let unread = |error| DataError::from(DataFault::new(format!("the text is not JSON: {error}")).in_row(number));
        let Some(object) = json::members(row).map_err(unread)? else {
            let fault = DataFault::of_value(row, "is not an object with a value for each column");
            return Err(fault.in_row(number).into());
        };
        self.check_keys(&object)?;
        for column in 0..self.decoder.schema().len() {
            let value = object[&self.decoder.schema().fields()[column].name];
            with_cell(value, |cell| self.decoder.cell(column, cell)).map_err(unread)?.map_err(DataError::Fault)?;
        }
        for column in &mut self.kept {
            let value = object[&column.name];
            column.values.push(kept_json(value).map_err(unread)?);
        }
        self.decoder.end_row();
        Ok(())
    }

    fn check_keys(&self, object: &HashMap<String, &str>) -> Result<(), DataError> {
        let wanted = self.decoder.schema().fields().iter().map(|field| &field.name);
        let wanted = wanted.chain(self.kept.iter().map(|column| &column.name));
        let missing: Vec<&String> = wanted.filter(|name| !object.contains_key(*name)).collect();
        let row = self.decoder.row();
        if !missing.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&missing));
            return Err(DataFault::new(message).in_row(row).into());
        }
        if self.strictness == Strictness::Ingest && self.signature.extra_columns == ExtraColumns::Error {
            let mut extra: Vec<&String> =
                object.keys().filter(|name| self.signature.fields.index_of(name).is_none()).collect();
            extra.sort_unstable();
            if !extra.is_empty() {
                let message =
                    format!("the signature does not name {}, and says that extra columns are an error", listed(&extra));
                return Err(DataFault::new(message).in_row(row).into());
            }
        }
        Ok(())
    }
}

/// Calls `take` with the cell for a JSON value, given as written.
fn with_cell<T>(value: &str, take: impl FnOnce(Cell<'_>) -> T) -> Result<T, serde_json::Error> {
    Ok(match value.as_bytes().first() {
        Some(b'"') => take(Cell::Text(&serde_json::from_str::<String>(value)?)),
        Some(b'{' | b'[') => take(Cell::Text(&serde_json::from_str::<Value>(value)?.to_string())),
        Some(b't') => take(Cell::Boolean(true)),
        Some(b'f') => take(Cell::Boolean(false)),
        Some(b'n') | None => take(Cell::Null),
        Some(_) => match value.parse() {
            // An integer has no negative zero.
            Ok(integer) if value != "-0" => take(Cell::Integer(integer)),
            _ if value == "-0" || value.contains(['.', 'e', 'E']) => take(Cell::Decimal(value)),
            // Beyond int64, the type of the column decides about the digits.
            _ => take(Cell::Text(value)),
        },
    })
}

/// Parses a JSON value that is kept.
fn kept_json(value: &str) -> Result<Value, serde_json::Error> {
    match serde_json::from_str::<Value>(value) {
        Ok(Value::Number(number)) if number.to_string() != value => Ok(Value::from(value)),
        // A number beyond the range of a double.
        Err(_) if value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => Ok(Value::from(value)),
        other => other,
    }
}

/// Returns a cell that is kept as JSON.
fn kept_cell(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Boolean(value) => value.into(),
        Cell::Integer(number) => number.into(),
        Cell::Float(number) if number.is_finite() => number.into(),
        cell => cell.with_text(|text| Value::from(text)),
    }
}

impl CellVisitor for RowsBuilder<'_> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let mut places = self.signature.bind(names, self.strictness)?;
        let mut missing: Vec<&String> = Vec::new();
        for column in &self.kept {
            let mut found = (0..names.len()).filter(|place| names[*place] == column.name);
            match (found.next(), found.next()) {
                (Some(place), None) => places.push(place),
                (None, _) => missing.push(&column.name),
                (Some(_), Some(_)) => {
                    let message = format!("more than one column is named {}", listed(&[&column.name]));
                    return Err(DataFault::new(message).into());
                }
            }
        }
        if !missing.is_empty() {
            let message = format!("the data has no {} to keep; it has {}", listed(&missing), listed(names));
            return Err(DataFault::new(message).into());
        }
        Ok(places)
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        match column.checked_sub(self.decoder.schema().len()) {
            Some(kept) => {
                self.kept_bytes += KEPT_MEMORY + if let Cell::Text(text) = cell { text.len() } else { 0 };
                if self.kept_bytes > MAX_BYTES {
                    let fault = too_many().in_column(&self.kept[kept].name);
                    return Err(Box::new(fault.in_row(self.decoder.row())));
                }
                self.kept[kept].values.push(kept_cell(cell));
                Ok(())
            }
            None => self.decoder.cell(column, cell),
        }
    }

    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.decoder.end_rows(rows);
        let is_due = rows > 1 || self.decoder.rows().is_multiple_of(ROWS_AT_ONCE);
        if is_due && self.decoder.held_bytes() > MAX_BYTES {
            return Err(too_many().in_row(self.decoder.row()).into());
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        ROWS_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
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

    // invariant: A value decodes to the same result from JSON, CSV and every other source.
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
            error.to_string().starts_with("data row 1: the object has no `contract`, `paperless`, `since`\n"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_a_fault_with_row_and_value() {
        let narrow = signature().with_roles(&[Role::Feature]);
        let narrow = Signature { fields: narrow.fields.project(&[0, 2]), ..narrow };
        for (text, message) in [
            (
                r#"{"tenure": 1.5, "contract": "a"}"#,
                "column `tenure`, data row 1: `1.5` is not an int64: it has a fraction",
            ),
            (r#"{"tenure": true, "contract": "a"}"#, "column `tenure`, data row 1: `true` is not an int64"),
            (r#"{"tenure": [1], "contract": "a"}"#, "column `tenure`, data row 1: `[1]` is not an int64"),
            (
                r#"{"tenure": 18446744073709551615, "contract": "a"}"#,
                "column `tenure`, data row 1: `18446744073709551615` lies outside int64",
            ),
            (
                r#"{"tenure": 1, "contract": null}"#,
                "column `contract`, data row 1: the value is missing, and the signature says that it never is",
            ),
            ("[1]", "data row 1: `1` is not an object with a value for each column"),
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

    // invariant: as `a_whole_number_is_read_exactly_however_it_is_written`
    #[test]
    fn numbers_of_json_are_read_from_their_digits() {
        let fields = vec![Field::new("n", DataType::Int64), Field::new("x", DataType::Float64)];
        let signature = Signature::new(fields).unwrap();
        let read = |text: &str| decode_json(text.as_bytes(), &signature, Strictness::Predict);
        let batch = read("{\"n\": 9007199254740993.0, \"x\": 2.9999999999999999999}").unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
        assert_eq!(batch.column(1).as_primitive::<Float64Type>().value(0), 3.0, "the nearest double");
        for (text, message) in [
            (
                "{\"n\": 2.9999999999999999999, \"x\": 0}",
                "column `n`, data row 1: `2.9999999999999999999` is not an int64: it has a fraction",
            ),
            ("{\"n\": 1, \"x\": 1e999}", "column `x`, data row 1: `1e999` lies outside float64"),
            (
                "{\"n\": 1, \"x\": \"\\ud800\"}",
                "data row 1: the text is not JSON: unexpected end of hex escape at line 1 column 8",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn kept_columns_are_passed_on_as_they_came() {
        let keep = ["id", "extra", "tenure"].map(str::to_owned);
        let text =
            b"id,since,tenure,charges,contract,paperless,extra\n007,2024-01-06, 1 ,29.85,Monthly,yes,\"a \"\"b\"\"\"\n";
        let input = RowsInput::Csv { text, delimiter: b',', header: true };
        let rows = decode_rows(input, "rows.csv", &signature(), &keep).unwrap();
        let kept: Vec<_> = rows.kept.iter().map(|column| (column.name.as_str(), column.values.clone())).collect();
        let text = |text: &str| vec![Value::from(text)];
        assert_eq!(kept, [("id", text("007")), ("extra", text("a \"b\"")), ("tenure", text(" 1 "))]);
        assert_eq!(rows.batch.num_columns(), 5);

        let json =
            br#"{"id": 18446744073709551616, "extra": [1, null], "tenure": 1, "since": "2024-01-06", "charges": 1,
            "contract": "a", "paperless": true}"#;
        let json = [b"\xef\xbb\xbf", &json[..]].concat();
        let rows = decode_rows(RowsInput::Json(&json), "rows.json", &signature(), &keep).unwrap();
        let kept: Vec<_> = rows.kept.iter().map(|column| column.values[0].clone()).collect();
        assert_eq!(kept, [Value::from("18446744073709551616"), serde_json::json!([1, null]), Value::from(1)]);

        let error = decode_rows(input, "rows.csv", &signature(), &["nobody".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("the data has no `nobody` to keep; it has `id`, `since`"), "{error}");
        let error = decode_rows(RowsInput::Json(&json), "x", &signature(), &["nobody".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("data row 1: the object has no `nobody`"), "{error}");
    }
}
