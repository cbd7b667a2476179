//! Values of metrics that are sent to another server: each once.

use serde_json::{Value, json};
use stagewright_exchange::export::Exporter;
use stagewright_mlflow_client::{Address, Limits, Server, Settings};
use stagewright_services::receiver::{Answer, Receiver};
use stagewright_store::{Home, MetricPoint, NewRun, RunId};

/// A server that answers every request alike: with an experiment, a copy of a run, and these.
fn server(runs: Value, metrics: Value) -> Receiver {
    let copy = json!({ "info": { "run_id": "copy", "start_time": 1, "artifact_uri": "s3://elsewhere/copy" } });
    let experiment = json!({ "experiment_id": "7", "lifecycle_stage": "active" });
    let body = json!({ "experiment": experiment, "run": copy, "runs": runs, "metrics": metrics }).to_string();
    Receiver::start(move |_| Answer::Text(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())))
}

/// The values that were logged there: step, time and value of each.
fn logged(receiver: &Receiver) -> Vec<(i64, i64, Value)> {
    let received = receiver.received();
    let batches = received.iter().filter(|request| request.head[0].contains("/runs/log-batch"));
    let metrics = batches.flat_map(|request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        body["metrics"].as_array().cloned().unwrap_or_default()
    });
    let whole = |value: &Value| value.as_i64().expect("a number");
    metrics.map(|it| (whole(&it["step"]), whole(&it["timestamp"]), it["value"].clone())).collect()
}

struct World {
    _folder: tempfile::TempDir,
    home: Home,
    run: RunId,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let run = home.registry.begin_run(&NewRun { experiment: "churn".into(), ..NewRun::default() }).expect("a run");
        Self { _folder: folder, home, run }
    }

    fn log(&self, (step, at_ms, value): (i64, i64, f64)) {
        let point = MetricPoint { name: "loss".into(), value, step, at_ms: Some(at_ms), ..MetricPoint::default() };
        self.home.registry.log_metric(&self.run, &point).expect("a value");
    }

    fn exporter(&self, to: &Receiver) -> Exporter {
        let address = Address::parse(&to.url("")).expect("an address");
        let server = Server::new(address, Settings::default(), Limits::PATIENT);
        Exporter::new(server, self.home.registry.clone(), self.home.artifacts.clone(), Box::new(|_| None))
    }
}

// invariant: A value of a metric is sent to an MLflow server once, whatever its time and however
// often its run is sent.
#[test]
fn a_value_that_is_recorded_later_is_sent_once_whatever_its_time() {
    let world = World::new();
    let there = server(json!([]), json!([]));
    let mut exporter = world.exporter(&there);
    world.log((2, 20, 0.5));
    exporter.send(&world.run).expect("sent");
    // As by another process, whose step began before.
    world.log((1, 10, 0.75));
    exporter.send(&world.run).expect("sent");
    world.log((0, 5, 1.0));
    exporter.send(&world.run).expect("sent");
    exporter.send(&world.run).expect("sent");
    assert_eq!(logged(&there), [(2, 20, json!(0.5)), (1, 10, json!(0.75)), (0, 5, json!(1.0))]);
}

// invariant: as `a_value_that_is_recorded_later_is_sent_once_whatever_its_time`
#[test]
fn an_export_that_is_repeated_sends_no_value_that_is_there() {
    let world = World::new();
    world.log((1, 10, 0.5));
    world.log((1, 10, 0.625));
    world.log((2, 20, f64::INFINITY));
    world.log((2, 30, f64::NAN));
    world.log((3, 30, -0.0));
    let copy = json!([{ "info": { "run_id": "copy", "artifact_uri": "s3://elsewhere/copy" } }]);
    let value = |step, at, value| json!({ "key": "loss", "step": step, "timestamp": at, "value": value });
    let known = json!([
        value(1, 10, json!(0.5)),
        value(2, 20, json!(f64::MAX)),
        value(2, 30, json!("NaN")),
        value(3, 30, json!(0.0)),
    ]);
    let there = server(copy, known);
    world.exporter(&there).send(&world.run).expect("sent");
    assert_eq!(logged(&there), [(1, 10, json!(0.625))]);
}
