#![no_main]
//! Arbitrary bytes as the body of a request. The first byte says which form it has. The result is
//! rows of all features, within the limits, or faults that can be shown.

use std::sync::LazyLock;

use arrow_array::RecordBatch;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stagewright_data::{
    Decode as _, DecodeLimits, DecodedRequest, InProcess, Interrupt, JsonColumn, RequestDecoder, RequestFault,
    RequestOptions, RowError, RowsInput, RowsText, Signature, Strictness, TextFormat, UnknownFields, decode_json,
    json_elements, json_members,
};
use stagewright_store::{DataType, Field, Role};

const MAX_ROWS: usize = 500;
const MAX_ERRORS: usize = 20;
const MAX_BYTES: usize = 1 << 20;

static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| {
    let names = ["a", "b", "c", "d", "e", "f"].into_iter().zip(DataType::ALL);
    let mut fields: Vec<Field> =
        names.map(|(name, data_type)| Field::new(name, data_type).with_nullable(name != "d")).collect();
    fields.push(Field::new("id", DataType::Utf8).with_role(Role::Identifier));
    Signature::new(fields).expect("seven names").with_null_values(["", "NA", "-1"])
});

/// One decoder that ignores unknown fields, and one that refuses them.
static DECODERS: LazyLock<[RequestDecoder; 2]> = LazyLock::new(|| {
    [UnknownFields::Ignore, UnknownFields::Refuse].map(|unknown_fields| {
        let options = RequestOptions {
            unknown_fields,
            max_rows: MAX_ROWS,
            max_errors: MAX_ERRORS,
            max_bytes: MAX_BYTES,
            key: Some("id".to_owned()),
            kept: vec!["c".to_owned(), "id".to_owned(), "more".to_owned()],
        };
        RequestDecoder::new(&SIGNATURE, options)
    })
});

fuzz_target!(|bytes: &[u8]| {
    let Some((form, body)) = bytes.split_first() else { return };
    let decoder = &DECODERS[usize::from(form.is_ascii_uppercase())];
    match form.to_ascii_lowercase() {
        b'j' => {
            let result = decoder.json(body);
            like_predict(body, &result);
            like_serde_json(body, &result);
            check(result);
        }
        b'c' => check(decoder.csv(body)),
        b'a' => check(decoder.arrow_stream(body)),
        b's' => envelope(decoder, body),
        b'm' => check(decoder.json_matrix(body.len() % 7, &String::from_utf8_lossy(body))),
        _ => {}
    }
});

/// Rows decode as by `decode_json` and in the input of `predict`, which have no limits on rows.
fn like_predict(body: &[u8], result: &Result<DecodedRequest, RequestFault>) {
    let predicted = || decode_json(body, &SIGNATURE, Strictness::Predict);
    match result {
        Ok(decoded) => {
            assert_eq!(predicted().expect("no faults"), decoded.batch);
            assert_eq!(piece(body), (decoded.rows() > 0).then(|| decoded.batch.clone()));
        }
        Err(RequestFault::Rows { errors, .. }) => {
            // `predict` knows no key and refuses no field.
            let is_of_requests = |error: &RowError| {
                error.message.starts_with("the model has no field of this name") || error.field.as_deref() == Some("id")
            };
            assert!(predicted().is_err() || errors.iter().all(is_of_requests));
        }
        Err(_) => {}
    }
}

/// Returns the rows as they are in the input of `predict`, where they are one piece.
fn piece(body: &[u8]) -> Option<RecordBatch> {
    let (name, text) = ("a body".to_owned(), Box::new(std::io::Cursor::new(body.to_vec())));
    let input = RowsInput::Text(RowsText { name, format: TextFormat::Json, text });
    let limits = DecodeLimits::until(Interrupt::never());
    let mut rows = InProcess.open_rows(input, &SIGNATURE, &[], &limits).expect("rows");
    let piece = rows.next().expect("rows").map(|piece| piece.batch);
    assert!(rows.next().expect("an end").is_none());
    piece
}

/// The keys are those that `serde_json` finds in the rows, if it reads the text. It does not read
/// numbers beyond a double.
fn like_serde_json(body: &[u8], result: &Result<DecodedRequest, RequestFault>) {
    let Ok(decoded) = result else { return };
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let Ok(values) = values.collect::<Result<Vec<Value>, _>>() else { return };
    let is_feature = |name: &String| SIGNATURE.features().index_of(name).is_some();
    let rows: Vec<Value> = values
        .into_iter()
        .flat_map(|value| match value {
            Value::Array(rows) => rows,
            Value::Object(mut members) if !members.keys().any(is_feature) => match members.remove("rows") {
                Some(Value::Array(rows)) => rows,
                _ => vec![Value::Object(members)],
            },
            row => vec![row],
        })
        .collect();
    assert_eq!(decoded.rows(), rows.len());
    for (number, row) in rows.iter().enumerate() {
        let key = decoded.key(number);
        match &row["id"] {
            Value::Null => assert_eq!(key, None),
            Value::String(text) => assert_eq!(key.unwrap_or_default(), text),
            // As it is written, so it reads as the same value.
            other => assert_eq!(serde_json::from_str(key.expect("a key")).ok().as_ref(), Some(other)),
        }
    }
}

/// An object with `columns` and `data`, or with arrays of values by column.
fn envelope(decoder: &RequestDecoder, body: &[u8]) {
    let Ok(members) = json_members(body) else { return };
    let member = |name| members.iter().find(|(member, _)| member == name).map(|(_, value)| *value);
    if let (Some(columns), Some(data)) = (member("columns"), member("data")) {
        return check(decoder.json_split(columns, data));
    }
    let rows = members.iter().find_map(|(_, values)| json_elements(values.as_bytes()).ok()).map_or(0, |it| it.len());
    for is_tensor in [false, true] {
        let column = |(name, values)| JsonColumn { name, values, is_tensor };
        let columns: Vec<JsonColumn<'_>> =
            members.iter().map(|(name, values)| column((name.as_str(), *values))).collect();
        check(decoder.json_columns(rows, &columns));
    }
}

fn check(result: Result<DecodedRequest, RequestFault>) {
    match result {
        Ok(decoded) => {
            assert!(decoded.rows() <= MAX_ROWS);
            assert_eq!(decoded.batch.num_columns(), 6);
            assert!(decoded.batch.get_array_memory_size() <= 4 * MAX_BYTES);
            assert!((0..=decoded.rows()).all(|row| decoded.key(row) != Some("")));
            for (place, texts) in decoded.kept.iter().enumerate() {
                assert!(texts.is_empty() || texts.len() == decoded.rows(), "{place}");
            }
        }
        Err(RequestFault::Rows { errors, is_cut }) => {
            assert!((1..=MAX_ERRORS).contains(&errors.len()) && (!is_cut || errors.len() == MAX_ERRORS));
            assert!(errors.is_sorted_by_key(|error| error.row));
            errors.iter().for_each(|error| assert_can_be_shown(&error.message));
        }
        Err(RequestFault::Host(message)) => panic!("{message}"),
        Err(fault) => assert_can_be_shown(&fault.to_string()),
    }
}

fn assert_can_be_shown(message: &str) {
    assert!(!message.is_empty() && message.len() < 8 << 10 && !message.contains(char::is_control), "{message:?}");
}
