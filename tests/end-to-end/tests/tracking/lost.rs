//! A server that is killed again and again while clients log.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_end_to_end::Place;
use stagewright_services::postgres::Cluster;

use super::server::{Answer, Server};

const CLIENTS: usize = 16;
const ROUNDS: usize = 10;

/// The most requests, of all clients, that are answered before a server is killed.
const MOST_BEFORE: usize = 250;

/// The metrics of a batch.
const BATCH: [&str; 5] = ["b0", "b1", "b2", "b3", "b4"];

const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of request that a client repeats, once with each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Metric,
    Batch,
    File,
    Tag,
}

/// A client with a run of its own, over all servers that it meets.
struct Client {
    kind: Kind,
    run: String,
    /// The numbers below this are recorded.
    next: usize,
}

// invariant: What the tracking server answered is there after it was killed, and nothing is twice.
#[test]
fn everything_that_was_answered_is_there_after_kills_at_random_moments_and_nothing_twice() {
    killed_again_and_again(&[]);
}

// invariant: as
// `everything_that_was_answered_is_there_after_kills_at_random_moments_and_nothing_twice`
#[test]
#[ignore = "needs PostgreSQL"]
fn everything_that_was_answered_is_there_over_postgresql_after_kills() {
    killed_again_and_again(&["--registry", &Cluster::shared().create_database()]);
}

fn killed_again_and_again(registry: &[&str]) {
    let place = Place::new();
    let mut server = Server::start_with(&place, registry);
    let kinds = [Kind::Metric, Kind::Batch, Kind::File, Kind::Tag];
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|client| {
            let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
            let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
            Client { kind: kinds[client % kinds.len()], run, next: 0 }
        })
        .collect();
    for round in 0..ROUNDS {
        // Another moment in every run of the test.
        let before = 1 + RandomState::new().hash_one(round) as usize % MOST_BEFORE;
        let answered = until_killed(&server, &clients, before);
        drop(server);
        server = Server::start_with(&place, registry);
        for (client, answered) in clients.iter_mut().zip(answered) {
            let there = client.recorded(&server);
            // One request may have been carried out and not answered.
            assert!(
                there == answered || there == answered + 1,
                "round {round}, killed after {before}: {:?} of {answered} answered, {there} there",
                client.kind
            );
            client.next = there;
            // No process held the run, so that no restart ends it.
            let run: Value = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={}", client.run)).done();
            assert_eq!(run["run"]["info"]["status"], "RUNNING");
        }
    }
}

/// Has all clients ask, and kills the server when so many requests were answered. Returns the
/// number up to which each client was answered.
fn until_killed(server: &Server, clients: &[Client], before: usize) -> Vec<usize> {
    let all = AtomicUsize::new(0);
    thread::scope(|scope| {
        let all = &all;
        let asking: Vec<_> = clients.iter().map(|client| scope.spawn(move || client.ask(server, all))).collect();
        let began = Instant::now();
        while all.load(Ordering::Relaxed) < before {
            assert!(began.elapsed() < PATIENCE, "the clients log too slowly");
            thread::sleep(Duration::from_micros(200));
        }
        let killed = rustix::process::Pid::from_raw(server.process().cast_signed()).expect("a process");
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).expect("the server is killed");
        asking.into_iter().map(|client| client.join().expect("a client")).collect()
    })
}

impl Client {
    /// Asks until the server is gone. Returns the number up to which it was answered.
    fn ask(&self, server: &Server, all: &AtomicUsize) -> usize {
        for number in self.next.. {
            match self.request(server, number) {
                Ok(answer) => drop(answer.done()),
                Err(_) => return number,
            }
            all.fetch_add(1, Ordering::Relaxed);
        }
        unreachable!("numbers do not end")
    }

    fn request(&self, server: &Server, number: usize) -> Result<Answer, ureq::Error> {
        let post = |path: &str, body: Value| {
            let path = format!("/api/2.0/mlflow/{path}");
            server.try_to_ask("POST", &path, &[("content-type", "application/json")], body.to_string().as_bytes())
        };
        let point = |key: &str| json!({ "key": key, "value": 0.5, "timestamp": 1, "step": number });
        match self.kind {
            Kind::Metric => {
                let mut body = point("loss");
                body["run_id"] = self.run.as_str().into();
                post("runs/log-metric", body)
            }
            Kind::Batch => post("runs/log-batch", json!({ "run_id": self.run, "metrics": BATCH.map(point) })),
            Kind::Tag => {
                post("runs/set-tag", json!({ "run_id": self.run, "key": format!("{number:06}"), "value": "yes" }))
            }
            Kind::File => {
                let path = self.path(number);
                server.try_to_ask("PUT", &path, &[], content(&self.run, number).as_bytes())
            }
        }
    }

    fn path(&self, number: usize) -> String {
        format!("/api/2.0/mlflow-artifacts/artifacts/0/{}/artifacts/{number:06}.txt", self.run)
    }

    /// Returns how many numbers are recorded, each of which must be there once and whole.
    fn recorded(&self, server: &Server) -> usize {
        let run = &self.run;
        let numbers: Vec<usize> = match self.kind {
            Kind::Metric => steps(server, run, "loss"),
            Kind::Batch => {
                let [first, others @ ..] = BATCH.map(|name| steps(server, run, name));
                assert!(others.iter().all(|other| *other == first), "a batch is there in part: {first:?} {others:?}");
                first
            }
            Kind::Tag => {
                let run: Value = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).done();
                let tags = run["run"]["data"]["tags"].as_array().expect("tags").iter();
                tags.filter_map(|tag| tag["key"].as_str()?.parse().ok()).collect()
            }
            Kind::File => {
                let listed = server.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path=0/{run}/artifacts")).done();
                let files = listed["files"].as_array().map(Vec::as_slice).unwrap_or_default();
                let number = |path: &Value| path.as_str()?.strip_suffix(".txt")?.parse().ok();
                let mut numbers: Vec<usize> = files.iter().filter_map(|file| number(&file["path"])).collect();
                numbers.sort_unstable();
                for number in &numbers {
                    let body = server.get(&self.path(*number)).body;
                    assert!(body == content(run, *number).as_bytes(), "file {number} is not what was uploaded");
                }
                numbers
            }
        };
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "each number once");
        numbers.len()
    }
}

/// Returns the steps of a metric in the order of the history.
fn steps(server: &Server, run: &str, name: &str) -> Vec<usize> {
    let history = server.get(&format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key={name}")).done();
    let points = history["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    points.iter().map(|point| point["step"].as_u64().expect("a step") as usize).collect()
}

/// Returns the content of a file, which no other file has.
fn content(run: &str, number: usize) -> String {
    format!("{run} {number}\n").repeat(50)
}
