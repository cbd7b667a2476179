//! Deployments as clients see them: who answers, what stays the same, what no request notices.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stagewright_deployment::Plan;
use stagewright_serving::{PoolOptions, RequestId, ServedVersion, TokenSource};
use stagewright_store::{Deployment, DeploymentArm, DeploymentStatus};

use crate::bed::{Reply, Running, ask, predict, version, version_of};

pub(crate) const JSON: &str = "Content-Type: application/json";

/// A connection whose answers are not read byte by byte.
pub(crate) struct Fast(BufReader<TcpStream>);

impl Fast {
    pub(crate) fn to(server: &Running) -> Self {
        Self(BufReader::new(server.connect()))
    }
}

impl Read for Fast {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Fast {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

/// A deployment of the model `numbers` as the registry would have it, whose candidate has a share.
pub(crate) fn deployment(plan: &Value, revision: u64, share: f64) -> Deployment {
    let new = Plan::parse(plan).expect("a plan").new_deployment(1, "a test").expect("a deployment");
    let [control, candidate] = &new.arms[..] else { panic!("{:?}", new.arms) };
    let arm = |arm: &DeploymentArm, share| DeploymentArm { share, ..arm.clone() };
    Deployment {
        model: "numbers".into(),
        number: 1,
        revision,
        strategy: new.strategy,
        configuration: new.configuration.clone(),
        status: DeploymentStatus::Active,
        step: u32::try_from(revision).expect("a step"),
        since_ms: 0,
        arms: vec![arm(control, 1.0 - share), arm(candidate, share)],
        state: new.state.clone(),
        reason: new.reason.clone(),
        started_ms: 0,
        started_by: "a test".into(),
        changed_ms: 0,
        changed_by: "a test".into(),
        ended_ms: None,
        ended_by: None,
        end_reason: None,
    }
}

fn plain(number: u32) -> Arc<ServedVersion> {
    version(number, PoolOptions::default(), Duration::from_secs(20))
}

/// A server of version 1 with version 2 beside it.
struct Beside {
    server: Running,
    versions: [Arc<ServedVersion>; 2],
    plan: Value,
}

impl Beside {
    fn new(plan: Value, candidate: Arc<ServedVersion>) -> Self {
        let champion = plain(1);
        let server = Running::serving(champion.clone(), |_| {});
        Self { server, versions: [champion, candidate], plan }
    }

    /// Makes the step in which the candidate has a share.
    fn share(&self, step: u64, share: f64) {
        let deployment = deployment(&self.plan, step, share);
        self.server.model.carry_out(deployment, &self.versions).expect("a deployment");
    }
}

fn canary() -> Value {
    json!({ "strategy": "canary", "version": 2 })
}

/// Returns version and arm of an answer, as its identifier and its body have them.
#[track_caller]
fn answered(reply: &Reply) -> (u32, Option<String>) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.header("x-request-id").expect("an identifier");
    let (version, arm) = RequestId::parse(id).unwrap_or_else(|| panic!("{id}"));
    (version, arm.map(str::to_owned))
}

/// Predicts with a key.
fn ask_with_key(stream: &mut (impl Read + Write), key: &str) -> Reply {
    ask(stream, "POST", "/predict", &[JSON, &format!("X-Routing-Key: {key}")], b"{\"x\": 0.5}")
}

// invariant: Over 100,000 distinct keys, a canary answers its share within 1 %, in the server as in
// the assignment.
#[test]
fn a_canary_answers_its_share_of_the_keys() {
    const KEYS: u32 = 100_000;
    const THREADS: u32 = 4;
    let beside = Beside::new(canary(), plain(2));
    beside.share(1, 0.25);
    let of_canary = |thread: u32| {
        let mut stream = Fast::to(&beside.server);
        let keys = (0..KEYS).filter(|key| key % THREADS == thread);
        keys.filter(|key| match answered(&ask_with_key(&mut stream, &format!("customer-{key}"))) {
            (2, Some(arm)) if arm == "canary" => true,
            (1, Some(arm)) if arm == "control" => false,
            other => panic!("{other:?}"),
        })
        .count()
    };
    let answered: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || of_canary(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("every request is answered")).sum()
    });
    let share = answered as f64 / f64::from(KEYS);
    assert!((share - 0.25).abs() < 0.01, "{share}");
}

// invariant: A key keeps its version; while the share of a canary grows, no key leaves it.
#[test]
fn a_key_keeps_its_version_and_nobody_leaves_the_canary() {
    let beside = Beside::new(canary(), plain(2));
    let mut stream = Fast::to(&beside.server);
    let mut before = vec![false; 1000];
    for (step, share) in [(0, 0.05), (1, 0.25), (2, 0.5), (3, 1.0)] {
        beside.share(step, share);
        for (key, was_canary) in before.iter_mut().enumerate() {
            let asked = [0, 1].map(|_| answered(&ask_with_key(&mut stream, &key.to_string())).0 == 2);
            assert_eq!(asked[0], asked[1], "{key}");
            assert!(asked[0] || !*was_canary, "{key} left the canary at {share}");
            *was_canary = asked[0];
        }
    }
    assert!(before.iter().all(|is_canary| *is_canary));
    // Without a key, or with an empty one, a request gets either.
    beside.share(4, 0.5);
    for key in [None, Some("X-Routing-Key: ")] {
        let headers: Vec<&str> = [JSON].into_iter().chain(key).collect();
        let versions: Vec<u32> =
            (0..60).map(|_| answered(&ask(&mut stream, "POST", "/predict", &headers, b"{\"x\": 0.5}")).0).collect();
        assert!(versions.contains(&1) && versions.contains(&2), "{key:?}: {versions:?}");
    }
}

#[test]
fn every_protocol_asks_the_same_arm() {
    let beside = Beside::new(canary(), plain(2));
    beside.share(2, 0.5);
    let mut stream = Fast::to(&beside.server);
    let tensor = r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]}]}"#;
    let mut versions = Vec::new();
    for key in 0..40 {
        let key = format!("X-Routing-Key: {key}");
        let mut ask = |path: &str, body: &str| {
            let reply = ask(&mut stream, "POST", path, &[JSON, &key], body.as_bytes());
            (answered(&reply), reply.json())
        };
        let native = ask("/predict", r#"{"x": 0.5}"#);
        let by_name = ask("/models/numbers/predict", r#"{"x": 0.5}"#);
        let inferred = ask("/v2/models/numbers/infer", tensor);
        let invoked = ask("/invocations", r#"{"instances": [[0.5]]}"#);
        assert_eq!([&by_name.0, &inferred.0, &invoked.0], [&native.0; 3], "{key}");
        assert_eq!(
            (&native.1["version"], &inferred.1["model_version"]),
            (&json!(native.0.0), &json!(native.0.0.to_string()))
        );
        versions.push(native.0.0);
    }
    assert!(versions.contains(&1) && versions.contains(&2));
    // Whoever names a version gets it, and takes no part.
    for (version, status) in [(1, 200), (2, 200), (3, 404)] {
        let path = format!("/v2/models/numbers/versions/{version}/infer");
        let reply = ask(&mut stream, "POST", &path, &[JSON, "X-Routing-Key: 7"], tensor.as_bytes());
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 200 {
            assert_eq!(answered(&reply), (version, None));
        }
    }
}

#[test]
fn a_key_may_be_a_field_of_the_first_row_in_every_format() {
    let by_field = json!({ "strategy": "canary", "version": 2, "key": { "field": "customer" } });
    let by_header = Beside::new(canary(), plain(2));
    by_header.share(2, 0.5);
    let beside = Beside::new(by_field, plain(2));
    beside.share(2, 0.5);
    let (mut streams, mut versions) = ([Fast::to(&beside.server), Fast::to(&by_header.server)], Vec::new());
    for key in 0..30 {
        let expected = answered(&ask_with_key(&mut streams[1], &format!("c-{key}")));
        let tensors = format!(
            r#"{{"inputs": [{{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]}},
                {{"name": "customer", "shape": [1], "datatype": "BYTES", "data": ["c-{key}"]}}]}}"#
        );
        for (path, kind, body) in [
            ("/predict", JSON, format!(r#"{{"x": 0.5, "customer": "c-{key}"}}"#)),
            ("/predict", JSON, format!(r#"[{{"customer": "c-{key}", "x": 0.5}}, {{"x": 0.1, "customer": "c"}}]"#)),
            ("/predict", "Content-Type: text/csv", format!("customer,x\nc-{key},0.5\n")),
            ("/invocations", JSON, format!(r#"{{"dataframe_records": [{{"x": 0.5, "customer": "c-{key}"}}]}}"#)),
            ("/v2/models/numbers/infer", JSON, tensors),
        ] {
            let reply = ask(&mut streams[0], "POST", path, &[kind], body.as_bytes());
            assert_eq!(answered(&reply), expected, "{path} {body}");
        }
        versions.push(expected.0);
    }
    assert!(versions.contains(&1) && versions.contains(&2));
}

#[test]
fn arms_may_read_requests_differently() {
    let session = || Box::new(Sum) as Box<dyn stagewright_lifecycle::sandbox::ModelSession>;
    let candidate = version_of(2, &["y", "x"], PoolOptions::default(), Duration::from_secs(20), session);
    for plan in [canary(), json!({ "strategy": "canary", "version": 2, "key": { "field": "customer" } })] {
        let beside = Beside::new(plan, candidate.clone());
        beside.share(2, 0.5);
        let mut stream = Fast::to(&beside.server);
        let (mut refused, mut versions) = (0, Vec::new());
        for key in 0..40 {
            let (header, row) = (format!("X-Routing-Key: {key}"), format!(r#""x": 0.25, "customer": "{key}""#));
            let mut ask = |body: String| ask(&mut stream, "POST", "/predict", &[JSON, &header], body.as_bytes());
            let both = ask(format!(r#"{{{row}, "y": 0.5}}"#));
            let (version, arm) = answered(&both);
            let expected = if version == 2 { 0.75 } else { 0.25 };
            assert_eq!(both.json()["predictions"][0]["probability"], expected, "version {version}");
            versions.push(version);
            // The champion needs no `y`.
            let one = ask(format!("{{{row}}}"));
            let id = RequestId::parse(one.header("x-request-id").expect("an id")).expect("an id");
            assert_eq!(id, (version, arm.as_deref()));
            assert_eq!(one.status, if version == 2 { 422 } else { 200 });
            refused += u32::from(one.status == 422);
        }
        assert!(versions.contains(&1) && versions.contains(&2) && refused > 0);
    }
}

/// Predicts the sum of its columns.
struct Sum;

impl stagewright_lifecycle::sandbox::ModelSession for Sum {
    fn predict(
        &mut self,
        rows: &[arrow_array::RecordBatch],
    ) -> Result<Vec<f64>, stagewright_lifecycle::fault::StageFault> {
        use arrow_array::cast::AsArray as _;
        use arrow_array::types::Float64Type;
        let sum = |batch: &arrow_array::RecordBatch, row: usize| -> f64 {
            batch.columns().iter().map(|column| column.as_primitive::<Float64Type>().value(row)).sum()
        };
        Ok(rows.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| sum(batch, row)).collect::<Vec<_>>()).collect())
    }

    fn is_alive(&self) -> bool {
        true
    }
}

// invariant: No request fails because a deployment makes a step, is given up, or begins anew.
#[test]
fn steps_and_ends_under_load_fail_no_request() {
    let beside = Beside::new(canary(), plain(2));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|client: usize| {
                let (stop, server) = (&stop, &beside.server);
                scope.spawn(move || {
                    let mut stream = Fast::to(server);
                    let mut versions = [0_usize; 3];
                    while !stop.load(Ordering::Relaxed) {
                        let key = (client + versions[1] + versions[2]).to_string();
                        versions[answered(&ask_with_key(&mut stream, &key)).0 as usize] += 1;
                    }
                    versions
                })
            })
            .collect();
        for round in 0..150 {
            // Loaded anew each time, so that versions begin and end under load.
            let candidate = [beside.versions[0].clone(), plain(2)];
            let carry_out = |step, share| {
                let deployment = Deployment { number: round + 1, ..deployment(&beside.plan, step, share) };
                beside.server.model.carry_out(deployment, &candidate).expect("a deployment");
            };
            carry_out(0, 0.5);
            std::thread::sleep(Duration::from_millis(4));
            carry_out(1, 1.0);
            std::thread::sleep(Duration::from_millis(4));
            beside.server.model.replace(beside.versions[0].clone());
        }
        // From the moment at which it is given up, the champion answers.
        for _ in 0..20 {
            assert_eq!(answered(&beside.server.predict(0.5)), (1, None));
        }
        stop.store(true, Ordering::Relaxed);
        for client in asking {
            let [_, control, candidate] = client.join().expect("every request is answered");
            assert!(control > 0 && candidate > 0, "{control} {candidate}");
        }
    });
}

#[test]
fn a_switch_moves_all_requests_and_back() {
    let beside = Beside::new(json!({ "strategy": "blue_green", "version": 2 }), plain(2));
    let mut stream = Fast::to(&beside.server);
    for (step, share, expected) in [(0, 0.0, (1, "control")), (1, 1.0, (2, "green"))] {
        beside.share(step, share);
        for _ in 0..20 {
            let (version, arm) = answered(&predict(&mut stream, 0.5));
            assert_eq!((version, arm.as_deref()), (expected.0, Some(expected.1)));
        }
    }
    // The champion stays loaded, and answers at once when the switch is undone.
    beside.server.model.replace(beside.versions[0].clone());
    assert_eq!(answered(&predict(&mut stream, 0.5)), (1, None));
}

#[test]
fn metrics_and_health_tell_the_arms_apart() {
    let beside = Beside::new(canary(), plain(2));
    beside.share(2, 0.5);
    let mut stream = Fast::to(&beside.server);
    let mut canary = 0;
    for key in 0..40 {
        canary += u32::from(answered(&ask_with_key(&mut stream, &key.to_string())).0 == 2);
    }
    let metrics = beside.server.ask("GET", "/metrics", &[], b"").text().to_owned();
    for (version, arm, number) in [(1, "control", 40 - canary), (2, "canary", canary)] {
        let labels = format!("model=\"numbers\",version=\"{version}\",arm=\"{arm}\"");
        let line = format!("stagewright_requests_total{{{labels},protocol=\"native\",code=\"200\"}} {number}");
        assert!(metrics.lines().any(|found| found == line), "{line} is missing:\n{metrics}");
        let info = format!("arm=\"{arm}\"}} 1");
        let is_info = |line: &&str| line.starts_with("stagewright_model_info{") && line.ends_with(&info);
        assert_eq!(metrics.lines().filter(is_info).count(), 1, "{metrics}");
    }
}

// invariant: Deployments are changed by those with the role `admin` alone.
#[test]
fn operators_need_their_role() {
    let text = "reader-0123456789ab predict,outcomes,metrics\nboss-0123456789abcd admin\n".to_owned();
    let server = Running::with(|options| options.tokens = Some(TokenSource::Text(text, "a test")));
    let (reader, boss) = ("Authorization: Bearer reader-0123456789ab", "Authorization: Bearer boss-0123456789abcd");
    for (method, path) in [
        ("GET", "/models/numbers/deployment"),
        ("POST", "/models/numbers/deployment"),
        ("POST", "/models/numbers/deployment/advance"),
        ("POST", "/models/numbers/deployment/abort"),
    ] {
        let body: &[u8] = if method == "POST" { b"{\"reason\": \"a test\"}" } else { b"" };
        let ask = |token: &str| server.ask(method, path, &[token, JSON], body);
        ask(reader).expect_error(403, "forbidden");
        server.ask(method, path, &[JSON], body).expect_error(401, "unauthorized");
        // This server has no registry.
        ask(boss).expect_error(501, "no_registry");
    }
    let other = server.ask("GET", "/models/other/deployment", &[boss], b"");
    other.expect_error(404, "no_model");
    let form = server.ask("POST", "/models/numbers/deployment/abort", &[boss], b"{}");
    form.expect_error(415, "unsupported_content_type");
}
