#![no_main]
//! Arbitrary bytes as the body of a request. The first byte says which form it has. The result is
//! rows of all features, within the limits, or faults that can be shown.

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stagewright_data::{
    DecodedRequest, JsonColumn, RequestDecoder, RequestFault, RequestOptions, RowError, Signature, Strictness,
    UnknownFields, decode_json, json_elements, json_members,
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
            check(result);
        }
        b'c' => check(decoder.csv(body)),
        b'a' => check(decoder.arrow_stream(body)),
        b's' => envelope(decoder, body),
        _ => {}
    }
});

/// Rows decode as in the input of `predict`, which has no limits on rows.
fn like_predict(body: &[u8], result: &Result<DecodedRequest, RequestFault>) {
    let predicted = || decode_json(body, &SIGNATURE, Strictness::Predict);
    match result {
        Ok(decoded) => assert_eq!(predicted().expect("no faults"), decoded.batch),
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
