//! CSV in dialects: what an address tells is read, by the types of the columns, and nothing else
//! is.

mod both;

use std::fs;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_select::concat::concat_batches;
use proptest::prelude::*;
use stagewright_data::{DataError, InferenceOptions, Interrupt, Signature, Source, Strictness, infer, open};
use stagewright_store::{DataType, Field};
use tempfile::TempDir;

fn signature() -> Signature {
    let field = |(name, data_type): (&str, DataType)| Field::new(name, data_type).with_nullable(true);
    let fields = [
        ("x", DataType::Float64),
        ("n", DataType::Int64),
        ("t", DataType::Utf8),
        ("d", DataType::Timestamp),
        ("b", DataType::Boolean),
    ];
    Signature::new(fields.map(field).to_vec()).unwrap().with_null_values(["", "-999"])
}

fn source(folder: &TempDir, text: &[u8], options: &str) -> Source {
    let path = folder.path().join("t.csv");
    fs::write(&path, text).unwrap();
    Source::new(format!("csv:{}{options}", path.display()).parse().unwrap())
}

fn read(text: impl AsRef<[u8]>, options: &str, signature: &Signature) -> Result<RecordBatch, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let source = source(&folder, text.as_ref(), options);
    let read = || {
        let mut cursor = open(&source, signature, Strictness::Ingest, &Interrupt::never())?;
        let schema = cursor.schema().to_arrow();
        let mut batches = Vec::new();
        while let Some(batch) = cursor.next(usize::MAX)? {
            batches.push(batch);
        }
        Ok(concat_batches(&schema, &batches).unwrap())
    };
    both::alike(read(), &source, signature)
}

const GERMAN: &str =
    "?delimiter=;&decimal=,&thousands=.&date-formats=%d.%m.%Y&true-words=ja&false-words=nein&null-words=k. A.";

#[test]
fn values_are_read_by_the_types_of_their_columns() {
    let text = "x;n;t;d;b\n1.234,5;1.000;1.234,5;31.12.2024;Ja\nk. A.;7;k. A.;2024-02-01;nein\n-0,25;-999,0;k.A.;;\n";
    let batch = read(text, GERMAN, &signature()).unwrap();
    assert_eq!(
        batch.column(0).as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
        [Some(1234.5), None, Some(-0.25)]
    );
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1000), Some(7), None]);
    assert_eq!(batch.column(2).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1.234,5"), None, Some("k.A.")]);
    let days: Vec<Option<i64>> = batch.column(3).as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(days, [Some(1_735_603_200_000_000), Some(1_706_745_600_000_000), None]);
    assert_eq!(batch.column(4).as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false), None]);
}

#[test]
fn a_number_in_another_style_is_a_fault() {
    for (cell, column) in
        [("1.5", "x"), ("1,5,", "x"), ("1.00", "n"), ("1,5", "n"), ("12.31.2024", "d"), ("vielleicht", "b")]
    {
        let row: Vec<&str> =
            ["x", "n", "t", "d", "b"].iter().map(|name| if *name == column { cell } else { "" }).collect();
        let text = format!("x;n;t;d;b\n1;1;1;;\n{}\n", row.join(";"));
        let error = read(text, GERMAN, &signature()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("column `{column}`, data row 2 (line 3): `{cell}` is not a")), "{error}");
    }
}

#[test]
fn quotes_comments_and_encodings_are_told() {
    let plain = read("x,n,t,d,b\n1,2,\"a, é\",,\n", "", &signature()).unwrap();
    let utf16: Vec<u8> = "\u{feff}x,n,t,d,b\n1,2,\"a, é\",,\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (text, options) in [
        (&b"# made by hand\nx,n,t,d,b\n#\n1,2,'a, \xc3\xa9',,\n"[..], "?quote='&comment=hash"),
        (b"x,n,t,d,b\n1,2,\"a, \xe9\",,\n", "?encoding=latin-1"),
        (b"x,n,t,d,b\n1,2,\"a, \xe9\",,\n", "?encoding=windows-1252&header=true"),
        (&utf16, ""),
        (&utf16, "?encoding=utf-16"),
        (&utf16[2..], "?encoding=utf-16le"),
    ] {
        assert_eq!(read(text, options, &signature()).unwrap(), plain, "{options}");
    }
    let error = read("x,n,t,d,b\n1,2,\"a,,\n", "?quote=none", &signature()).unwrap();
    assert_eq!(error.column(2).as_string::<i32>().value(0), "\"a");
    let error = read(&utf16[2..], "", &signature()).unwrap_err().to_string();
    assert!(error.contains("UTF-16LE") && error.contains("\nhint: "), "{error}");
}

#[test]
fn types_are_proposed_in_the_dialect() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "x;n;t;d;b;code\n".to_owned();
    for row in 1..40 {
        text += &format!(
            "{row}.000,5;{row}.000;1.{row};{row:02}.01.2024;{};0{row}\n",
            if row % 2 == 0 { "ja" } else { "nein" }
        );
    }
    text = text.replace("32.01.", "31.01.").replace("33.01.", "31.01.");
    let lines: Vec<&str> = text.lines().take(31).collect();
    let source = source(&folder, lines.join("\n").as_bytes(), GERMAN);
    let proposed = infer(&source, &InferenceOptions::default(), &Interrupt::never()).unwrap().signature;
    let types: Vec<DataType> = proposed.fields.fields().iter().map(|field| field.data_type).collect();
    assert_eq!(types[..2], [DataType::Float64, DataType::Int64]);
    assert_eq!(types[3..5], [DataType::Timestamp, DataType::Boolean]);
    assert!(![DataType::Float64, DataType::Int64].contains(&types[2]), "`1.5` is no number with a decimal comma");
    assert!(![DataType::Float64, DataType::Int64].contains(&types[5]), "a code keeps its zero");
    read(lines.join("\n"), GERMAN, &proposed).unwrap();
}

#[test]
fn an_address_tells_what_is_wrong_with_it() {
    for (options, part) in [
        ("?decimal=;", "is not a decimal mark"),
        ("?decimal=,&thousands=comma", "`decimal` and `thousands` are the same character"),
        ("?quote=,", "`delimiter` and `quote` are the same character"),
        ("?comment=x", "is not a mark"),
        ("?encoding=ebcdic", "is not an encoding: it is one of utf-8"),
        ("?date-formats=%Y", "does not tell a day"),
        ("?true-words=x&false-words=X", "a word is among"),
        ("?quote=''", "is not a mark"),
    ] {
        let error = format!("csv:t.csv{options}").parse::<stagewright_data::SourceUri>().unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("\nhint: "), "{error}");
    }
    let address =
        format!("csv:t.csv{}", GERMAN.replace("true-words=ja", "quote='&encoding=latin-1&comment=#&true-words=ja"));
    let uri: stagewright_data::SourceUri = address.parse().unwrap();
    assert_eq!(uri.to_string().parse::<stagewright_data::SourceUri>().unwrap(), uri);
}

proptest! {
    // invariant: A dialect changes how a table is written and no value of it.
    #[test]
    fn a_table_is_the_same_in_every_dialect(
        rows in prop::collection::vec((any::<i32>(), any::<i64>(), "[a-zé;,'\"# ]{0,8}"), 1..20),
        latin: bool,
    ) {
        let cell = |text: &str, quote: char| format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")));
        let (mut plain, mut other) = ("x,n,t,d,b\n".to_owned(), "# a dialect\nx;n;t;d;b\n".to_owned());
        for (number, whole, text) in &rows {
            let number = f64::from(*number) / 64.0;
            plain += &format!("{number},{whole},{},,\n", cell(text, '"'));
            other += &format!("{};{whole};{};;\n", number.to_string().replace('.', ","), cell(text, '\''));
        }
        let options = "?delimiter=;&decimal=,&quote='&comment=#";
        let expected = read(&plain, "", &signature()).unwrap();
        let found = if latin {
            let bytes: Vec<u8> = other.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
            read(bytes, &format!("{options}&encoding=latin-1"), &signature())
        } else {
            read(&other, options, &signature())
        };
        prop_assert_eq!(found.unwrap(), expected);
    }
}
