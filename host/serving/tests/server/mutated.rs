//! Requests that are nearly valid: each gets an answer or a refusal, and never another number of
//! rows than it has.
//!
//! - `request`: requests of each interface; `mutation`: what is changed in them
//! - `answers`: the form of answers; `rows`: the rows of a body, counted by other readers
//! - `valid`: the requests that are changed

mod answers;
mod mutation;
mod operations;
mod request;
mod rows;
mod valid;

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use fastrand::Rng;
use serde_json::{Value, json};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::ModelSession;
use stagewright_serving::PoolOptions;
use stagewright_store::Field;

use self::request::Request;
use crate::bed::{Reply, Running, version_with};
use crate::deployments::Fast;

/// The changed requests of each kind of body.
const REQUESTS: usize = 5000;

/// The longest time that a request may take, in words of the bed: far more than any takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Predicts the first column where it is a probability, and else a half.
struct First;

impl ModelSession for First {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let columns = rows.iter().map(|batch| batch.column(0).as_primitive::<Float64Type>());
        let values = columns.flat_map(|column| column.values().to_vec());
        Ok(values.map(|x| if (0.0..=1.0).contains(&x) { x } else { 0.5 }).collect())
    }

    fn is_alive(&self) -> bool {
        true
    }
}

/// The panics of the server and its threads.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics from now on, of all threads of this program, but those that tests make themselves:
/// assertions that fail, and models that panic.
///
/// The server's own hook comes before this one, and keeps those of its Arrow reader to itself: they
/// are refusals.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if rows::is_reading() {
                return;
            }
            let is_own = panic.location().is_some_and(|place| place.file().contains("tests/server/"));
            PANICS.fetch_add(usize::from(!is_own), Ordering::Relaxed);
            before(panic);
        }));
    });
}

/// Starts a server of a version with these features.
fn serve(fields: Vec<Field>) -> Running {
    count_panics();
    let version = version_with(3, fields, PoolOptions::default(), PATIENCE, || Box::new(First));
    Running::serving(version, |_| {})
}

/// The answers to changed requests, counted.
#[derive(Debug, Default)]
struct Results {
    answered: usize,
    /// Answered, with another number of rows than the valid request.
    of_other_length: usize,
    refused: usize,
}

/// Sends changes of requests, and checks each answer.
fn send(server: &Running, seed: u64, valid: &[Request]) -> Results {
    let mut stream = Fast::to(server);
    let (mut rng, mut results) = (Rng::with_seed(seed), Results::default());
    for number in 0..REQUESTS {
        let valid = &valid[number % valid.len()];
        let request = mutation::mutated(&mut rng, valid);
        let reply = request.ask(&mut stream);
        let told = || {
            let head = (&request.path, &request.content_type, &request.json_length);
            let (body, answer) = (request.body.escape_ascii(), reply.body.escape_ascii());
            format!("change {number}: {head:?} {body}\nis answered {}: {answer}", reply.status)
        };
        let found = answers::check(&request, &reply).unwrap_or_else(|problem| panic!("{problem}\n{}", told()));
        if reply.status == 200 {
            let rows = rows::count(&request).unwrap_or_else(|problem| panic!("{problem}\n{}", told()));
            assert!(found.is_none_or(|found| found == rows), "{found:?} for {rows} rows\n{}", told());
            results.answered += 1;
            results.of_other_length += usize::from(Ok(rows) != rows::count(valid));
        } else {
            results.refused += 1;
        }
        if reply.header("connection") == Some("close") {
            stream = Fast::to(server);
        }
    }
    results
}

/// Sends changes of requests. Afterwards the server has not failed once, and answers the valid ones
/// as before. Returns how many were answered that have another number of rows than before their
/// change.
fn endure(server: &Running, seed: u64, valid: &[Request]) -> usize {
    let ask = || valid.iter().map(|request| lasting(&request.ask(&mut Fast::to(server)))).collect::<Vec<_>>();
    let before = ask();
    for (request, (status, answer)) in valid.iter().zip(&before) {
        assert_eq!(*status, 200, "{} {}: {answer}", request.path, request.body.escape_ascii());
    }
    let results = send(server, seed, valid);
    // Changes that are all refused, or all harmless, would show nothing.
    let least = REQUESTS / 50;
    assert!(results.answered > least && results.refused > least, "{results:?}");
    assert_eq!(ask(), before);
    expect_health(server);
    results.of_other_length
}

/// The changed requests of a kind that have another number of rows and are answered, at least. With
/// fewer, wrong numbers of rows would go unseen.
const OF_OTHER_LENGTH: usize = REQUESTS / 100;

/// Asserts that a server is well, and that no request was its own fault.
fn expect_health(server: &Running) {
    let health = server.ask("GET", "/health", &[], b"");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")), "{}", health.text());
    assert_eq!(server.ask("GET", "/health/ready", &[], b"").status, 200);
    let metrics = server.ask("GET", "/metrics", &[], b"").text().to_owned();
    let faults: Vec<&str> = metrics.lines().filter(|line| line.contains("code=\"5")).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let replaced = |line: &&str| {
        let is_count = line.starts_with("stagewright_session_replacements_total{") && !line.ends_with(" 0");
        is_count && !line.contains("reason=\"age\"")
    };
    assert_eq!(metrics.lines().find(replaced), None);
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something has panicked");
}

/// Returns what an answer has that does not differ from request to request.
fn lasting(reply: &Reply) -> (u16, Value) {
    // An answer of tensors as bytes is no JSON as a whole.
    let mut body = serde_json::from_slice(&reply.body).unwrap_or_else(|_| {
        let length = reply.header("inference-header-content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        let (text, bytes) = reply.body.split_at(length);
        json!([serde_json::from_slice::<Value>(text).unwrap_or_default(), bytes])
    });
    for place in ["/request_id", "/parameters/request_id", "/0/parameters/request_id"] {
        if let Some(id) = body.pointer_mut(place) {
            *id = Value::Null;
        }
    }
    (reply.status, body)
}

// invariant: No body of JSON is the server's fault, or gets another number of predictions than it
// has rows.
#[test]
fn changed_json_is_predicted_row_by_row_or_refused() {
    assert!(endure(&serve(valid::mixed()), 1, &valid::json()) > OF_OTHER_LENGTH);
}

// invariant: No CSV is the server's fault, or gets another number of predictions than it has rows.
#[test]
fn changed_csv_is_predicted_row_by_row_or_refused() {
    assert!(endure(&serve(valid::mixed()), 2, &valid::csv("/predict")) > OF_OTHER_LENGTH);
}

// invariant: No Arrow stream is the server's fault, or gets another number of predictions than it
// has rows.
#[test]
fn changed_arrow_streams_are_predicted_row_by_row_or_refused() {
    assert!(endure(&serve(valid::mixed()), 3, &valid::arrow()) > OF_OTHER_LENGTH);
}

// Shapes and values of tensors rarely change together. Values of another number are refused.
//
// invariant: No tensors are the server's fault, or get another number of predictions than they have
// rows.
#[test]
fn changed_tensors_are_predicted_row_by_row_or_refused() {
    endure(&serve(valid::mixed()), 4, &valid::columns());
    endure(&serve(valid::numbers()), 5, &valid::matrices());
}

// invariant: No tensors of bytes are the server's fault, or get another number of predictions than
// they have rows.
#[test]
fn changed_tensors_of_bytes_are_predicted_row_by_row_or_refused() {
    endure(&serve(valid::mixed()), 6, &valid::columns_of_bytes());
    endure(&serve(valid::numbers()), 7, &valid::matrices_of_bytes());
}

// invariant: No body of MLflow's protocol is the server's fault, or gets another number of
// predictions than it has rows.
#[test]
fn changed_invocations_are_predicted_row_by_row_or_refused() {
    assert!(endure(&serve(valid::mixed()), 8, &valid::invocations()) > OF_OTHER_LENGTH);
    assert!(endure(&serve(valid::mixed()), 9, &valid::csv("/invocations")) > OF_OTHER_LENGTH);
}
