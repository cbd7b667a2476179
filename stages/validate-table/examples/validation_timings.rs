//! Prints the native time of a validation on synthetic customers:
//! `cargo run --release -p validate-table --example validation_timings -- 100000`.

use std::time::Instant;

use stagewright_kit::{Failure, MemoryTable, Role, Settings, Validation, parameters};
use validate_table::Checks;

fn main() -> Result<(), Failure> {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(100_000);
    let fields = ingest_synthetic::fields();
    let begin = Instant::now();
    let batches =
        (0..rows).step_by(16_384).map(|start| ingest_synthetic::batch(42, start..rows.min(start + 16_384), 0.0));
    let table = MemoryTable::new(fields.iter().map(|field| (field.clone(), Role::Feature)), batches.collect());
    println!("made up {rows} rows: {:?}", begin.elapsed());
    for json in [
        "{}",
        r#"{"unique": ["customerID"], "ranges": {"tenure": {"min": 0, "max": 72}}, "allowed": {"Churn": ["Yes", "No"]}}"#,
    ] {
        let settings = Settings { parameters: parameters::parse(json)?, seed: 0, as_of: 0 };
        let begin = Instant::now();
        let findings = Checks::validate(&table, &fields, &settings)?;
        println!("{} checks: {:?} with {json}", findings.checks.len(), begin.elapsed());
    }
    Ok(())
}
