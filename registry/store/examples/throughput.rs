//! Measures how fast tables are checked, written and read: `cargo run --release -p
//! stagewright-store --example throughput`.
//!
//! Prints one line per measurement, the median of several passes: wall time, and CPU time of this
//! thread (on Linux, in ticks of the scheduler), which other programs disturb less.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use stagewright_store::{DataType, Field, Home, NewRun, RunStatus, Schema, StoreError, fsyncs, packed};

const ROWS: usize = 100_000;
const COLUMNS: usize = 45;
const PASSES: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fields = (0..COLUMNS).map(|number| Field::new(format!("feature_{number}"), DataType::Float64)).collect();
    let schema = Schema::new(fields)?;
    let columns: Vec<Vec<f64>> =
        (0..COLUMNS).map(|column| (0..ROWS).map(|row| (row * 31 + column) as f64 / 7.0).collect()).collect();
    let batches = batches(&schema, &columns)?;
    let bytes = ROWS * COLUMNS * 8;
    checks(&schema, &batches[0])?;

    let directory = tempfile::tempdir()?;
    let home = Home::open(directory.path())?;
    let write = || -> Result<_, StoreError> {
        let staging = home.artifacts.stage();
        let mut writer = staging.create_table(&schema)?;
        for batch in &batches {
            writer.write(batch)?;
        }
        Ok((writer.finish()?, staging))
    };
    measure("write and digest a table", bytes, || write().map(drop))?;
    let (table, staging) = write()?;
    let before = fsyncs();
    measure_once("publish it", bytes, || staging.publish())?;
    println!("fsyncs of the publication: {}", fsyncs() - before);
    let table = home.artifacts.open_table(&table.digest())?;
    measure("open a table", bytes, || home.artifacts.open_table(&table.digest()).map(drop))?;
    measure::<StoreError>("read all rows, summing", bytes, || {
        for batch in table.batches(None) {
            let batch = batch?;
            let sum = |array: &ArrayRef| array.as_primitive::<Float64Type>().values().iter().sum::<f64>();
            black_box(batch.columns().iter().map(sum).sum::<f64>());
        }
        Ok(())
    })?;
    measure::<StoreError>("read all rows in pieces of 1,000, untouched", bytes, || {
        let mut start = 0;
        while start < table.rows() {
            start += black_box(table.read(start, 1000, None)?).num_rows() as u64;
        }
        Ok(())
    })?;
    measure("verify a table", bytes, || table.verify())?;
    records(&home)
}

fn batches(schema: &Schema, columns: &[Vec<f64>]) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error>> {
    let batch = |start: usize| {
        let end = (start + 8192).min(ROWS);
        let array = |column: &Vec<f64>| Arc::new(Float64Array::from(column[start..end].to_vec())) as ArrayRef;
        RecordBatch::try_new(schema.to_arrow(), columns.iter().map(array).collect())
    };
    Ok((0..ROWS).step_by(8192).map(batch).collect::<Result<_, _>>()?)
}

/// Measures the parsing of bytes that were allocated before the clock starts.
fn checks(schema: &Schema, batch: &RecordBatch) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = packed::write(batch, schema)?;
    let length = bytes.len();
    let mut prepared = vec![bytes; PASSES].into_iter();
    measure("check a batch of float64", length, || {
        black_box(packed::parse(8192, prepared.next().unwrap_or_default(), schema)).map(drop)
    })?;
    measure("copy a batch out for a guest", length, || packed::write(batch, schema).map(|it| drop(black_box(it))))?;
    measure("copy a batch (memcpy, for comparison)", length, || {
        let copy = |array: &ArrayRef| array.as_primitive::<Float64Type>().values().to_vec();
        black_box(batch.columns().iter().map(copy).collect::<Vec<_>>());
        Ok::<_, StoreError>(())
    })?;

    let text: StringArray = (0..8192).map(|row| Some(format!("customer {row}"))).collect();
    let schema = Schema::new(vec![Field::new("text", DataType::Utf8)])?;
    let bytes = packed::write(&RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(text)])?, &schema)?;
    let length = bytes.len();
    let mut prepared = vec![bytes; PASSES].into_iter();
    measure("check a batch of utf8", length, || {
        black_box(packed::parse(8192, prepared.next().unwrap_or_default(), &schema)).map(drop)
    })?;
    Ok(())
}

fn records(home: &Home) -> Result<(), Box<dyn std::error::Error>> {
    measure("open a home", 0, || Home::open(home.path()).map(drop))?;
    let before = fsyncs();
    measure("begin and finish a run", 0, || {
        let run = home.registry.begin_run(&NewRun::default())?;
        home.registry.finish_run(&run, RunStatus::Finished, None)
    })?;
    println!("fsyncs of a run without stages: {}", (fsyncs() - before) / PASSES as u64);
    Ok(())
}

fn measure<E>(what: &str, bytes: usize, mut pass: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    let mut times = Vec::with_capacity(PASSES);
    for _ in 0..PASSES {
        let (wall, cpu) = (Instant::now(), thread_seconds());
        pass()?;
        times.push((wall.elapsed().as_secs_f64(), thread_seconds() - cpu));
    }
    report(what, bytes, &mut times);
    Ok(())
}

fn measure_once<E>(what: &str, bytes: usize, pass: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let (wall, cpu) = (Instant::now(), thread_seconds());
    pass()?;
    report(what, bytes, &mut [(wall.elapsed().as_secs_f64(), thread_seconds() - cpu)]);
    Ok(())
}

fn report(what: &str, bytes: usize, times: &mut [(f64, f64)]) {
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        times.sort_by(|one, other| of(one).total_cmp(&of(other)));
        of(&times[times.len() / 2])
    };
    let (wall, cpu) = (median(|it| it.0), median(|it| it.1));
    print!("{what:45} wall {:9.3} ms, cpu {:9.3} ms", wall * 1e3, cpu * 1e3);
    let rate = bytes as f64 / wall.max(1e-9) / 1e9;
    if bytes > 0 { println!(", {rate:6.2} GB/s") } else { println!() }
}

/// Returns the CPU time of this thread, in seconds; 0 if the system does not report it.
fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}
