//! JSON lines as a source: the same values as in requests and CSV, or a fault with its line.

mod both;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use arrow_array::ArrayRef;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_select::concat::concat_batches;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::Value;
use stagewright_data::{
    DataError, Decode as _, DecodeLimits, ExtraColumns, InProcess, InferenceOptions, Interrupt, RowsInput, Signature,
    Source, Strictness, decode_json, infer, open,
};
use stagewright_store::{DataType, Field, Role};
use tempfile::TempDir;

fn signature() -> Signature {
    Signature::new(vec![
        Field::new("id", DataType::Utf8).with_role(Role::Identifier),
        Field::new("tenure", DataType::Int64),
        Field::new("charges", DataType::Float64).with_nullable(true),
        Field::new("paperless", DataType::Boolean).with_nullable(true),
        Field::new("contract", DataType::Categorical),
    ])
    .unwrap()
}

fn file(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn source(address: &str) -> Source {
    Source::new(address.parse().unwrap())
}

fn read(source: &Source, signature: &Signature) -> Result<RecordBatch, DataError> {
    let read = || {
        let mut cursor = open(source, signature, Strictness::Ingest, &Interrupt::never())?;
        let schema = cursor.schema().to_arrow();
        let mut batches = Vec::new();
        while let Some(batch) = cursor.next(1000)? {
            batches.push(batch);
        }
        Ok(concat_batches(&schema, &batches).unwrap())
    };
    both::alike(read(), source, signature)
}

fn read_text(text: &str, signature: &Signature) -> Result<RecordBatch, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "rows.jsonl", text.as_bytes());
    read(&source(&format!("jsonl:{}", path.display())), signature)
}

fn error(text: &str) -> String {
    read_text(text, &signature()).unwrap_err().to_string()
}

const ROWS: &str = "\u{feff}{\"tenure\": 1, \"id\": \"A\", \"charges\": 29.85, \"paperless\": true, \"contract\": \"Monthly\", \"more\": [1]}\r\n\n  {\"id\":\"B\",\"contract\":\"One\\u00e9\",\"tenure\":9007199254740993,\"charges\":null}  \n{\"id\":3,\"tenure\":\"4\",\"charges\":\"0.5\",\"paperless\":\"no\",\"contract\":[1, {\"a\": 2}]}";

#[test]
fn objects_are_rows_and_a_key_that_is_missing_is_null() {
    let batch = read_text(ROWS, &signature()).unwrap();
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(batch.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["A", "B", "3"]);
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values()[..], [1, 9_007_199_254_740_993, 4]);
    assert_eq!(
        batch.column(2).as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
        [Some(29.85), None, Some(0.5)]
    );
    assert_eq!(batch.column(3).as_boolean().iter().collect::<Vec<_>>(), [Some(true), None, Some(false)]);
    let contracts = arrow_cast::cast(batch.column(4), &arrow_schema::DataType::Utf8).unwrap();
    assert_eq!(contracts.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["Monthly", "Oneé", "[1,{\"a\":2}]"]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let first = "{\"id\":\"A\",\"tenure\":1,\"charges\":1,\"paperless\":true,\"contract\":\"x\"}\n";
    for (second, message) in [
        (
            "{\"id\":\"B\",\"tenure\":1.5}",
            "column `tenure`, data row 2 (line 3): `1.5` is not an int64: it has a fraction",
        ),
        ("{\"id\":\"B\",\"tenure\":2.9999999999999999999}", "`2.9999999999999999999` is not an int64"),
        ("{\"id\":\"B\",\"tenure\":[1]}", "column `tenure`, data row 2 (line 3): `[1]` is not an int64"),
        ("{\"id\":\"B\",\"tenure\":{\"a\":1}}", "is not an int64"),
        ("{\"id\":\"B\",\"id\":\"C\"}", "column `id`, data row 2 (line 3): the object has this key more than once"),
        ("{\"x\":1,\"x\":1}", "column `x`, data row 2 (line 3): the object has this key more than once"),
        (
            "[{\"id\":\"B\"}]",
            "is not an object\nhint: write the objects of the array one a line, e.g. `jq -c '.[]' FILE`",
        ),
        ("17", "data row 2 (line 3): `17` is not an object\nhint: "),
        ("{\"id\":\"B\"} {\"id\":\"C\"}", "more text follows the object\nhint: "),
        (
            "{\"id\":",
            "data row 2 (line 3): the line is not JSON: EOF while parsing a value at column 6\nhint: each line",
        ),
        ("{\"id\":nul}", "the line is not JSON: expected ident at column"),
        ("{\"id\":\"\\ud800\"}", "column `id`, data row 2 (line 3): the text is not JSON"),
    ] {
        let found = error(&format!("{first}\n{second}\n"));
        assert!(found.contains(message), "{second}: {found}");
    }
    assert!(error("").contains("no object has the key `id`, `tenure`"), "{}", error(""));
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "rows.jsonl", b"{\"id\":\"A\"}\n{\"id\":\"caf\xe9\"}\n");
    let found = read(&source(&format!("jsonl:{}", path.display())), &signature()).unwrap_err().to_string();
    assert!(found.contains("line 2: the text is not UTF-8\nhint: "), "{found}");
}

#[test]
fn a_key_that_no_object_has_is_misspelt() {
    let found = error("{\"id\":\"A\",\"tenur\":1}\n");
    assert!(
        found
            .contains("no object has the key `tenure`, `charges`, `paperless`, `contract`; the keys are `id`, `tenur`"),
        "{found}"
    );
}

#[test]
fn other_keys_are_ignored_or_an_error() {
    let strict = signature().with_extra_columns(ExtraColumns::Error);
    let found = read_text(ROWS, &strict).unwrap_err().to_string();
    assert!(found.starts_with("column `more`, data row 1 (line 1): the signature does not name this key"), "{found}");
}

#[test]
fn a_signature_is_proposed_from_the_keys_of_all_objects() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "rows.jsonl", ROWS.as_bytes());
    let source = source(&format!("jsonl:{}", path.display()));
    let proposed = infer(&source, &InferenceOptions::default(), &Interrupt::never()).unwrap();
    let names: Vec<&str> = proposed.signature.fields.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["tenure", "id", "charges", "paperless", "contract", "more"]);
    assert_eq!(proposed.rows, 3);
    let column = |name: &str| proposed.columns.iter().find(|column| column.field.name == name).unwrap();
    assert_eq!((column("tenure").field.data_type, column("more").nulls), (DataType::Int64, 2));
    let batch = read(&source, &proposed.signature).unwrap();
    assert_eq!(batch.num_rows(), 3);
}

#[test]
fn rows_to_predict_may_lack_keys_that_may_be_null() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "{\"tenure\":1,\"charges\":2,\"paperless\":true,\"contract\":\"x\",\"k\":\"kept\"}\n{\"tenure\":2,\"contract\":\"y\"}\n";
    let path = file(&folder, "rows.jsonl", rows.as_bytes());
    let input = || RowsInput::Source(source(&format!("jsonl:{}", path.display())));
    let limits = DecodeLimits::until(Interrupt::never());
    let mut pieces = InProcess.open_rows(input(), &signature(), &["k".to_owned()], &limits).unwrap();
    let piece = pieces.next().unwrap().unwrap();
    assert_eq!((piece.batch.num_rows(), piece.kept.len()), (2, 1));
    file(
        &folder,
        "rows.jsonl",
        b"{\"tenure\":1,\"charges\":2,\"paperless\":true,\"contract\":\"x\"}\n{\"charges\":2,\"contract\":\"y\"}\n",
    );
    let mut pieces = InProcess.open_rows(input(), &signature(), &[], &limits).unwrap();
    let error = pieces.next().unwrap_err().to_string();
    assert!(error.contains("column `tenure`, data row 2 (line 2): the value is missing"), "{error}");
}

fn compressed(text: &[u8]) -> [(&'static str, Vec<u8>); 2] {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text).unwrap();
    [("gz", gzip.finish().unwrap()), ("zst", zstd::encode_all(text, 3).unwrap())]
}

#[test]
fn compressed_text_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let plain = read_text(ROWS, &signature()).unwrap();
    for (ending, bytes) in compressed(ROWS.as_bytes()) {
        let path = file(&folder, &format!("rows.jsonl.{ending}"), &bytes);
        let by_ending = source(&format!("jsonl:{}", path.display()));
        assert_eq!(read(&by_ending, &signature()).unwrap(), plain);
        let told = file(&folder, &format!("rows-{ending}"), &bytes);
        let kind = if ending == "gz" { "gzip" } else { "zstd" };
        let told = source(&format!("jsonl:{}?compression={kind}", told.display()));
        assert_eq!(read(&told, &signature()).unwrap(), plain);
        infer(&by_ending, &InferenceOptions::default(), &Interrupt::never()).unwrap();
        file(&folder, &format!("rows.jsonl.{ending}"), &bytes[..bytes.len() - 9]);
        let error = read(&by_ending, &signature()).unwrap_err().to_string();
        assert!(error.contains("it ends in the middle of its") && error.contains("\nhint: "), "{error}");
    }
}

// invariant: A compressed file that unpacks to a text of any length takes bounded memory and time.
#[test]
fn a_line_that_unpacks_to_more_than_the_longest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (ending, bytes) in compressed(&vec![b' '; 100 << 20]) {
        assert!(bytes.len() < 1 << 20);
        let path = file(&folder, &format!("rows.jsonl.{ending}"), &bytes);
        let error = read(&source(&format!("jsonl:{}", path.display())), &signature()).unwrap_err().to_string();
        assert!(error.contains("line 1: the line is longer than 64 MiB"), "{error}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::collection::vec(any::<i32>().prop_map(Value::from), 0..3).prop_map(Value::from),
    ]
}

proptest! {
    // invariant: as `json_and_csv_give_the_same_batch`
    #[test]
    fn lines_are_read_as_a_request_of_the_same_objects(rows in prop::collection::vec((value(), value()), 1..12)) {
        let fields = vec![
            Field::new("a", DataType::Utf8).with_nullable(true),
            Field::new("b", DataType::Categorical).with_nullable(true),
        ];
        let signature = Signature::new(fields).unwrap();
        let lines: Vec<String> =
            rows.iter().map(|(a, b)| serde_json::json!({"b": b, "a": a}).to_string()).collect();
        let expected = decode_json(lines.join(" ").as_bytes(), &signature, Strictness::Ingest).unwrap();
        let found = read_text(&lines.join("\n"), &signature).unwrap();
        let as_text = |array: &ArrayRef| arrow_cast::cast(array, &arrow_schema::DataType::Utf8).unwrap();
        for (found, expected) in found.columns().iter().zip(expected.columns()) {
            prop_assert_eq!(&as_text(found), &as_text(expected));
        }
    }

    #[test]
    fn numbers_are_those_of_csv(number in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
        let folder = tempfile::tempdir().unwrap();
        for data_type in [DataType::Int64, DataType::Float64] {
            let signature = Signature::new(vec![Field::new("x", data_type)]).unwrap();
            let csv = file(&folder, "x.csv", format!("x\n{number}\n").as_bytes());
            let csv = read(&source(&format!("csv:{}", csv.display())), &signature);
            let json = read_text(&format!("{{\"x\":{number}}}\n"), &signature);
            match (csv, json) {
                (Ok(csv), Ok(json)) => prop_assert_eq!(csv, json),
                (Err(csv), Err(json)) => prop_assert_eq!(csv.to_string().replace("line 2", "line 1"), json.to_string()),
                // A negative zero of JSON is no integer, as in requests.
                (csv, json) => prop_assert!(false, "{:?} and {:?}", csv, json),
            }
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}:,\"\\\\ab1.e+ \n-]{0,60}") {
        let signature = Signature::new(vec![Field::new("a", DataType::Utf8).with_nullable(true)]).unwrap();
        let _ = read_text(&text, &signature);
    }
}
