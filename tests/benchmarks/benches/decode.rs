//! Measures how fast sources are decoded: the same customers as CSV and in SQLite, decoded in this
//! process and in a child process, as ingestion does. Run by `cargo xtask bench decode [--rows N]
//! [--repeat N]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_benchmarks::{Result, SetUp, interleaved, median, process_cpu, setting, tables, write_json};
use stagewright_data::{Decode, DecodeLimits, InProcess, Interrupt, Signature, Source, Strictness};
use stagewright_manifest::World;
use stagewright_runtime::{EngineOptions, StageProcess, Walls, decoder};
use stagewright_store::{Formulas, export_csv};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The program of the process that decodes.
const PROGRAM: &str = "stagewright-stage";

/// The rows of one call, as many as the ingestion stage asks for.
const ROWS_PER_CALL: usize = 65_536;

fn main() -> Result<()> {
    let rows = setting("STAGEWRIGHT_BENCH_ROWS", 100_000)?;
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 5)? as usize;
    let folder = tempfile::tempdir()?;
    let (csv, database) = (folder.path().join("customers.csv"), folder.path().join("customers.db"));
    let signature = write_csv(&csv, rows)?;
    tables::write_sqlite(&database, rows)?;
    let source = |uri: String| -> Result<Source> { Ok(Source::new(uri.parse()?)) };
    let from_csv = source(format!("csv:{}", csv.display()))?;
    let from_sqlite = source(format!("sqlite:{}#customers", database.display()))?;
    let program = std::env::var_os("STAGEWRIGHT_GUESTS").map(|guests| PathBuf::from(guests).with_file_name(PROGRAM));
    let program = program.ok_or("STAGEWRIGHT_GUESTS is not set: run `cargo xtask bench decode`")?;
    let apart = decoder(Some(&StageProcess { program, required: Walls::ALL }));
    let (mut csv_walls, mut sqlite_walls) = (Vec::new(), Vec::new());
    let (mut csv_apart_walls, mut sqlite_apart_walls) = (Vec::new(), Vec::new());
    let seconds = interleaved(
        &mut [
            &mut || read((&InProcess, false), &from_csv, &signature, rows, &mut csv_walls),
            &mut || read((&*apart, true), &from_csv, &signature, rows, &mut csv_apart_walls),
            &mut || read((&InProcess, false), &from_sqlite, &signature, rows, &mut sqlite_walls),
            &mut || read((&*apart, true), &from_sqlite, &signature, rows, &mut sqlite_apart_walls),
        ],
        rounds,
    )?;
    let mut result = json!({ "rows": rows, "rounds": rounds });
    println!("{rows} customers, decoded and checked, median of {rounds}:");
    let found = [
        ("csv", &csv, csv_walls),
        ("csv-apart", &csv, csv_apart_walls),
        ("sqlite", &database, sqlite_walls),
        ("sqlite-apart", &database, sqlite_apart_walls),
    ];
    for ((name, path, walls), seconds) in found.into_iter().zip(seconds) {
        let megabytes = std::fs::metadata(path)?.len() as f64 / 1e6;
        let (cpu, wall) = (megabytes / median(seconds.clone()), megabytes / median(walls));
        let rows_a_second = rows as f64 / median(seconds);
        println!(
            "  {name:<12} {cpu:>5.0} MB and {rows_a_second:>8.0} rows per second of CPU, {wall:>5.0} MB/s on the wall"
        );
        result[name] = json!({ "mb_per_cpu_s": cpu, "rows_per_cpu_s": rows_a_second, "mb_s": wall });
    }
    write_json(&result)
}

/// Reads a source from begin to end and adds the elapsed time to `walls`. Returns the CPU time of
/// this process and of the decoding process, if there is one.
fn read(
    (decoder, is_apart): (&dyn Decode, bool),
    source: &Source,
    signature: &Signature,
    rows: u64,
    walls: &mut Vec<f64>,
) -> Result<Duration> {
    let (start, used) = (Instant::now(), process_cpu());
    let apart = Arc::new(AtomicU64::new(0));
    let charged = apart.clone();
    let interrupt = Interrupt::never().charging(move |nanoseconds| {
        charged.fetch_add(nanoseconds, Ordering::Relaxed);
    });
    let mut cursor = decoder.open(source, signature, Strictness::Ingest, &DecodeLimits::until(interrupt))?;
    let mut found = 0;
    while let Some(batch) = cursor.next(ROWS_PER_CALL)? {
        found += batch.num_rows() as u64;
    }
    // Dropping the cursor ends its process, so that all of its time is counted.
    drop(cursor);
    walls.push(start.elapsed().as_secs_f64());
    if found != rows {
        return Err(format!("{found} rows of {rows}").into());
    }
    // The time of a reading thread belongs to this process; it is reported separately as well.
    let apart = if is_apart { apart.load(Ordering::Relaxed) } else { 0 };
    Ok(process_cpu() - used + Duration::from_nanos(apart))
}

/// Writes customers as CSV and returns their signature.
fn write_csv(path: &Path, rows: u64) -> Result<Signature> {
    let set_up = SetUp::new()?;
    let rig = set_up.rig(EngineOptions::default(), &[(World::Ingestion, "ingest-synthetic")])?;
    let table = tables::generated(&rig, rows)?;
    export_csv(&table, path, Formulas::Kept)?;
    Ok(Signature::new(table.schema().fields().to_vec())?.with_null_values(["", " "]))
}
