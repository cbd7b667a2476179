//! Tests of the stage as the host calls it: fit, load, transform, rebalance.

mod features;
mod row_wise;
mod smote;

use stagewright_kit::{
    Batch, BinaryClasses, BlobReader, BlobWriter, Column, Failure, Field, MemoryTable, Role, Settings, Table, Task,
    Transformation, parameters,
};

use crate::Features;

fn settings(json: &str) -> Settings<crate::parameters::Parameters> {
    Settings { parameters: parameters::parse(json).expect("parameters"), seed: 42, as_of: 0 }
}

fn binary() -> Task {
    Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() })
}

/// A table of features.
fn table(columns: Vec<(&str, Column)>, rows: u32) -> MemoryTable {
    let fields = columns.iter().map(|(name, column)| (Field::nullable(*name, column.data_type()), Role::Feature));
    MemoryTable::new(
        fields.collect::<Vec<_>>(),
        vec![Batch::new(rows, columns.into_iter().map(|(_, column)| column).collect())],
    )
}

fn fit(train: &MemoryTable, json: &str) -> Result<Vec<u8>, Failure> {
    let mut state = BlobWriter::new();
    Features::fit(train, &binary(), &settings(json), &mut state)?;
    Ok(state.into_bytes())
}

fn load(state: &Vec<u8>) -> Features {
    Features::load(&mut BlobReader::new(state), &[]).expect("a state that `fit` wrote")
}

fn batch(table: &MemoryTable) -> Batch {
    table.read(0, u32::MAX, None).expect("readable")
}

/// Returns the features of `rows`, by name, after fitting to `train`.
fn features(train: &MemoryTable, json: &str, rows: &Batch) -> Result<Vec<(String, Vec<f64>)>, Failure> {
    let features = load(&fit(train, json)?);
    let names = features.fields().into_iter().map(|field| field.name);
    let columns = features.transform(rows.clone())?.columns;
    Ok(names.zip(columns).map(|(name, column)| (name, column.as_f64().expect("float64").to_vec())).collect())
}

fn parameter_at_fault(result: Result<Vec<u8>, Failure>) -> String {
    match result {
        Err(Failure::Parameter(fault)) => fault.parameter,
        other => panic!("{other:?}"),
    }
}
