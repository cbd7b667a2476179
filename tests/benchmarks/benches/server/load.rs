//! Many clients at once.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_benchmarks::Result;

use crate::http::Client;
use crate::process::Server;
use crate::{Bench, Under, batch, create_run, metric, percentiles};

/// The users of mlflow-go's comparison with the stock server.
const USERS: usize = 20;
/// The clients of the long load.
const CLIENTS: usize = 64;
/// The seconds of each load of the users.
const SECONDS: u64 = 5;
/// How long a user of the load with pauses waits after an answer.
const PAUSE: Duration = Duration::from_millis(100);
/// The largest page of a history.
const PAGE: u64 = 25_000;

/// A request that a user makes again and again, in a run of its own.
type Ask = fn(&mut Client, &str, u64) -> Result<()>;

const ASKS: [(&str, Ask); 3] = [
    ("SearchRuns", |client, _, _| {
        let body = json!({ "experiment_ids": ["0"], "filter": "metrics.loss >= 0", "max_results": 100,
            "order_by": ["attributes.start_time DESC"] });
        client.post("runs/search", &body).map(drop)
    }),
    ("LogMetricBatch10", |client, run, step| {
        let points = (0..10).map(|at| (format!("batch {at}"), step));
        client.post("runs/log-batch", &batch(run, points)).map(drop)
    }),
    ("CreateRun", |client, _, _| create_run(client).map(drop)),
];

/// Measures 20 users of a server over PostgreSQL: without pauses, so that they take all that the
/// processors give, and with pauses, as people and trainings do.
pub(crate) fn users(bench: &Bench) -> Result<Value> {
    if !bench.databases().iter().any(|(_, under)| *under == Under::Postgres) {
        return Ok(Value::Null);
    }
    let ours = users_at("ours", &bench.ours("users", Under::Postgres)?)?;
    let stock = match bench.stock("users", Under::Postgres)? {
        Some(server) => users_at("stock", &server)?,
        None => Value::Null,
    };
    Ok(json!({ "ours": ours, "stock": stock }))
}

fn users_at(who: &str, server: &Server) -> Result<Value> {
    let mut result = json!({});
    // Something to find: each user's run has a metric.
    for (name, ask) in ASKS {
        for (kind, pause) in [("without pauses", Duration::ZERO), ("with pauses", PAUSE)] {
            let load = Load::run(server, USERS, Duration::from_secs(SECONDS), pause, &ask)?;
            let (p50, p99) = percentiles(load.times_ms.clone());
            let rate = load.times_ms.len() as f64 / load.seconds;
            println!("  {who:<6} {:<30} {p50:>9.2} ms ({p99:.2}), {rate:.0}/s", format!("{name}, {kind}"));
            result[name][kind] = json!({ "p50_ms": p50, "p99_ms": p99, "per_second": rate });
        }
    }
    Ok(result)
}

/// Measures 64 clients that log for a while, and sees that nothing is lost and nothing twice.
pub(crate) fn clients(bench: &Bench) -> Result<Value> {
    let mut result = json!({});
    for (name, under) in bench.databases() {
        println!(" {name}");
        let ours = clients_at(bench, "ours", &bench.ours(&format!("clients-{name}"), under)?)?;
        let stock = match bench.stock(&format!("clients-{name}"), under)? {
            Some(server) => clients_at(bench, "stock", &server)?,
            None => Value::Null,
        };
        result[name] = json!({ "ours": ours, "stock": stock });
    }
    Ok(result)
}

fn clients_at(bench: &Bench, who: &str, server: &Server) -> Result<Value> {
    let ask: Ask = |client, run, step| client.post("runs/log-metric", &metric(run, "loss", step)).map(drop);
    let load = Load::run(server, CLIENTS, Duration::from_secs(bench.seconds), Duration::ZERO, &ask)?;
    let mut client = server.client()?;
    for (run, answered) in &load.answered {
        let found = history(&mut client, run)?;
        // The first value was logged before the load began.
        if found != answered + 1 {
            return Err(format!("{answered} values were answered and {found} are there").into());
        }
    }
    let (p50, p99) = percentiles(load.times_ms.clone());
    let rate = load.times_ms.len() as f64 / load.seconds;
    let resident = server.memory()?.0;
    println!("  {who:<6} {:<30} {p50:>9.2} ms ({p99:.2}), {rate:.0}/s, {resident:.1} MiB", "64 clients log");
    Ok(json!({ "p50_ms": p50, "p99_ms": p99, "per_second": rate, "resident_mib": resident, "lost": 0 }))
}

/// Returns the number of values of a run's metric.
fn history(client: &mut Client, run: &str) -> Result<u64> {
    let mut steps = BTreeMap::new();
    let mut token = String::new();
    loop {
        let page = format!("&page_token={token}");
        let page = if token.is_empty() { "" } else { &page };
        let path = format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=loss&max_results={PAGE}{page}");
        let answer: Value = serde_json::from_slice(&client.get(&path)?)?;
        for point in answer["metrics"].as_array().into_iter().flatten() {
            *steps.entry(point["step"].as_u64().unwrap_or_default()).or_insert(0_u32) += 1;
        }
        match answer["next_page_token"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => break,
        }
    }
    if steps.values().any(|times| *times != 1) {
        return Err("a value is there twice".into());
    }
    Ok(steps.len() as u64)
}

/// The answers that several clients saw.
struct Load {
    /// The time of each answer.
    times_ms: Vec<f64>,
    /// The runs of the clients, with how many requests of each were answered.
    answered: Vec<(String, u64)>,
    seconds: f64,
}

impl Load {
    /// Has clients ask for a while, each on a connection and with a run of its own. Every refusal
    /// is an error.
    fn run(server: &Server, clients: usize, time: Duration, pause: Duration, ask: &Ask) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..clients {
            let mut client = server.client()?;
            let run = create_run(&mut client)?;
            client.post("runs/log-metric", &metric(&run, "loss", 0))?;
            connections.push((client, run));
        }
        let began = Instant::now();
        let one = |(mut client, run): (Client, String), number: usize| -> Result<(String, Vec<f64>)> {
            // Users with pauses do not begin in step.
            thread::sleep(pause.mul_f64(number as f64 / clients as f64));
            let mut times = Vec::new();
            while began.elapsed() < time {
                let asked = Instant::now();
                ask(&mut client, &run, times.len() as u64 + 1)?;
                times.push(asked.elapsed().as_secs_f64() * 1e3);
                thread::sleep(pause);
            }
            Ok((run, times))
        };
        let done: Vec<Result<(String, Vec<f64>)>> = thread::scope(|scope| {
            let one = &one;
            let threads: Vec<_> = (0..)
                .zip(connections)
                .map(|(number, connection)| scope.spawn(move || one(connection, number)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err("a client panicked".into())))
                .collect()
        });
        let mut load = Self { times_ms: Vec::new(), answered: Vec::new(), seconds: began.elapsed().as_secs_f64() };
        for client in done {
            let (run, times) = client?;
            load.answered.push((run, times.len() as u64));
            load.times_ms.extend(times);
        }
        Ok(load)
    }
}
