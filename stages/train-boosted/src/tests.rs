//! The stage on tables in memory.

use stagewright_kit::{BinaryClasses, Column, DataType, Field, MemoryTable, Role};

use super::*;

fn binary() -> Task {
    Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() })
}

/// Noise, a column with nulls that decides the target of nine tenths of the rows, and the target;
/// in batches of `size` rows, from row `first` on.
fn table(first: usize, rows: usize, size: usize) -> MemoryTable {
    let fields = [
        (Field::required("noise", DataType::Float64), Role::Feature),
        (Field::nullable("months", DataType::Int64), Role::Feature),
        (Field::required("left", DataType::Int64), Role::Target),
    ];
    let batch = |start: usize| {
        let range = start..(first + rows).min(start + size);
        let months = Column::from(range.clone().map(|row| (row * 37 % 72) as i64).collect::<Vec<_>>());
        let left = |row: usize| (row * 37 % 72 < 20 && !row.is_multiple_of(11)) != (row * 31).is_multiple_of(10);
        let columns = vec![
            range.clone().map(|row| (row * 53 % 997) as f64).collect::<Vec<_>>().into(),
            months.with_validity(range.clone().map(|row| !row.is_multiple_of(11))),
            range.clone().map(|row| i64::from(left(row))).collect::<Vec<_>>().into(),
        ];
        Batch::new(range.len() as u32, columns)
    };
    MemoryTable::new(fields, (first..first + rows).step_by(size).map(batch).collect())
}

fn train(
    table: &dyn Table,
    validation: Option<&dyn Table>,
    task: &Task,
    parameters: Parameters,
) -> Result<Vec<u8>, Failure> {
    let mut model = BlobWriter::new();
    TrainBoosted::train(table, validation, task, &Settings { parameters, seed: 7, as_of: 0 }, &mut model)?;
    Ok(model.into_bytes())
}

fn load(bytes: &Vec<u8>) -> TrainBoosted {
    TrainBoosted::load(&mut BlobReader::new(bytes), &[]).unwrap()
}

#[test]
fn a_trained_model_predicts_its_rows_and_names_what_mattered() {
    for growth in [Growth::DepthWise, Growth::LeafWise] {
        let bytes =
            train(&table(0, 2_000, 700), None, &binary(), Parameters { growth, ..Parameters::default() }).unwrap();
        let model = load(&bytes);
        let months = Column::from(vec![5i64, 60, 0]).with_validity([true, true, false]);
        let scores = model.predict(Batch::new(3, vec![vec![1.0, 2.0, 3.0].into(), months])).unwrap();
        assert!(scores[0] > 0.7 && scores[1] < 0.3 && scores[2] < 0.3, "{scores:?}");
        let importance = model.importance();
        assert!(importance.len() == 2 && importance[1] > importance[0], "{importance:?}");
        assert_eq!(model.outputs(), [Output::Probability(1)]);
    }
}

#[test]
fn the_model_does_not_depend_on_how_rows_are_batched() {
    let fit =
        |size| train(&table(0, 500, size), Some(&table(500, 200, size)), &binary(), Parameters::default()).unwrap();
    assert_eq!(fit(500), fit(37));
}

#[test]
fn a_validation_table_stops_the_training_early() {
    let parameters = || Parameters { learning_rate: 0.5, max_depth: Some(8), ..Parameters::default() };
    let (rows, held_out) = (table(0, 400, 400), table(400, 400, 400));
    let stopped = train(&rows, Some(&held_out), &binary(), parameters()).unwrap();
    let full = train(&rows, None, &binary(), parameters()).unwrap();
    assert!(stopped.len() * 2 < full.len(), "{} of {} bytes", stopped.len(), full.len());
}

#[test]
fn a_regression_predicts_values() {
    let fields = [
        (Field::required("x", DataType::Float64), Role::Feature),
        (Field::required("y", DataType::Float64), Role::Target),
    ];
    let x: Vec<f64> = (0..500).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|x| if *x < 250.0 { -3.0 } else { 5.0 }).collect();
    let rows = MemoryTable::new(fields, vec![Batch::new(500, vec![x.into(), y.into()])]);
    let model = load(&train(&rows, None, &Task::Regression, Parameters::default()).unwrap());
    assert_eq!(model.outputs(), [Output::Value]);
    let values = model.predict(Batch::new(2, vec![vec![10.0, 400.0].into()])).unwrap();
    assert!((values[0] + 3.0).abs() < 0.1 && (values[1] - 5.0).abs() < 0.1, "{values:?}");
}

#[test]
fn several_classes_are_refused_by_name_of_the_task() {
    let task = Task::MultiClass(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    let error = train(&table(0, 10, 10), None, &task, Parameters::default()).unwrap_err();
    assert!(matches!(error, Failure::Parameter(fault) if fault.parameter == "task"));
}

#[test]
fn depth_wise_growth_without_a_limit_is_a_parameter_failure() {
    let error =
        train(&table(0, 50, 50), None, &binary(), Parameters { max_depth: None, ..Parameters::default() }).unwrap_err();
    assert!(matches!(error, Failure::Parameter(fault) if fault.parameter == "max_depth"));
}

#[test]
fn a_forest_is_not_loaded_as_a_boosted_model() {
    let bytes = b"SWTREES\0\x01\0\x02\0".to_vec();
    assert!(matches!(TrainBoosted::load(&mut BlobReader::new(&bytes), &[]), Err(Failure::Internal(_))));
}
