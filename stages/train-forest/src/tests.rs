//! The stage on tables in memory.

use stagewright_kit::{BinaryClasses, Column, DataType, Field, MemoryTable, Role};

use super::*;

fn task() -> Task {
    Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() })
}

fn settings(parameters: Parameters) -> Settings<Parameters> {
    Settings { parameters, seed: 7, as_of: 0 }
}

/// Noise, a column with nulls that decides the target, and the target; in batches of `size` rows.
fn table(rows: usize, size: usize) -> MemoryTable {
    let fields = [
        (Field::required("noise", DataType::Float64), Role::Feature),
        (Field::nullable("months", DataType::Int64), Role::Feature),
        (Field::required("left", DataType::Int64), Role::Target),
    ];
    let batch = |start: usize| {
        let range = start..rows.min(start + size);
        let months = Column::from(range.clone().map(|row| (row * 37 % 72) as i64).collect::<Vec<_>>());
        let columns = vec![
            range.clone().map(|row| (row * 53 % 997) as f64).collect::<Vec<_>>().into(),
            months.with_validity(range.clone().map(|row| row % 11 != 0)),
            range.clone().map(|row| i64::from(row * 37 % 72 < 20 && row % 11 != 0)).collect::<Vec<_>>().into(),
        ];
        Batch::new(range.len() as u32, columns)
    };
    MemoryTable::new(fields, (0..rows).step_by(size).map(batch).collect())
}

fn train(table: &MemoryTable, parameters: Parameters) -> Result<Vec<u8>, Failure> {
    let mut model = BlobWriter::new();
    TrainForest::train(table, None, &task(), &settings(parameters), &mut model)?;
    Ok(model.into_bytes())
}

#[test]
fn a_trained_forest_predicts_its_rows_and_names_what_mattered() {
    let table = table(2_000, 700);
    let bytes = train(&table, Parameters::default()).unwrap();
    let model = TrainForest::load(&mut BlobReader::new(&bytes), &[]).unwrap();
    let rows = Batch::new(
        3,
        vec![vec![1.0, 2.0, 3.0].into(), Column::from(vec![5i64, 60, 0]).with_validity([true, true, false])],
    );
    let scores = model.predict(rows).unwrap();
    assert!(scores[0] > 0.8 && scores[1] < 0.2 && scores[2] < 0.2, "{scores:?}");
    let importance = model.importance();
    assert!(importance.len() == 2 && importance[1] > importance[0], "{importance:?}");
}

#[test]
fn shards_merge_to_the_bytes_of_the_whole_forest() {
    let table = table(600, 600);
    let parameters = Parameters { n_estimators: 110, ..Parameters::default() };
    let settings = settings(parameters.clone());
    let mut common = BlobWriter::new();
    let shards = TrainForest::plan_shards(&table, None, &task(), &settings, &mut common).unwrap();
    assert_eq!(shards, 2);
    let common = common.into_bytes();
    let part = |shard| {
        let mut part = BlobWriter::new();
        TrainForest::train_shard(&table, None, &task(), &settings, &common, (shard, shards), &mut part).unwrap();
        part.into_bytes()
    };
    let parts = [part(0), part(1)];
    let mut merged = BlobWriter::new();
    TrainForest::merge(&[&parts[0], &parts[1]], &settings, &common, &mut merged).unwrap();
    assert_eq!(merged.into_bytes(), train(&table, parameters).unwrap());
    assert!(TrainForest::merge(&[&parts[0]], &settings, &common, &mut BlobWriter::new()).is_err());
    assert!(TrainForest::merge(&[&parts[1], &parts[0]], &settings, &common, &mut BlobWriter::new()).is_err());
}

#[test]
fn every_tree_is_in_exactly_one_shard() {
    for (trees, shards) in [(200, 4), (110, 2), (7, 7), (1_000, 16)] {
        let ranges: Vec<_> = (0..shards).map(|shard| trees_of((shard, shards), trees).unwrap()).collect();
        let all: Vec<u32> = ranges.into_iter().flatten().collect();
        assert_eq!(all, (0..trees).collect::<Vec<_>>());
    }
    assert!(trees_of((4, 4), 200).is_err() && trees_of((0, 8), 7).is_err());
}

#[test]
fn the_model_does_not_depend_on_how_rows_are_batched() {
    let parameters = || Parameters { n_estimators: 5, ..Parameters::default() };
    assert_eq!(train(&table(500, 500), parameters()).unwrap(), train(&table(500, 37), parameters()).unwrap());
}

#[test]
fn max_features_can_be_a_name_a_number_or_a_share() {
    let parse = |json| stagewright_kit::parameters::parse::<Parameters>(json);
    let read = |json| parse(json).unwrap().check(0).unwrap().max_features;
    assert_eq!(read(r#"{"max_features": "log2"}"#), MaxFeatures::Logarithm);
    assert_eq!(read(r#"{"max_features": 3}"#), MaxFeatures::Number(3));
    assert_eq!(read(r#"{"max_features": 0.5}"#), MaxFeatures::Share(0.5));
    assert!(parse(r#"{"max_features": "most"}"#).is_err());
    assert!(
        matches!(parse(r#"{"max_features": 1.5}"#).unwrap().check(0), Err(Failure::Parameter(fault)) if fault.parameter == "max_features")
    );
}

#[test]
fn one_class_is_a_data_failure() {
    let mut one = table(10, 10);
    let fields = [
        (Field::required("x", DataType::Float64), Role::Feature),
        (Field::required("y", DataType::Int64), Role::Target),
    ];
    one.clone_from(&MemoryTable::new(fields, vec![Batch::new(2, vec![vec![0.0, 1.0].into(), vec![1i64, 1].into()])]));
    let Failure::Data(fault) = train(&one, Parameters::default()).unwrap_err() else { panic!("not the data's") };
    assert!(fault.message.contains("class 1"), "{}", fault.message);
}

#[test]
fn a_text_feature_is_a_data_failure_that_names_it() {
    let fields = [
        (Field::required("plan", DataType::Utf8), Role::Feature),
        (Field::required("y", DataType::Int64), Role::Target),
    ];
    let batch = Batch::new(2, vec![Column::utf8([Some("a"), Some("b")]), vec![0i64, 1].into()]);
    let Failure::Data(fault) = train(&MemoryTable::new(fields, vec![batch]), Parameters::default()).unwrap_err() else {
        panic!("not the data's")
    };
    assert_eq!(fault.column.as_deref(), Some("plan"));
}

#[test]
fn a_damaged_model_is_refused() {
    let mut bytes = train(&table(100, 100), Parameters::default()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(matches!(TrainForest::load(&mut BlobReader::new(&bytes), &[]), Err(Failure::Internal(_))));
}
