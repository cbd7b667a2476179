//! Prints the native time of each part on synthetic customers:
//! `cargo run --release -p transform-table --example timings -- 100000`.

use std::time::Instant;

use stagewright_kit::{
    Batch, BinaryClasses, BlobReader, BlobWriter, Column, DataType, Failure, Field, MemoryTable, Rebalancing as _,
    Role, Settings, Table, Task, Transformation, parameters,
};
use transform_table::Features;

const CHUNK: u64 = 16_384;

fn main() -> Result<(), Failure> {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(100_000);
    let settings = Settings { parameters: parameters::parse(r#"{"smote": {}}"#)?, seed: 42, as_of: 0 };
    let task = Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() });
    let table = customers(rows);

    let begin = Instant::now();
    let mut state = BlobWriter::new();
    Features::fit(&table, &task, &settings, &mut state)?;
    let state = state.into_bytes();
    println!("fit {:?}, state of {} bytes", begin.elapsed(), state.len());

    let features = Features::load(&mut BlobReader::new(&state), &[])?;
    let place: Vec<u32> = (0..table.fields().len() as u32 - 1).collect();
    let begin = Instant::now();
    let mut transformed = Vec::new();
    for batch in (&table as &dyn Table).batches(Some(&place)) {
        transformed.push(features.transform(batch?.1)?);
    }
    println!("transform {:?} to {} features", begin.elapsed(), features.fields().len());

    let target = place.len() as u32;
    for (batch, classes) in transformed.iter_mut().zip((&table as &dyn Table).batches(Some(&[target]))) {
        batch.columns.append(&mut classes?.1.columns);
    }
    let fields = features.fields().into_iter().map(|field| (field, Role::Feature));
    let train =
        MemoryTable::new(fields.chain([(Field::required("Churn", DataType::Int64), Role::Target)]), transformed);
    let begin = Instant::now();
    let rebalanced = Features::rebalance(&train, &task, &settings)?;
    println!("rebalance {:?} to {} rows", begin.elapsed(), rebalanced.map_or(rows, |table| table.rows()));
    Ok(())
}

/// Customers without identifiers, with the target as 0 and 1.
fn customers(rows: u64) -> MemoryTable {
    let mut fields = ingest_synthetic::fields();
    fields.remove(0);
    let roles = (0..fields.len()).map(|place| if place + 1 == 20 { Role::Target } else { Role::Feature });
    if let Some(last) = fields.last_mut() {
        last.data_type = DataType::Int64;
    }
    let batches = (0..rows).step_by(CHUNK as usize).map(|start| {
        let mut batch: Batch = ingest_synthetic::batch(42, start..rows.min(start + CHUNK), 0.0);
        batch.columns.remove(0);
        let churn = batch.columns.pop().map(|column| {
            (0..batch.len()).map(|row| i64::from(column.display(row).as_deref() == Some("Yes"))).collect::<Vec<_>>()
        });
        batch.columns.push(Column::from(churn.unwrap_or_default()));
        batch
    });
    MemoryTable::new(fields.into_iter().zip(roles).collect::<Vec<_>>(), batches.collect())
}
