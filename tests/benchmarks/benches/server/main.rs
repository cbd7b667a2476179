//! Measures `stagewright server` as the stock client of MLflow meets it, over HTTP, and with a peer
//! a stock `mlflow server` beside it. Run by `cargo xtask bench server [--peer [PYTHON]]`.
//!
//! Server, database and clients share the processors. Everything that is answered is durable: both
//! databases flush, and so does the store of artifacts.

mod artifacts;
mod fill;
mod http;
mod load;
mod process;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use stagewright_benchmarks::{Result, median, setting, write_json};
use stagewright_services::postgres::{Cluster, Durability};
use tempfile::TempDir;

use crate::http::Client;
use crate::process::Server;

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The requests of each kind that one client sends, one after the other.
const REPEAT: u64 = 300;
/// The runs among which is searched.
const RUNS: u64 = 100_000;
/// The seconds of each load.
const SECONDS: u64 = 10;
/// Starts of which the median is taken.
const STARTS: u64 = 5;

/// The settings of a measurement.
pub(crate) struct Bench {
    binary: PathBuf,
    /// The Python with the stock server.
    peer: Option<PathBuf>,
    repeat: u64,
    runs: u64,
    seconds: u64,
    folder: TempDir,
    cluster: Option<Cluster>,
}

/// The database under a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    Sqlite,
    Postgres,
}

type Part = fn(&Bench) -> Result<Value>;

fn main() -> Result<()> {
    let binary = std::env::var_os("STAGEWRIGHT_BIN").ok_or("STAGEWRIGHT_BIN names no binary")?;
    let has_postgres = std::env::var_os("STAGEWRIGHT_BENCH_WITHOUT_POSTGRES").is_none();
    let bench = Bench {
        binary: binary.into(),
        peer: std::env::var_os("STAGEWRIGHT_BENCH_PEER").map(PathBuf::from),
        repeat: setting("STAGEWRIGHT_BENCH_REPEAT", REPEAT)?,
        runs: setting("STAGEWRIGHT_BENCH_ROWS", RUNS)?,
        seconds: setting("STAGEWRIGHT_BENCH_SECONDS", SECONDS)?,
        folder: tempfile::tempdir()?,
        cluster: has_postgres.then(|| Cluster::start_with(Durability::Synced)),
    };
    let only = std::env::var("STAGEWRIGHT_BENCH_ONLY").unwrap_or_default();
    let parts: [(&str, Part); 6] = [
        ("start", start),
        ("requests", requests),
        ("users", load::users),
        ("search", search),
        ("artifact", artifacts::artifact),
        ("clients", load::clients),
    ];
    let mut result = json!({ "repeat": bench.repeat, "runs": bench.runs, "seconds": bench.seconds });
    for (name, part) in parts.iter().filter(|(name, _)| name.contains(&only)) {
        println!("{name}:");
        result[*name] = part(&bench)?;
    }
    write_json(&result)
}

impl Bench {
    /// Starts our server over a new home.
    pub(crate) fn ours(&self, name: &str, under: Under) -> Result<Server> {
        let url = self.cluster.as_ref().filter(|_| under == Under::Postgres).map(Cluster::create_database);
        Server::ours(&self.binary, &self.folder.path().join(name), url.as_deref())
    }

    /// Starts a stock server over a new folder, if there is a peer.
    pub(crate) fn stock(&self, name: &str, under: Under) -> Result<Option<Server>> {
        let Some(python) = &self.peer else { return Ok(None) };
        let folder = self.folder.path().join(format!("stock-{name}"));
        std::fs::create_dir_all(&folder)?;
        let database = match (&self.cluster, under) {
            (Some(cluster), Under::Postgres) => cluster.create_database().replacen("postgres:", "postgresql:", 1),
            _ => format!("sqlite:///{}", database_of_stock(&folder).display()),
        };
        Server::stock(python, &folder, &database).map(Some)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The databases that there are.
    pub(crate) fn databases(&self) -> Vec<(&'static str, Under)> {
        let postgres = self.cluster.as_ref().map(|_| ("PostgreSQL", Under::Postgres));
        [("SQLite", Under::Sqlite)].into_iter().chain(postgres).collect()
    }
}

fn database_of_stock(folder: &Path) -> PathBuf {
    folder.join("mlflow.db")
}

/// Measures the time from the start of the process to an answer, and resident memory after it.
fn start(bench: &Bench) -> Result<Value> {
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    for number in 0..=STARTS {
        // The first start creates the home, the others open it.
        let server = bench.ours("start", Under::Sqlite)?;
        if number > 0 {
            ready.push(server.ready.as_secs_f64() * 1e3);
            resident.push(server.memory()?.0);
        }
    }
    let ours = json!({ "ready_ms": median(ready), "resident_mib": median(resident) });
    println!("  ours   {ours}");
    let stock = match bench.stock("start", Under::Sqlite)? {
        Some(server) => json!({ "ready_ms": server.ready.as_secs_f64() * 1e3, "resident_mib": server.memory()?.0 }),
        None => Value::Null,
    };
    println!("  stock  {stock}");
    Ok(json!({ "ours": ours, "stock": stock }))
}

/// Measures requests of one client, one after the other.
fn requests(bench: &Bench) -> Result<Value> {
    let mut result = json!({});
    for (name, under) in bench.databases() {
        println!(" {name}");
        let ours = requests_at(bench, "ours", &bench.ours(&format!("requests-{name}"), under)?)?;
        let stock = match bench.stock(&format!("requests-{name}"), under)? {
            Some(server) => requests_at(bench, "stock", &server)?,
            None => Value::Null,
        };
        result[name] = json!({ "ours": ours, "stock": stock });
    }
    Ok(result)
}

fn requests_at(bench: &Bench, who: &str, server: &Server) -> Result<Value> {
    let mut client = server.client()?;
    let mut result = json!({});
    result["create_run"] = measured(who, "create-run", bench.repeat, |_| create_run(&mut client).map(drop))?;
    let run = create_run(&mut client)?;
    result["log_metric"] = measured(who, "log-metric", bench.repeat, |step| {
        client.post("runs/log-metric", &metric(&run, "loss", step)).map(drop)
    })?;
    for (key, name, names) in
        [("log_batch_1000_names", "log-batch of 1,000 metrics", 1000), ("log_batch_1000_steps", "of 1,000 steps", 1)]
    {
        let run = create_run(&mut client)?;
        result[key] = measured(who, name, (bench.repeat / 10).max(5), |step| {
            let body = batch(&run, (0..1000).map(|at| (format!("metric {}", at % names), step * 1000 + at)));
            client.post("runs/log-batch", &body).map(drop)
        })?;
    }
    result["resident_mib"] = server.memory()?.0.into();
    println!("  {who:<6} {:<30} {:>9.1} MiB", "resident after them", server.memory()?.0);
    Ok(result)
}

/// Measures a search among many runs.
fn search(bench: &Bench) -> Result<Value> {
    // The first server makes the tables, and the second finds the rows.
    drop(bench.ours("search", Under::Sqlite)?);
    fill::ours(&bench.folder().join("search/stagewright.db"), bench.runs)?;
    let ours = search_at("ours", &bench.ours("search", Under::Sqlite)?, 21)?;
    let stock = match bench.stock("search", Under::Sqlite)? {
        Some(server) => {
            fill::stock(&database_of_stock(&bench.folder().join("stock-search")), bench.runs)?;
            search_at("stock", &server, 5)?
        }
        None => Value::Null,
    };
    Ok(json!({ "ours": ours, "stock": stock }))
}

fn search_at(who: &str, server: &Server, repeat: u64) -> Result<Value> {
    let mut client = server.client()?;
    let mut result = json!({});
    let by_metric = "metrics.roc_auc > 0.9 AND params.depth = '3'";
    for (key, name, filter, order) in [
        ("metric_and_parameter", "metric, parameter, order", by_metric, "metrics.roc_auc DESC"),
        ("newest", "the newest", "", "attributes.start_time DESC"),
    ] {
        let body =
            json!({ "experiment_ids": [fill::EXPERIMENT], "filter": filter, "order_by": [order], "max_results": 100 });
        result[key] = measured(who, name, repeat, |_| {
            let found = client.posted("runs/search", &body)?;
            let found = found["runs"].as_array().map_or(0, Vec::len);
            if found == 100 { Ok(()) } else { Err(format!("{found} runs found").into()) }
        })?;
    }
    Ok(result)
}

/// Makes a request many times. Returns the median and the 99th percentile in milliseconds.
fn measured(who: &str, name: &str, repeat: u64, mut request: impl FnMut(u64) -> Result<()>) -> Result<Value> {
    request(0)?;
    let mut times = Vec::new();
    for number in 1..=repeat {
        let began = Instant::now();
        request(number)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let (p50, p99) = percentiles(times);
    println!("  {who:<6} {name:<30} {p50:>9.2} ms ({p99:.2})");
    Ok(json!({ "p50_ms": p50, "p99_ms": p99 }))
}

/// Returns the median and the 99th percentile of values, of which there is at least one.
pub(crate) fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() * 99 / 100])
}

/// Creates a run as the client does, with its tags. Returns its id.
pub(crate) fn create_run(client: &mut Client) -> Result<String> {
    let tags = ["mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.runName"];
    let tags: Vec<Value> = tags.iter().map(|key| json!({ "key": key, "value": "of a benchmark" })).collect();
    let body = json!({ "experiment_id": "0", "user_id": "me", "start_time": 1_700_000_000_000_u64, "tags": tags });
    let created = client.posted("runs/create", &body)?;
    Ok(created["run"]["info"]["run_id"].as_str().ok_or("no run")?.to_owned())
}

pub(crate) fn metric(run: &str, key: &str, step: u64) -> Value {
    json!({ "run_id": run, "run_uuid": run, "key": key, "value": step as f64 / 7.0, "timestamp": 1_700_000_000_000 + step,
        "step": step })
}

/// Returns the body of a batch of metrics with these names and steps.
pub(crate) fn batch(run: &str, points: impl Iterator<Item = (String, u64)>) -> Value {
    let metric = |(key, step): (String, u64)| json!({ "key": key, "value": step as f64 / 7.0, "timestamp": 1_700_000_000_000 + step, "step": step });
    json!({ "run_id": run, "metrics": points.map(metric).collect::<Vec<_>>(), "params": [], "tags": [] })
}
