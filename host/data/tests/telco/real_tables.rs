//! The Telco customer churn table, which most first runs read.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use arrow_array::Array;
use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use rusqlite::Connection;
use stagewright_data::{
    DataError, InferenceOptions, Interrupt, Partition, Signature, Source, SplitMethod, SplitPlan, Strictness, Task,
    TaskKind, decode_csv, infer, open,
};
use stagewright_store::{DataType, Role};

fn telco() -> PathBuf {
    let folder = std::env::var("STAGEWRIGHT_TEST_DATA").expect("STAGEWRIGHT_TEST_DATA names the folder of test data");
    PathBuf::from(folder).join("telco_churn.csv")
}

fn source(uri: &str) -> Source {
    Source::new(uri.parse().unwrap())
}

fn telco_csv() -> Source {
    source(&format!("csv:{}", telco().display()))
}

fn signature() -> Signature {
    let options = InferenceOptions { target: Some("Churn".to_owned()), ..InferenceOptions::default() };
    infer(&telco_csv(), &options, &Interrupt::never()).unwrap().signature
}

fn read(source: &Source, signature: &Signature) -> RecordBatch {
    let mut cursor = open(source, signature, Strictness::Ingest, &Interrupt::never()).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = cursor.next(usize::MAX).unwrap() {
        batches.push(batch);
    }
    concat_batches(&cursor.schema().to_arrow(), &batches).unwrap()
}

#[test]
#[ignore = "needs STAGEWRIGHT_TEST_DATA"]
fn the_telco_table_is_described_as_a_person_would() {
    let signature = signature();
    let of = |name: &str| signature.fields.field(name).unwrap().clone();
    assert_eq!(signature.fields.len(), 21);
    assert_eq!((of("customerID").data_type, of("customerID").role), (DataType::Utf8, Role::Identifier));
    assert_eq!((of("Churn").data_type, of("Churn").role), (DataType::Categorical, Role::Target));
    assert_eq!(of("SeniorCitizen").data_type, DataType::Int64);
    assert_eq!(of("tenure").data_type, DataType::Int64);
    assert_eq!((of("TotalCharges").data_type, of("TotalCharges").nullable), (DataType::Float64, true));
    let nullable = signature.fields.fields().iter().filter(|field| field.nullable).count();
    assert_eq!(nullable, 1);
}

#[test]
#[ignore = "needs STAGEWRIGHT_TEST_DATA"]
fn the_telco_table_is_the_same_from_csv_and_from_sqlite() {
    let signature = signature();
    let from_csv = read(&telco_csv(), &signature);
    assert_eq!(from_csv.num_rows(), 7043);
    let nulls: Vec<usize> = from_csv.columns().iter().map(|column| column.null_count()).collect();
    assert_eq!(nulls.iter().sum::<usize>(), 11);
    assert_eq!(nulls[signature.fields.index_of("TotalCharges").unwrap()], 11);

    let folder = tempfile::tempdir().unwrap();
    for types in ["TEXT", "affinity"] {
        let path = folder.path().join(format!("{types}.db"));
        load_into_sqlite(&path, &signature, types == "affinity");
        let from_sqlite = read(&source(&format!("sqlite:{}#customers", path.display())), &signature);
        assert_eq!(from_csv, from_sqlite, "{types}");
    }
}

/// Loads the table as `.import` or pandas do: text columns, or numbers where the column is numeric
/// (a blank stays text).
fn load_into_sqlite(path: &std::path::Path, signature: &Signature, has_affinity: bool) {
    let mut connection = Connection::open(path).unwrap();
    let mut columns = String::new();
    for field in signature.fields.fields() {
        let affinity = match field.data_type {
            DataType::Int64 if has_affinity => "INTEGER",
            DataType::Float64 if has_affinity => "REAL",
            _ => "TEXT",
        };
        write!(columns, "{}\"{}\" {affinity}", if columns.is_empty() { "" } else { ", " }, field.name).unwrap();
    }
    connection.execute_batch(&format!("CREATE TABLE customers ({columns})")).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut reader = csv::Reader::from_path(telco()).unwrap();
    let marks = vec!["?"; signature.fields.len()].join(", ");
    for record in reader.records() {
        let values = rusqlite::params_from_iter(record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
        transaction.execute(&format!("INSERT INTO customers VALUES ({marks})"), values).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
#[ignore = "needs STAGEWRIGHT_TEST_DATA"]
fn the_telco_table_splits_exactly_and_its_positive_class_is_churn() {
    let signature = signature();
    let table = read(&telco_csv(), &signature);
    let plan = SplitPlan { method: SplitMethod::Stratified, test: 0.2, validation: 0.0, seed: 42 };
    let split = plan.split(&signature.fields, [Ok::<_, DataError>(table.clone())]).unwrap();
    assert_eq!(split.count(Partition::Test), 1409);
    let target = table.column(signature.fields.index_of("Churn").unwrap());
    let kind = TaskKind::Binary { positive: "Yes".to_owned() };
    let task = kind.with_classes("Churn", [Ok::<_, DataError>(target.clone())]).unwrap();
    assert_eq!(task, Task::Binary { negative: "No".to_owned(), positive: "Yes".to_owned() });
    let encoded = task.encode("Churn", target, 0).unwrap();
    let churned: i64 =
        arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(&encoded).values().iter().sum();
    assert_eq!(churned, 1869);
    let tested = split.indices(Partition::Test);
    let values = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(&encoded);
    let churned_tested: i64 = tested.iter().map(|&row| values.value(usize::try_from(row).unwrap())).sum();
    assert_eq!(churned_tested, 374, "0.2 of 1869 is 373.8");
}

/// A measurement: run it with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "needs STAGEWRIGHT_TEST_DATA"]
fn decoding_speed_is_measured_and_above_a_floor() {
    let signature = signature();
    let text = std::fs::read(telco()).unwrap();
    let header = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut large = text[..header].to_vec();
    let copies = if cfg!(debug_assertions) { 1 } else { 40 };
    for _ in 0..copies {
        large.extend_from_slice(&text[header..]);
    }
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        let batch = decode_csv(&large[..], b',', &signature, Strictness::Ingest).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
        assert_eq!(batch.num_rows(), copies * 7043);
    }
    let speed = large.len() as f64 / best / 1e6;
    println!("decoded {:.1} MB at {speed:.0} MB/s", large.len() as f64 / 1e6);
    assert!(speed > 1.0, "{speed} MB/s: slower than an unoptimised build should be");
}
