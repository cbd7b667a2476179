//! Measures durable changes of the registry and searches in it: in SQLite, and in a PostgreSQL of
//! this machine if there is one. Run by `cargo xtask bench registry [--rows RUNS] [--repeat N]`.
//!
//! The time of a change depends on the disk's flush, which is measured too. Each change is given as
//! elapsed time, CPU time and number of flushes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_benchmarks::{Result, cpu, median, setting, write_json};
use stagewright_services::postgres::{Cluster, Durability};
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{
    ArtifactKind, Home, MetricPoint, NewClientRun, NewRun, NewVersion, Page, Reference, Registry, RunId, ViewType,
    fsyncs,
};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of runs in the registry that is searched.
const RUNS: u64 = 100_000;
/// How often each change is made.
const REPEAT: u64 = 1000;
/// The number of threads that log concurrently.
const THREADS: u64 = 8;

fn main() -> Result<()> {
    let runs = setting("STAGEWRIGHT_BENCH_ROWS", RUNS)?;
    let repeat = setting("STAGEWRIGHT_BENCH_REPEAT", REPEAT)?;
    let folder = tempfile::tempdir()?;
    let mut result = json!({ "runs": runs, "repeat": repeat });
    println!("medians of {repeat}; p95 in brackets");
    result["flush"] = flush(folder.path(), repeat)?;

    let home = Home::open(folder.path().join("home"))?;
    println!("SQLite:");
    result["sqlite"] = changes(&home, repeat)?;
    result["search"] = searches(folder.path(), runs)?;
    if std::env::var_os("STAGEWRIGHT_BENCH_WITHOUT_POSTGRES").is_none() {
        println!("PostgreSQL on this machine, which flushes too:");
        let cluster = Cluster::start_with(Durability::Synced);
        let home = Home::open_with(folder.path().join("elsewhere"), Some(&cluster.create_database()), None)?;
        result["postgres"] = changes(&home, repeat)?;
    }
    write_json(&result)
}

/// Measures one flush of this disk: appends a page to a file.
fn flush(folder: &Path, repeat: u64) -> Result<Value> {
    let mut file = File::create(folder.join("flushed"))?;
    measured("flush of 4 KiB", repeat, |_| {
        file.write_all(&[0; 4096])?;
        Ok(file.sync_data()?)
    })
}

fn changes(home: &Home, repeat: u64) -> Result<Value> {
    let registry = &home.registry;
    let run = registry.begin_run(&new_run())?;
    let mut result = json!({});
    result["create_run"] = measured("begin a run", repeat, |_| Ok(registry.begin_run(&new_run()).map(drop)?))?;
    result["log_metric"] =
        measured("log a metric", repeat, |step| Ok(registry.log_metric(&run, &point("loss", step))?))?;
    result["log_batch_100"] = measured("log 100 metrics at once", repeat / 10, |step| {
        let points: Vec<MetricPoint> = (0..100).map(|metric| point(&format!("metric {metric}"), step)).collect();
        Ok(registry.log_batch(&run, &points, &[], &[])?)
    })?;
    let points =
        |step| -> Vec<MetricPoint> { (0..1000).map(|metric| point(&format!("metric {metric}"), step)).collect() };
    result["log_batch_1000"] = measured("log 1000 metrics at once", repeat / 20, |step| {
        Ok(registry.log_batch(&run, &points(step), &[], &[])?)
    })?;
    let client = NewClientRun {
        experiment_id: registry.create_experiment("clients", &[])?,
        tags: (0..5).map(|number| (format!("tag {number}"), number.to_string())).collect(),
        ..NewClientRun::default()
    };
    result["create_client_run"] =
        measured("begin a client's run", repeat, |_| Ok(registry.begin_client_run(&client).map(drop)?))?;
    let version = new_version(home)?;
    result["create_version"] = measured("create a version", repeat, |_| {
        Ok(registry.create_version(&home.artifacts, "churn", &version, &|_| None).map(drop)?)
    })?;
    result["log_metric_threads"] = threads(registry, &run, repeat)?;
    Ok(result)
}

/// Measures concurrent logging by several threads, per metric.
fn threads(registry: &Registry, run: &RunId, repeat: u64) -> Result<Value> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let loggers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let name = format!("thread {thread}");
                    (0..repeat / THREADS).try_for_each(|step| registry.log_metric(run, &point(&name, step)))
                })
            })
            .collect();
        loggers.into_iter().try_for_each(|logger| logger.join().expect("a logger does not panic"))
    })?;
    let each = began.elapsed().as_secs_f64() * 1e3 / repeat as f64;
    println!("  {:<28} {each:>8.3} ms each", format!("log from {THREADS} threads"));
    Ok(json!({ "ms": each }))
}

/// Measures searches over many runs, a tenth of which have a metric above the bound.
fn searches(folder: &Path, runs: u64) -> Result<Value> {
    let path = folder.join("many.db");
    let registry = Registry::open(&path)?;
    registry.begin_run(&new_run())?;
    fill(&path, runs)?;
    let mut result = json!({});
    for (name, filter, order) in [
        ("metric and order", "metrics.roc_auc > 0.9", "metrics.roc_auc DESC"),
        ("metric, parameter and order", "metrics.roc_auc > 0.9 AND params.depth = '3'", "metrics.roc_auc DESC"),
        ("tag", "tags.team = 'team 7'", "start_time DESC"),
        ("no filter", "", "start_time DESC"),
    ] {
        let filter = Filter::parse(Entity::Runs, filter)?;
        let order = OrderBy::parse(Entity::Runs, &[order])?;
        let page = Page { limit: 100, offset: 0 };
        result[name] = measured(&format!("search: {name}"), 21, |_| {
            let found = registry.search_runs(None, &filter, &order, ViewType::Active, page)?;
            if found.len() == 100 { Ok(()) } else { Err(format!("{} runs found", found.len()).into()) }
        })?;
    }
    Ok(result)
}

/// Inserts runs without the registry, which would wait for the disk on each.
fn fill(path: &Path, runs: u64) -> Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    let transaction = connection.transaction()?;
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= {runs})");
    for statement in [
        "INSERT INTO runs (id, run_id, name, experiment, pipeline, actor, seed, manifest, config, status, started_ms, owner)
         SELECT i, printf('%032x', i), 'run ' || i, 1, 'churn', 'me', 0, '', '{}', 'finished', 1700000000000 + i, '' FROM n",
        "INSERT INTO latest_metrics (run, name, value, step, at_ms)
         SELECT i, 'roc_auc', (i * 7919 % 100003) / 100003.0, 0, 0 FROM n",
        "INSERT INTO latest_metrics (run, name, value, step, at_ms)
         SELECT i, 'accuracy', (i * 104729 % 100003) / 100003.0, 0, 0 FROM n",
        "INSERT INTO parameters (run, name, value) SELECT i, 'depth', i % 10 FROM n",
        "INSERT INTO run_tags (run, name, value) SELECT i, 'team', 'team ' || (i % 100) FROM n",
    ] {
        let (head, select) = statement.split_at(statement.find("SELECT").unwrap_or_default());
        transaction.execute_batch(&format!("{head} {numbers} {select}"))?;
    }
    Ok(transaction.commit()?)
}

/// Makes a change many times. Returns milliseconds of elapsed time and of CPU time, and the number
/// of flushes.
fn measured(name: &str, repeat: u64, mut change: impl FnMut(u64) -> Result<()>) -> Result<Value> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    change(0)?;
    let flushed = fsyncs();
    for number in 1..=repeat.max(1) {
        let (began, used) = (Instant::now(), cpu());
        change(number)?;
        walls.push(milliseconds(began.elapsed()));
        cpus.push(milliseconds(cpu() - used));
    }
    let flushes = (fsyncs() - flushed) as f64 / repeat.max(1) as f64;
    walls.sort_by(f64::total_cmp);
    let p95 = walls[walls.len() * 95 / 100];
    let (wall, cpu) = (median(walls), median(cpus));
    println!("  {name:<28} {wall:>8.3} ms ({p95:.3}), {cpu:.3} ms CPU here, {flushes:.1} flushes");
    Ok(json!({ "ms": wall, "p95_ms": p95, "cpu_ms": cpu, "flushes": flushes }))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn point(name: &str, step: u64) -> MetricPoint {
    MetricPoint { name: name.to_owned(), value: step as f64, step: step as i64, ..MetricPoint::default() }
}

fn new_run() -> NewRun {
    let parameters = (0..20).map(|number| (format!("parameter {number}"), number.to_string())).collect();
    NewRun { experiment: "bench".into(), pipeline: "bench".into(), parameters, ..NewRun::default() }
}

/// A version as a run registers it: four required artifacts, nine metrics, twenty parameters.
fn new_version(home: &Home) -> Result<NewVersion> {
    let staging = home.artifacts.stage();
    let mut references = Vec::new();
    for role in ["transformation-component", "transformation-state", "training-component", "model"] {
        let mut writer = staging.create_blob()?;
        writer.write(role.repeat(10_000).as_bytes())?;
        let digest = writer.finish()?.digest();
        references.push(Reference { role: role.into(), kind: ArtifactKind::Blob, digest, needed: true });
    }
    staging.publish()?;
    Ok(NewVersion {
        run_id: None,
        contents: json!({ "signature": vec![json!({ "name": "column", "data_type": "float64" }); 20] }),
        references,
        parts: None,
        rows: None,
        metrics: (0..9).map(|metric| (format!("metric {metric}"), 0.5)).collect(),
        parameters: (0..20).map(|number| (format!("parameter {number}"), number.to_string())).collect(),
        tags: Vec::new(),
    })
}
