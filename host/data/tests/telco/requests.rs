//! Rows of the Telco table as requests: they decode as in training.

use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_select::concat::concat_batches;
use serde_json::Value;
use stagewright_data::{
    Interrupt, RequestDecoder, RequestOptions, Signature, Source, Strictness, UnknownFields, decode_json, open,
};
use stagewright_store::{DataType, Field, Role};

const ROWS: usize = 1_000;

/// The signature of `config/churn.toml`.
fn signature(names: &[&str]) -> Signature {
    let field = |name: &&str| match *name {
        "customerID" => Field::new(*name, DataType::Utf8).with_role(Role::Identifier),
        "Churn" => Field::new(*name, DataType::Utf8).with_role(Role::Target),
        "SeniorCitizen" | "tenure" => Field::new(*name, DataType::Int64),
        "MonthlyCharges" => Field::new(*name, DataType::Float64),
        "TotalCharges" => Field::new(*name, DataType::Float64).with_nullable(true),
        // Not of the configuration: so both types of text are compared.
        "Contract" => Field::new(*name, DataType::Categorical),
        _ => Field::new(*name, DataType::Utf8),
    };
    Signature::new(names.iter().map(field).collect()).unwrap().with_null_values(["", " "])
}

/// Returns a row as JSON: with numbers for numbers, or with texts as they stand in the file.
fn object(names: &[&str], cells: &[&str], typed: bool) -> String {
    let member = |(name, cell): (&&str, &&str)| match *name {
        "SeniorCitizen" | "tenure" | "MonthlyCharges" | "TotalCharges" if typed => {
            format!("\"{name}\": {}", if *cell == " " { "null" } else { cell })
        }
        _ => format!("\"{name}\": {}", Value::from(*cell)),
    };
    format!("{{{}}}", names.iter().zip(cells).map(member).collect::<Vec<_>>().join(", "))
}

// invariant: as `requests_decode_as_by_a_plain_decoder`
#[test]
#[ignore = "needs STAGEWRIGHT_TEST_DATA"]
fn requests_decode_as_training_does() {
    let folder = std::env::var("STAGEWRIGHT_TEST_DATA").expect("STAGEWRIGHT_TEST_DATA names the folder of test data");
    let path = PathBuf::from(folder).join("telco_churn.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().take(ROWS + 1).collect();
    let names: Vec<&str> = lines[0].split(',').collect();
    let rows: Vec<Vec<&str>> = lines[1..].iter().map(|line| line.split(',').collect()).collect();
    let signature = signature(&names);
    assert!(rows.iter().flatten().any(|cell| *cell == " "), "some customers have no TotalCharges");

    let source = Source::new(format!("csv:{}", path.display()).parse().unwrap());
    let mut cursor = open(&source, &signature, Strictness::Ingest, &Interrupt::never()).unwrap();
    let trained = cursor.next(ROWS).unwrap().unwrap();
    let features: Vec<usize> =
        (0..names.len()).filter(|column| !["customerID", "Churn"].contains(&names[*column])).collect();
    let expected = trained.project(&features).unwrap();
    let same = |batch: &RecordBatch| assert_eq!(batch.columns(), expected.columns());

    let options = RequestOptions {
        unknown_fields: UnknownFields::Refuse,
        key: Some("customerID".to_owned()),
        ..Default::default()
    };
    let decoder = RequestDecoder::new(&signature, options);
    for typed in [true, false] {
        let objects: Vec<String> = rows.iter().map(|cells| object(&names, cells, typed)).collect();
        let decoded = decoder.json(format!("[{}]", objects.join(",")).as_bytes()).unwrap();
        same(&decoded.batch);
        assert!((0..ROWS).all(|row| decoded.key(row) == Some(rows[row][0])));
        let one_by_one: Vec<RecordBatch> =
            objects.iter().map(|object| decoder.json(object.as_bytes()).unwrap().batch).collect();
        same(&concat_batches(&decoder.features().to_arrow(), &one_by_one).unwrap());
        let all = decode_json(objects.join("\n").as_bytes(), &signature, Strictness::Predict);
        same(&all.unwrap());
    }
    same(&decoder.csv((lines.join("\r\n") + "\r\n").as_bytes()).unwrap().batch);
    let mut writer = StreamWriter::try_new(Vec::new(), &trained.schema()).unwrap();
    [trained.slice(0, 10), trained.slice(10, ROWS - 10)].iter().for_each(|batch| writer.write(batch).unwrap());
    let decoded = decoder.arrow_stream(&writer.into_inner().unwrap()).unwrap();
    same(&decoded.batch);
    assert_eq!(decoded.key(999), Some(rows[999][0]));
}
