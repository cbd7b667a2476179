//! A server that is killed while clients log.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_end_to_end::Place;

use super::server::Server;

const CLIENTS: usize = 16;

/// How many values are logged, by all clients, before the server is killed.
const BEFORE: usize = 400;

// invariant: What the tracking server answered is there after it was killed, and nothing is twice.
#[test]
fn everything_that_was_answered_is_there_after_a_kill_and_nothing_twice() {
    let place = Place::new();
    let server = Server::start(&place);
    let create = |_| {
        let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
        run["run"]["info"]["run_id"].as_str().expect("a run").to_owned()
    };
    let runs: Vec<String> = (0..CLIENTS).map(create).collect();
    let all = AtomicUsize::new(0);
    let answered: Vec<usize> = thread::scope(|scope| {
        let (server, all) = (&server, &all);
        let clients: Vec<_> = runs.iter().map(|run| scope.spawn(move || log_until_killed(server, run, all))).collect();
        let patience = Instant::now() + Duration::from_secs(60);
        while all.load(Ordering::Relaxed) < BEFORE {
            assert!(Instant::now() < patience, "the clients log too slowly");
            thread::sleep(Duration::from_millis(2));
        }
        let killed = rustix::process::Pid::from_raw(server.process().cast_signed()).expect("a process");
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).expect("the server is killed");
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    assert!(answered.iter().sum::<usize>() >= BEFORE);

    let server = Server::start(&place);
    for (run, answered) in runs.iter().zip(answered) {
        let path = format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=loss");
        let history = server.get(&path).done();
        let steps: Vec<usize> = history["metrics"].as_array().map_or_else(Vec::new, |points| {
            points.iter().map(|point| point["step"].as_u64().expect("a step") as usize).collect()
        });
        // One request may have been carried out and not answered.
        assert!(steps.len() == answered || steps.len() == answered + 1, "{answered} answered, {} there", steps.len());
        assert_eq!(steps, (0..steps.len()).collect::<Vec<_>>(), "each step once");
        // No process held the run, so that no restart ends it.
        let run: Value = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).done();
        assert_eq!(run["run"]["info"]["status"], "RUNNING");
    }
}

/// Logs values, one step after another, until the server is gone. Returns how many it answered.
fn log_until_killed(server: &Server, run: &str, all: &AtomicUsize) -> usize {
    for step in 0.. {
        let body = json!({ "run_id": run, "key": "loss", "value": 0.5, "timestamp": 1, "step": step });
        let headers = [("content-type", "application/json")];
        let path = "/api/2.0/mlflow/runs/log-metric";
        match server.try_to_ask("POST", path, &headers, body.to_string().as_bytes()) {
            Ok(answer) => drop(answer.done()),
            Err(_) => return step,
        }
        all.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!("steps do not end")
}
