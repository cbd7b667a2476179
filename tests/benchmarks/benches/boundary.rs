//! Measures the cost of the sandbox's boundary. The host passes columns of each kind into a guest,
//! which returns them; every check is included. The rate is given as a share of `memcpy` on batches
//! of the same size in the same process. Times are CPU times, which other programs disturb less.
//! Run by `cargo xtask bench boundary`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
use serde_json::json;
use stagewright_benchmarks::{Result, Rig, SetUp, interleaved, median, process_cpu, ratio, setting, write_json};
use stagewright_data::Task;
use stagewright_lifecycle::sandbox::{ModelRunner as _, StageRunner as _, View};
use stagewright_manifest::World;
use stagewright_runtime::EngineOptions;
use stagewright_store::{DataType, Field, Schema, packed};

/// The binary's allocator. With the system's, fresh pages would cost more than the crossing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Columns of a transformed churn table.
const COLUMNS: usize = 45;
const ROWS: usize = 400_000;
const GUEST: &str = "empty-transformation";

/// The values of text columns, as long and as few as those of a churn table.
const TEXTS: [&str; 6] =
    ["Month-to-month", "One year", "Two year", "No internet service", "Fiber optic", "Bank transfer (automatic)"];

fn main() -> Result<()> {
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 9)? as usize;
    let set_up = SetUp::new()?;
    let rig = set_up.rig(EngineOptions::default(), &[(World::Transformation, GUEST)])?;
    println!("{ROWS} rows of {COLUMNS} columns into a guest and out of it, one instance, median of {rounds}:");
    let mut result = json!({ "rounds": rounds });
    for (name, data_type, column) in [
        ("float64", DataType::Float64, floats as fn(usize, usize, usize) -> ArrayRef),
        ("utf8", DataType::Utf8, texts),
        ("categorical", DataType::Categorical, categories),
    ] {
        let view = table(&set_up, data_type, column)?;
        let (crossing, copy, share) = measure(&rig, &view, rounds)?;
        println!("  {name:<12} {crossing:>5.2} GB/s, memcpy {copy:>5.2} GB/s: {:>3.0} % of memcpy", 100.0 * share);
        result[name] = json!({ "crossing_gb_s": crossing, "memcpy_gb_s": copy, "share": share });
    }
    write_json(&result)
}

fn floats(column: usize, start: usize, rows: usize) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((start..start + rows).map(|row| (row * (column + 1)) as f64)))
}

fn texts(column: usize, start: usize, rows: usize) -> ArrayRef {
    let text = |row| TEXTS[(row * 7 + column) % TEXTS.len()];
    Arc::new(StringArray::from_iter_values((start..start + rows).map(text)))
}

fn categories(column: usize, start: usize, rows: usize) -> ArrayRef {
    let codes = (start..start + rows).map(|row| ((row * 7 + column) % TEXTS.len()) as i32);
    let texts = StringArray::from_iter_values(TEXTS);
    Arc::new(DictionaryArray::new(Int32Array::from_iter_values(codes), Arc::new(texts)))
}

/// A table of columns of one type.
fn table(set_up: &SetUp, data_type: DataType, column: fn(usize, usize, usize) -> ArrayRef) -> Result<View> {
    let field = |column| Field::new(format!("f{column}"), data_type).with_nullable(false);
    let schema = Schema::new((0..COLUMNS).map(field).collect())?;
    let mut writer = set_up.staging.create_table(&schema)?;
    let chunk = schema.chunk_rows();
    for start in (0..ROWS).step_by(chunk) {
        let columns = (0..COLUMNS).map(|number| column(number, start, chunk.min(ROWS - start))).collect();
        writer.write(&RecordBatch::try_new(schema.to_arrow(), columns)?)?;
    }
    Ok(View::whole(writer.finish()?))
}

/// Measures the crossing and copying in GB/s, and returns both with their ratio.
fn measure(rig: &Rig, view: &View, rounds: usize) -> Result<(f64, f64, f64)> {
    let task = Task::Binary { negative: "0".into(), positive: "1".into() };
    let context = || rig.context(GUEST, "{}");
    let state = rig.runtime.fit(context(), view, &task)?;
    let chunk = view.table.schema().chunk_rows();
    let first = view.table.read(0, chunk, None)?;
    let chunk_bytes = packed::batch_bytes(&first, &view.schema)?;
    // Each byte crosses twice.
    let bytes = 2.0 * chunk_bytes as f64 * (ROWS as f64 / chunk as f64);
    let mut crossing = || -> Result<Duration> {
        let start = process_cpu();
        let mut rows = 0;
        rig.runtime.transform(context(), &state, view, &mut |_, _, batch| {
            rows += batch.num_rows();
            Ok(())
        })?;
        if rows == ROWS { Ok(process_cpu() - start) } else { Err(format!("{rows} rows came back").into()) }
    };
    let source = vec![1_u8; chunk_bytes];
    let mut target = vec![0_u8; chunk_bytes];
    let mut copying = || -> Result<Duration> {
        let start = process_cpu();
        for _ in 0..2 * ROWS.div_ceil(chunk) {
            target.copy_from_slice(black_box(&source));
            black_box(&mut target);
        }
        Ok(process_cpu() - start)
    };
    let seconds = interleaved(&mut [&mut crossing, &mut copying], rounds)?;
    let copied = 2.0 * chunk_bytes as f64 * ROWS.div_ceil(chunk) as f64;
    let speed = |bytes: f64, seconds: &[f64]| seconds.iter().map(|seconds| bytes / seconds / 1e9).collect::<Vec<_>>();
    let (crossings, copies) = (speed(bytes, &seconds[0]), speed(copied, &seconds[1]));
    Ok((median(crossings.clone()), median(copies.clone()), ratio(&crossings, &copies)))
}
