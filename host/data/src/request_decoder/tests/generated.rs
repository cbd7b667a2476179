//! Generated requests: every form against a plain decoder.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::request::{decode_csv, decode_json};
use crate::signature::Strictness;

/// Values as they are written in JSON.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "2",
    "34",
    "1.0",
    "0.1",
    "-1.5e3",
    "1E5",
    "1e309",
    "1e-400",
    "2.9999999999999999999",
    "9007199254740993",
    "9007199254740993.0",
    "123456789012345678901234567890",
    "18446744073709551615",
    "-9223372036854775808",
    "-999",
    "-999.0",
    "-9.99e2",
    "\"-999\"",
    "\"-999.0\"",
    "\"\"",
    "\" \"",
    "\"  \"",
    "\"Yes\"",
    "\"no\"",
    "\"T\"",
    "\" 7 \"",
    "\"1,5\"",
    "\"NaN\"",
    "\"nan\"",
    "\"-Infinity\"",
    "\"2024-01-06\"",
    "\"2024-01-06T23:10:00+01:00\"",
    "\"2016-12-31T23:59:60Z\"",
    "\"Month-to-month\"",
    "\"One year\"",
    "\"caf\\u00e9\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"a\\\"b\\\\c\\/\\n\"",
    "\"\u{feff}x\"",
    "\"`\\u001b[2J\"",
    "[1, 2.50]",
    "[]",
    "{ \"b\": 1, \"a\": [null, \"\\u0061\"] }",
    "[1e999]",
    "{}",
];

/// Names as they are written in JSON: of features, of others, in two spellings, of nobody.
const NAMES: &[&str] = &[
    "tenure",
    "te\\u006eure",
    "charges",
    "contract",
    "note é",
    "note \\u00e9",
    "paperless",
    "since",
    "id",
    "churn",
    "nobody",
    "",
    "no\\\"body",
    "\\ud800",
];

const FEATURES: [&str; 6] = ["tenure", "charges", "contract", "note é", "paperless", "since"];

/// Values that fit their features, so that not every row is refused.
const FITTING: [&[&str]; 6] = [
    &["1", "34", "\"7\"", "1.0", "1e3"],
    &["null", "29.85", "\" \"", "56", "\"-1.5e-3\"", "\"inf\"", "-999"],
    &["\"Monthly\"", "\"One year\"", "5", "true", "0.5", "[1]"],
    &["\"\"", "\"caf\\u00e9\"", "{\"a\": 1}", "null", "1e2"],
    &["true", "\"NO\"", "0", "null", "\"t\""],
    &["\"2024-01-06\"", "\"2024-01-06 10:00:00.5\"", "null"],
];

type Row = Vec<(&'static str, &'static str)>;

/// A row whose members mostly fit, in any order, with some that do not, come twice or are unknown.
fn row() -> impl Strategy<Value = Row> {
    let fitting: Vec<_> = FEATURES
        .iter()
        .zip(FITTING)
        .map(|(name, values)| (Just(*name), prop_oneof![12 => select(values), 1 => select(VALUES)]))
        .collect();
    let extra = prop::collection::vec((select(NAMES), select(VALUES)), 0..3);
    let dropped = prop_oneof![9 => Just(None), 1 => (0..FEATURES.len()).prop_map(Some)];
    (fitting, extra, dropped, any::<bool>()).prop_flat_map(|(mut members, extra, dropped, shuffled)| {
        members.extend(extra);
        dropped.map(|place| members.remove(place));
        if shuffled { Just(members).prop_shuffle().boxed() } else { Just(members).boxed() }
    })
}

fn object(row: &Row, space: &str) -> String {
    let members: Vec<String> = row.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}")).collect();
    format!("{{{space}{}{space}}}", members.join(","))
}

/// Returns the members of a row; `None` if a name is no text.
fn members(row: &Row) -> Option<HashMap<String, &'static str>> {
    let name = |name: &str| serde_json::from_str(&format!("\"{name}\"")).ok();
    row.iter().map(|(written, value)| Some((name(written)?, *value))).collect()
}

/// Returns a message without the place within a nested value.
fn without_place(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or_default()
}

fn all_faults() -> RequestOptions {
    RequestOptions { max_errors: 10_000, ..RequestOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    // invariant: A request decodes as a plain decoder decodes its rows, whatever its form.
    #[test]
    fn requests_decode_as_by_a_plain_decoder(
        rows in prop::collection::vec(row(), 0..5),
        space in select(&["", " ", "\n\t\r "][..]),
        form in 0..4,
    ) {
        let objects: Vec<String> = rows.iter().map(|row| object(row, space)).collect();
        let list = format!("[{space}{}{space}]", objects.join(","));
        let text = match form {
            0 => list.clone(),
            1 => objects.join(space) + "[]",
            2 => format!("\u{feff}{list}"),
            _ => format!("{{\"params\":{{}},{space}\"rows\":{list}}}"),
        };
        let expected = reference::decode(&list, &signature());
        let found = decoder(all_faults()).json(text.as_bytes());
        let old = decode_json(text.as_bytes(), &signature(), Strictness::Predict);
        match expected {
            Ok(batch) => {
                prop_assert_eq!(&found.unwrap().batch, &batch);
                prop_assert_eq!(&old.unwrap(), &batch);
            }
            Err(expected) => {
                let expected = expected.as_fault().unwrap();
                let old = old.unwrap_err();
                let old = old.as_fault().unwrap();
                prop_assert_eq!(old.row, expected.row, "{}", &text);
                prop_assert_eq!(without_place(&old.message), without_place(&expected.message), "{}", &text);
                if let Some(rows) = rows.iter().map(members).collect::<Option<Vec<_>>>() {
                    let short = |faults: Vec<(usize, Option<String>, String)>| -> Vec<_> {
                        faults.into_iter().map(|(row, field, text)| (row, field, without_place(&text).to_owned())).collect()
                    };
                    let expected = short(reference::faults(&rows, &signature()));
                    prop_assert_eq!(short(told(found)), expected, "{}", &text);
                } else {
                    let has_faults = matches!(found, Err(RequestFault::Rows { .. }));
                    prop_assert!(has_faults);
                }
            }
        }
    }

    #[test]
    fn rows_by_column_and_apart_from_their_names_are_the_same_rows(
        rows in prop::collection::vec([0, 1, 2, 3, 4, 5].map(|column| {
            prop_oneof![12 => select(FITTING[column]), 1 => select(VALUES)]
        }), 0..6),
        first in 0..6_usize,
        is_tensor: bool,
    ) {
        let objects: Vec<String> = rows.iter().map(|row| object(&FEATURES.into_iter().zip(*row).collect(), "")).collect();
        let expected = decoder(all_faults()).json(format!("[{}]", objects.join(",")).as_bytes());
        let order: Vec<usize> = (0..6).map(|column| (column + first) % 6).collect();
        let names = serde_json::to_string(&order.iter().map(|column| FEATURES[*column]).collect::<Vec<_>>()).unwrap();
        let lines: Vec<String> = rows.iter()
            .map(|row| format!("[{}]", order.iter().map(|column| row[*column]).collect::<Vec<_>>().join(", ")))
            .collect();
        let split = decoder(all_faults()).json_split(&names, &format!("[{}]", lines.join(",")));
        let values: Vec<String> = (0..6).map(|column| {
            let column: Vec<String> = rows.iter().map(|row| if is_tensor { format!("[{}]", row[column]) } else { row[column].to_owned() }).collect();
            format!("[{}]", column.join(" ,"))
        }).collect();
        let columns: Vec<JsonColumn> = order.iter()
            .map(|column| JsonColumn { name: FEATURES[*column], values: &values[*column], is_tensor })
            .collect();
        let by_column = decoder(all_faults()).json_columns(rows.len(), &columns);
        // An array is a dimension of a tensor, and not a value.
        let has_arrays = rows.iter().flatten().any(|value| value.starts_with('['));
        let others = if is_tensor && has_arrays { vec![split] } else { vec![split, by_column] };
        for other in others {
            match (&expected, other) {
                (Ok(expected), other) => prop_assert_eq!(&expected.batch, &other.unwrap().batch),
                (Err(RequestFault::Rows { errors, .. }), Err(RequestFault::Rows { errors: found, .. })) => {
                    prop_assert_eq!(errors, &found);
                }
                (_, other) => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn csv_decodes_as_a_source_does(rows in prop::collection::vec(prop::collection::vec(select(VALUES), 6), 0..5)) {
        let text = |value: &&str| serde_json::from_str::<String>(value).unwrap_or_else(|_| (*value).to_owned());
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["since", "tenure", "contract", "charges", "note é", "paperless"]).unwrap();
        for row in &rows {
            writer.write_record(row.iter().map(text)).unwrap();
        }
        let csv = writer.into_inner().unwrap();
        let found = decoder(all_faults()).csv(&csv);
        match decode_csv(&csv[..], b',', &signature(), Strictness::Predict) {
            Ok(batch) => prop_assert_eq!(found.unwrap().batch, batch),
            Err(error) => {
                let (fault, found) = (error.as_fault().unwrap(), told(found));
                prop_assert_eq!(found[0].0 as u64, fault.row.unwrap());
                prop_assert_eq!(&found[0].1, &fault.column);
                let is_missing = fault.message.starts_with("the value is missing");
                prop_assert!(found[0].2 == fault.message || is_missing, "{:?}", found);
            }
        }
    }

    #[test]
    fn any_bytes_are_rows_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let decoder = decoder(RequestOptions { key: Some("id".to_owned()), ..all_faults() });
        let results = [decoder.json(&bytes), decoder.csv(&bytes), decoder.arrow_stream(&bytes)];
        for decoded in results.into_iter().flatten() {
            prop_assert_eq!(decoded.batch.num_columns(), 6);
        }
    }
}
