//! What crossing the boundary costs: float64 columns from the host into a guest that hands them back, every check included, as a share of what `memcpy` does with
//! batches of the same size in the same process. Run by `cargo xtask bench boundary`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use stagewright_data::Task;
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::sandbox::{Cancel, Level, Meter, Sandbox, StageContext, Tracker, View};
use stagewright_manifest::{Limits, World};
use stagewright_runtime::{Compiler, EngineOptions, Installation, Origin, Runtime, StubGrants};
use stagewright_store::{DataType, Field, Home, Schema};

/// As in the binary: fresh pages would cost more than the crossing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const COLUMNS: usize = 45;
const ROWS: usize = 400_000;
const REPEATS: usize = 9;

struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(guests) = std::env::var_os("STAGEWRIGHT_GUESTS").map(PathBuf::from) else {
        println!("STAGEWRIGHT_GUESTS is not set: run `cargo xtask bench boundary`");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let home = Home::open(folder.path().join("home"))?;
    let installation = Installation::new(home.cache_dir().join("components"), Vec::new(), Compiler::InProcess);
    let runtime = Runtime::open(installation, EngineOptions::default())?;
    let origin = Origin::File(guests.join("empty-transformation.wasm"));
    let component =
        Arc::new(runtime.resolve(World::Transformation, "empty-transformation", &origin, StubGrants::default())?);
    let staging = home.artifacts.stage();
    let context = || {
        Arc::new(StageContext {
            world: World::Transformation,
            component: component.clone(),
            parameters: "{}".into(),
            seed: 0,
            roles: HashMap::new(),
            as_of: 0,
            limits: Limits::defaults(World::Transformation),
            staging: Some(staging.clone()),
            meter: Arc::<Meter>::default(),
            tracker: Arc::new(Nobody),
            workers: 1,
            cancel: Cancel::default(),
        })
    };

    let fields =
        (0..COLUMNS).map(|column| Field::new(format!("f{column}"), DataType::Float64).with_nullable(false)).collect();
    let schema = Schema::new(fields)?;
    let mut writer = staging.create_table(&schema)?;
    let chunk = schema.chunk_rows();
    for start in (0..ROWS).step_by(chunk) {
        let rows = chunk.min(ROWS - start);
        let column = |column: usize| {
            Arc::new(Float64Array::from_iter_values((0..rows).map(|row| ((start + row) * (column + 1)) as f64)))
                as ArrayRef
        };
        writer.write(&RecordBatch::try_new(schema.to_arrow(), (0..COLUMNS).map(column).collect())?)?;
    }
    let view = View::whole(writer.finish()?);
    let task = Task::Binary { negative: "0".into(), positive: "1".into() };
    let state = runtime.fit(context(), &view, &task)?;

    let bytes = (ROWS * COLUMNS * 8) as f64;
    let crossing = || -> Result<f64, Box<dyn std::error::Error>> {
        let start = Instant::now();
        let mut rows = 0;
        runtime.transform(context(), &state, &view, &mut |_, _, batch| {
            rows += batch.num_rows();
            Ok(())
        })?;
        assert_eq!(rows, ROWS);
        // Into the guest and out of it.
        Ok(2.0 * bytes / start.elapsed().as_secs_f64() / 1e9)
    };
    crossing()?;
    let crossings = (0..REPEATS).map(|_| crossing()).collect::<Result<Vec<_>, _>>()?;

    let source: Vec<f64> = (0..chunk * COLUMNS).map(|value| value as f64).collect();
    let mut target = vec![0.0; source.len()];
    let copies = (0..REPEATS).map(|_| {
        let start = Instant::now();
        for _ in 0..ROWS / chunk {
            target.copy_from_slice(std::hint::black_box(&source));
            std::hint::black_box(&mut target);
        }
        (ROWS / chunk * chunk * COLUMNS * 8) as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    let (crossing, copy) = (median(crossings), median(copies.collect()));
    println!("float64, {COLUMNS} columns, batches of {chunk} rows, one instance, median of {REPEATS}:");
    println!("  crossing {crossing:.2} GB/s, memcpy {copy:.2} GB/s: {:.0} % of memcpy", 100.0 * crossing / copy);
    if let Some(path) = std::env::var_os("STAGEWRIGHT_BENCH_OUTPUT") {
        let json =
            format!("{{\"crossing_gb_s\":{crossing:.3},\"memcpy_gb_s\":{copy:.3},\"share\":{:.3}}}\n", crossing / copy);
        std::fs::write(path, json)?;
    }
    Ok(())
}
