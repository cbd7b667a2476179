//! Tables of generated customers as a pipeline has them after its split: without identifier, the
//! target encoded.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use rusqlite::types::{ToSqlOutput, ValueRef};
use stagewright_kit::{Column, Values};
use stagewright_lifecycle::sandbox::{StageRunner as _, View};
use stagewright_store::{DataType, Field, Role, Schema, Staging, Table};

use crate::rig::{NoSources, SEED, TARGET};
use crate::{Result, Rig};

/// The identifier column.
const IDENTIFIER: &str = "customerID";

/// Returns the batches of a view, one for each chunk of its table.
pub fn batches(view: &View) -> impl Iterator<Item = Result<RecordBatch>> {
    view.table.batches(Some(&view.columns)).map(|batch| Ok(batch?))
}

/// Runs `ingest-synthetic` in the sandbox and returns `rows` customers.
///
/// # Errors
///
/// The stage fails.
pub fn generated(rig: &Rig, rows: u64) -> Result<Table> {
    let context = rig.context("ingest-synthetic", &format!("{{\"rows\": {rows}}}"));
    Ok(rig.runtime.ingest(context, None, Arc::new(NoSources))?)
}

/// Returns generated customers without their identifier, with the target as 0 and 1.
///
/// # Errors
///
/// The stage or the store fails.
pub fn customers(rig: &Rig, staging: &Staging, rows: u64) -> Result<Table> {
    let view = View::of(generated(rig, rows)?, |field| field.name != IDENTIFIER);
    let target = view.schema.index_of(TARGET).ok_or("the customers have no target")?;
    let mut fields = view.schema.fields().to_vec();
    fields[target] = Field::new(TARGET, DataType::Int64).with_role(Role::Target).with_nullable(false);
    let schema = Schema::new(fields)?;
    let mut writer = staging.create_table(&schema)?;
    for batch in batches(&view) {
        let batch = batch?;
        let churned = batch.column(target).as_string::<i32>().iter().map(|value| i64::from(value == Some("Yes")));
        let mut columns = batch.columns().to_vec();
        columns[target] = Arc::new(Int64Array::from_iter_values(churned)) as ArrayRef;
        writer.write(&RecordBatch::try_new(schema.to_arrow(), columns)?)?;
    }
    Ok(writer.finish()?)
}

/// Appends the target to features, as training gets them.
///
/// # Errors
///
/// The store fails.
pub fn with_target(staging: &Staging, schema: &Schema, features: &[RecordBatch], target: &View) -> Result<Table> {
    let mut fields = schema.fields().to_vec();
    fields.push(Field::new(TARGET, DataType::Int64).with_role(Role::Target).with_nullable(false));
    let schema = Schema::new(fields)?;
    let mut writer = staging.create_table(&schema)?;
    let mut start = 0;
    for batch in features {
        let mut from = 0;
        while from < batch.num_rows() {
            let targets = target.table.read(start, batch.num_rows() - from, Some(&target.columns))?;
            let mut columns = batch.slice(from, targets.num_rows()).columns().to_vec();
            columns.push(targets.column(0).clone());
            writer.write(&RecordBatch::try_new(schema.to_arrow(), columns)?)?;
            from += targets.num_rows();
            start += targets.num_rows() as u64;
        }
    }
    Ok(writer.finish()?)
}

/// The number of rows that are generated and inserted at a time.
const ROWS_PER_BATCH: u64 = 16_384;

/// Writes `rows` customers to the table `customers` of a new SQLite file. Runs natively, because
/// benchmarks measure the reader.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_sqlite(path: &Path, rows: u64) -> Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    // No journal is needed: the caller renames the file when it is complete.
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let fields = ingest_synthetic::fields();
    let column = |field: &stagewright_kit::Field| {
        let kind = match field.data_type {
            stagewright_kit::DataType::Int64 => "INTEGER",
            stagewright_kit::DataType::Float64 => "REAL",
            _ => "TEXT",
        };
        format!("\"{}\" {kind}", field.name)
    };
    let columns: Vec<String> = fields.iter().map(column).collect();
    connection.execute_batch(&format!("CREATE TABLE customers ({})", columns.join(", ")))?;
    let transaction = connection.transaction()?;
    let places = vec!["?"; fields.len()].join(", ");
    let mut insert = transaction.prepare(&format!("INSERT INTO customers VALUES ({places})"))?;
    for start in (0..rows).step_by(ROWS_PER_BATCH as usize) {
        let batch = ingest_synthetic::batch(SEED, start..rows.min(start + ROWS_PER_BATCH), 0.0);
        for row in 0..batch.len() {
            for (place, column) in batch.columns.iter().enumerate() {
                insert.raw_bind_parameter(place + 1, value(column, row)?)?;
            }
            insert.raw_execute()?;
        }
    }
    drop(insert);
    Ok(transaction.commit()?)
}

fn value(column: &Column, row: usize) -> Result<ToSqlOutput<'_>> {
    if column.is_null(row) {
        return Ok(ToSqlOutput::Borrowed(ValueRef::Null));
    }
    Ok(match &column.values {
        Values::Int64(values) => values[row].into(),
        Values::Float64(values) => values[row].into(),
        Values::Utf8(strings) => {
            let text = &strings.bytes[strings.offsets[row] as usize..strings.offsets[row + 1] as usize];
            ToSqlOutput::Borrowed(ValueRef::Text(text))
        }
        _ => return Err("customers have numbers and texts only".into()),
    })
}
