//! Shadows: whatever they do, clients get the answers that they get without them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use serde_json::{Value, json};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::ModelSession;
use stagewright_serving::{PoolOptions, RequestId, ServedVersion};

use crate::bed::{Reply, Running, ask, version, version_of};
use crate::deployments::{Fast, JSON, deployment};

/// The longest time until something that happens by itself has happened.
const SOON: Duration = Duration::from_secs(30);

/// A shadow's answer to values of the column `x`.
type Deed = dyn Fn(&[f64]) -> Result<Vec<f64>, StageFault> + Send + Sync;

struct Shadow(Arc<Deed>);

impl ModelSession for Shadow {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let values: Vec<f64> =
            rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Float64Type>().values().to_vec()).collect();
        (self.0)(&values)
    }

    fn is_alive(&self) -> bool {
        true
    }
}

fn shadow(
    options: PoolOptions,
    deed: impl Fn(&[f64]) -> Result<Vec<f64>, StageFault> + Send + Sync + 'static,
) -> Arc<ServedVersion> {
    let deed: Arc<Deed> = Arc::new(deed);
    version_of(2, &["x"], options, Duration::from_millis(300), move || Box::new(Shadow(deed.clone())))
}

/// Starts a server of version 1, whose requests are copied to a shadow.
fn with_shadow(shadow: Arc<ServedVersion>) -> Running {
    let champion = version(1, PoolOptions::default(), Duration::from_secs(20));
    let server = Running::serving(champion.clone(), |_| {});
    let plan = json!({ "strategy": "shadow", "version": 2 });
    server.model.carry_out(deployment(&plan, 0, 0.0), &[champion, shadow]).expect("a deployment");
    server
}

/// Returns the sum of a metric's samples whose labels have a text.
fn metric(server: &Running, name: &str, labels: &str) -> f64 {
    let text = server.ask("GET", "/metrics", &[], b"").text().to_owned();
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
    samples.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect(line)).sum()
}

/// Waits until a metric is a number.
#[track_caller]
fn until(server: &Running, name: &str, labels: &str, number: f64) {
    let began = Instant::now();
    while metric(server, name, labels) != number {
        assert!(began.elapsed() < SOON, "{name} is {}, not {number}", metric(server, name, labels));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Status, headers and body of an answer without what differs from request to request.
type Lasting = (u16, Vec<(String, String)>, String);

fn lasting(reply: &Reply) -> Lasting {
    let id = reply.header("x-request-id").expect("an identifier");
    assert_eq!(RequestId::parse(id), Some((1, None)), "{id}");
    let headers = reply.headers.iter().filter(|(name, _)| name != "date");
    let headers = headers.map(|(name, value)| (name.clone(), value.replace(id, "ID"))).collect();
    (reply.status, headers, reply.text().replace(id, "ID"))
}

/// All kinds of requests: answered, refused, failed; over each protocol.
fn requests() -> Vec<(&'static str, &'static str)> {
    let tensor = r#"{"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [0.5, 0.1]}]}"#;
    vec![
        ("/predict", r#"{"x": 0.25}"#),
        ("/predict", r#"[{"x": 0.25}, {"x": 0.75}]"#),
        ("/predict", "[]"),
        ("/predict", r#"{"x": "many"}"#),
        ("/predict", "{"),
        ("/predict", r#"{"x": 2.0}"#),
        ("/v2/models/numbers/infer", tensor),
        ("/v2/models/numbers/infer", "{}"),
        ("/invocations", r#"{"instances": [[0.5], [0.6]]}"#),
        ("/invocations", r#"{"instances": 5}"#),
    ]
}

fn all_answers(server: &Running) -> Vec<Lasting> {
    let mut stream = server.connect();
    requests().iter().map(|(path, body)| lasting(&ask(&mut stream, "POST", path, &[JSON], body.as_bytes()))).collect()
}

// invariant: Answers are byte for byte the same with a shadow and without it, whether the shadow
// answers, fails, hangs or panics.
#[test]
fn answers_are_the_same_with_a_shadow_whatever_it_does() {
    let alone = Running::serving(version(1, PoolOptions::default(), Duration::from_secs(20)), |_| {});
    let expected = all_answers(&alone);
    assert_eq!(expected.iter().filter(|(status, ..)| *status == 200).count(), 5);
    let options = PoolOptions::default();
    let few = PoolOptions { queued_rows: 1, ..options };
    let shadows = [
        ("answers", shadow(options, |values| Ok(values.to_vec()))),
        ("differs", shadow(options, |values| Ok(values.iter().map(|value| 1.0 - value).collect()))),
        ("fails", shadow(options, |_| Err(StageFault::host("it fails")))),
        ("panics", shadow(options, |_| panic!("a shadow panics"))),
        (
            "is slow",
            shadow(few, |values| {
                std::thread::sleep(Duration::from_secs(1));
                Ok(values.to_vec())
            }),
        ),
    ];
    for (deed, shadow) in shadows {
        let server = with_shadow(shadow);
        for _ in 0..3 {
            assert_eq!(all_answers(&server), expected, "a shadow that {deed}");
        }
    }
}

/// A shadow that answers when the sender is dropped. Its copies have this time.
fn held(options: PoolOptions, deadline: Duration) -> (Sender<()>, Arc<ServedVersion>) {
    let (let_go, held): (Sender<()>, Receiver<()>) = channel();
    let held = Arc::new(Mutex::new(held));
    let deed: Arc<Deed> = Arc::new(move |values| {
        let _ = held.lock().map(|held| held.recv());
        Ok(values.to_vec())
    });
    (let_go, version_of(2, &["x"], options, deadline, move || Box::new(Shadow(deed.clone()))))
}

// invariant: No answer waits for a shadow.
#[test]
fn no_answer_waits_for_a_shadow_that_never_answers() {
    let options = PoolOptions { queued_rows: 40, ..PoolOptions::default() };
    let (let_go, shadow) = held(options, Duration::from_millis(300));
    let server = with_shadow(shadow);
    // Dropped first, whatever happens: the server ends with its sessions.
    let _let_go = let_go;
    let mut stream = server.connect();
    for _ in 0..500 {
        let reply = ask(&mut stream, "POST", "/predict", &[JSON], b"{\"x\": 0.5}");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // Every copy is accounted for: it passed its deadline, or found the queue full.
    until(&server, "stagewright_requests_total", "arm=\"shadow\"", 500.0);
    assert!(metric(&server, "stagewright_requests_total", "arm=\"shadow\",protocol=\"other\",code=\"504\"") > 0.0);
    assert!(metric(&server, "stagewright_requests_total", "arm=\"shadow\",protocol=\"other\",code=\"429\"") > 0.0);
    assert_eq!(
        metric(&server, "stagewright_requests_total", "version=\"1\",arm=\"\",protocol=\"native\",code=\"200\""),
        500.0
    );
    assert_eq!(metric(&server, "stagewright_shadow_compared_rows_total", "version=\"2\""), 0.0);
}

#[test]
fn copies_beyond_a_bound_are_dropped_and_counted() {
    let options = PoolOptions { queued_rows: usize::MAX, ..PoolOptions::default() };
    let (let_go, shadow) = held(options, SOON);
    let server = with_shadow(shadow);
    let _let_go = let_go;
    let mut stream = Fast::to(&server);
    // Each takes 4 KiB at least, of 64 MiB.
    let room = (64 << 20) / (4 << 10);
    for _ in 0..room + 100 {
        let reply = ask(&mut stream, "POST", "/predict", &[JSON], b"{\"x\": 0.5}");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(metric(&server, "stagewright_shadow_dropped_total", "version=\"2\""), 100.0);
}

// invariant: A shadow has metrics of its own, and the number of its different answers is known.
#[test]
fn the_answers_of_a_shadow_are_compared() {
    // Another label for values below a half, the same one for those above.
    let server = with_shadow(shadow(PoolOptions::default(), |values| {
        Ok(values.iter().map(|value| if *value < 0.5 { 1.0 - value } else { *value }).collect())
    }));
    let mut stream = server.connect();
    for _ in 0..10 {
        let reply = ask(&mut stream, "POST", "/predict", &[JSON], br#"[{"x": 0.25}, {"x": 0.75}, {"x": 0.9}]"#);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    until(&server, "stagewright_shadow_compared_rows_total", "version=\"2\"", 30.0);
    until(&server, "stagewright_shadow_different_rows_total", "version=\"2\"", 10.0);
    until(&server, "stagewright_rows_total", "version=\"2\",arm=\"shadow\"", 30.0);
    assert_eq!(metric(&server, "stagewright_shadow_dropped_total", "version=\"2\""), 0.0);
    assert_eq!(metric(&server, "stagewright_rows_total", "version=\"1\",arm=\"\""), 30.0);
    // Nobody asks a shadow by its number.
    let infer = server.ask("POST", "/v2/models/numbers/versions/2/infer", &[JSON], b"{}");
    assert_eq!(infer.status, 404, "{}", infer.text());
    let described: Value = server.ask("GET", "/v2/models/numbers", &[], b"").json();
    assert_eq!(described["versions"], json!(["1"]));
}
