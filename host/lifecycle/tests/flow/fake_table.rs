//! The table that fake stages ingest.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use stagewright_store::{DataType, Field, Role, Schema};

/// The number of rows that ingestion makes.
pub(crate) const ROWS: usize = 240;

/// Returns a number in [0, 1) that looks random.
fn noise(row: usize, column: u64) -> f64 {
    let mixed = (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(column * 0x517c_c1b7_2722_0a95);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 32)) % 10_000) as f64 / 10_000.0
}

/// Returns the region of a row: 120 rows are `north`, 100 are `south`, and 20 have the one that the
/// parameters name, or none.
fn region(row: usize, parameters: &serde_json::Value) -> Option<&str> {
    match row % 12 {
        0..6 => Some("north"),
        6..11 => Some("south"),
        _ => parameters["rest"].as_str(),
    }
}

fn is_yes(row: usize) -> bool {
    row.is_multiple_of(3)
}

/// Returns the value of a column: `x` predicts the outcome, `y` predicts it often, `z` never.
fn value(name: &str, row: usize) -> f64 {
    match (name, is_yes(row)) {
        ("x", true) => 0.6 + 0.4 * noise(row, 1),
        ("x", false) => 0.5 * noise(row, 1),
        ("y", true) => 0.3 + 0.5 * noise(row, 2),
        ("y", false) => 0.5 * noise(row, 2),
        _ => noise(row, 3),
    }
}

/// Returns the table, with the order and the columns that the parameters name.
pub(crate) fn rows(
    columns: &[String],
    roles: &HashMap<String, Role>,
    parameters: &serde_json::Value,
) -> (Schema, RecordBatch) {
    let moved = |row: usize| region(row, parameters).is_some_and(|region| parameters["moved"] == region);
    let column = |name: &String| -> ArrayRef {
        match name.as_str() {
            "id" => Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("row-{row}")))),
            "outcome" => {
                Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| if is_yes(row) { "yes" } else { "no" })))
            }
            "region" => Arc::new((0..ROWS).map(|row| region(row, parameters)).collect::<StringArray>()),
            "z" => Arc::new(Float64Array::from_iter_values(
                (0..ROWS).map(|row| value("z", row) + if moved(row) { 1.0 } else { 0.0 }),
            )),
            name => Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| value(name, row)))),
        }
    };
    let data_type = |name: &String| match name.as_str() {
        "id" | "outcome" | "region" => DataType::Utf8,
        _ => DataType::Float64,
    };
    let role = |name: &String| roles.get(name).copied().unwrap_or(Role::Feature);
    let field = |name: &String| Field::new(name, data_type(name)).with_nullable(name == "region").with_role(role(name));
    let schema = Schema::new(columns.iter().map(field).collect()).expect("columns of different names");
    let batch = RecordBatch::try_new(schema.to_arrow(), columns.iter().map(column).collect());
    (schema, batch.expect("columns of one length"))
}
