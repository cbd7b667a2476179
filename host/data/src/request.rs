//! Rows that arrive at once, as one batch.
//!
//! JSON and CSV pass through the decoder that training used. JSON may be an array of objects, one
//! object, or a sequence of objects (JSON Lines); [`crate::RequestDecoder`] decodes the requests of
//! a server in the same way and has more forms.

use std::io::Read;

use arrow_array::RecordBatch;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::rows::{RowPlan, RowsBuilder};
use crate::signature::{Signature, Strictness};
use crate::source::CsvText;

/// The name of a request's text in errors.
const REQUEST: &str = "the request";

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
    let plan = RowPlan::new(signature, strictness, &[]);
    let mut rows = RowsBuilder::new(&plan);
    rows.append_json(text).map_err(|unread| unread.named(REQUEST))?;
    Ok(rows.finish()?.batch)
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
    let plan = RowPlan::new(signature, strictness, &[]);
    let mut rows = RowsBuilder::new(&plan);
    CsvText::new(input, REQUEST.to_owned(), delimiter, true)?.visit(&Interrupt::never(), &mut rows)?;
    Ok(rows.finish()?.batch)
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
                "column `x`, data row 1: the text is not JSON: unexpected end of hex escape at line 1 column 8",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
    }
}
