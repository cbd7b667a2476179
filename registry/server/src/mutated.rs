//! Requests that are nearly valid, to every route: each gets an answer or a refusal, and none is
//! the server's fault.
//!
//! A route is asked with values that name what is there, so that changes reach its operation. What
//! a change destroys is made again.

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, StatusCode};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use tower::Service as _;

use crate::app::{App, HttpLimits};
use crate::operation::{Route, Work};
use crate::router::router;
use crate::routes;

/// The changed requests of each form.
const REQUESTS: usize = 5_000;

/// After how many requests everything is made again.
const FRESH_AFTER: usize = 500;

/// Values at the edges of types, of wrong types, and texts that are none.
fn extremes() -> Vec<Value> {
    let long = "x".repeat(70_000);
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    json!([
        null, true, false, 0, -1, 1.5, 1e308, -1e308, 9_223_372_036_854_775_807_i64, -9_223_372_036_854_775_808_i64,
        18_446_744_073_709_551_615_u64, 4_294_967_296_i64, "", " ", "0", "-1", "NaN", "Infinity", "1e400", "\u{0}",
        "a\u{0}b", "\u{ffff}", "ä😀", "../..", "%2e%2e", "/etc/passwd", "'", "\"", "`", "\\", "a = 'b' OR 1 = 1",
        "metrics.a > 1 AND", "name LIKE '%'", "tags.`a` IN ('b')", long, [], {}, [null], [[]], [{}], [1, "a"], {"a": 1},
        deep, "FINISHED", "Production", "ALL", "models:/found@champion", "runs:/x/y", "mlflow-artifacts:/../x"
    ])
    .as_array()
    .expect("values")
    .clone()
}

/// A server's routes, and members that name what is there.
struct Bed {
    _folder: tempfile::TempDir,
    router: Router,
    members: Map<String, Value>,
}

impl Bed {
    async fn new() -> Self {
        let (folder, app) = App::in_new_home(HttpLimits::default(), None);
        let router = router(&app);
        let mut bed = Self { _folder: folder, router, members: Map::new() };
        bed.fill().await;
        bed
    }

    /// Makes an experiment, a run, a model with a version, and a logged model.
    async fn fill(&mut self) {
        let name = format!("found {}", fastrand::u64(..));
        let experiment = self.make("experiments/create", json!({ "name": name })).await;
        let experiment = experiment["experiment_id"].clone();
        let run = self.make("runs/create", json!({ "experiment_id": experiment, "run_name": "found" })).await;
        let run = run["run"]["info"]["run_id"].clone();
        self.make("registered-models/create", json!({ "name": name })).await;
        self.make("model-versions/create", json!({ "name": name, "source": "s3://bucket/a" })).await;
        self.make("registered-models/alias", json!({ "name": name, "alias": "found", "version": "1" })).await;
        let logged = self.make("logged-models", json!({ "experiment_id": experiment, "name": "found" })).await;
        let logged = logged["model"]["info"]["model_id"].clone();
        let pairs = json!([{ "key": "a", "value": "1" }]);
        let dataset = json!({ "name": "d", "digest": "e", "source_type": "local", "source": "{}" });
        let model = json!({ "artifact_path": "a", "flavors": {}, "utc_time_created": "", "run_id": run });
        let members = json!({
            "experiment_id": experiment, "experiment_ids": [experiment], "experiment_name": name, "name": name,
            "new_name": format!("{name} again"), "run_id": run, "run_uuid": run, "run_ids": [run], "run_name": "x",
            "user_id": "u", "start_time": 5, "end_time": 6, "status": "FINISHED", "key": "a", "value": "1",
            "timestamp": 1, "step": 1, "metrics": [{ "key": "a", "value": 1, "timestamp": 1, "step": 0 }],
            "params": pairs, "tags": pairs, "datasets": [{ "tags": pairs, "dataset": dataset }],
            "models": [{ "model_id": logged, "step": 1 }], "model_id": logged, "model_json": model.to_string(),
            "metric_key": "a", "max_results": 10, "page_token": "", "filter": "name LIKE 'f%'", "order_by": ["name"],
            "view_type": "ALL", "run_view_type": "ALL", "version": "1", "alias": "found", "stage": "Staging",
            "stages": ["None"], "archive_existing_versions": false, "source": "s3://bucket/b", "description": "d",
            "path": "a.txt", "artifact_location": "s3://bucket/c", "start_step": 0, "end_step": 5, "model_type": "m",
            "artifact_file_path": "a.txt", "artifact_directory_path": "a", "dataset_name": "d", "dataset_digest": "e"
        });
        self.members = members.as_object().expect("members").clone();
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        let path = format!("/api/2.0/mlflow/{path}");
        let (status, answer) = self.ask(&Method::POST, &path, "application/json", body.to_string().into_bytes()).await;
        assert_eq!(status, StatusCode::OK, "{path} {body}: {}", answer.escape_ascii());
        serde_json::from_slice(&answer).expect("JSON")
    }

    async fn ask(&self, method: &Method, path: &str, kind: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, kind);
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.router.clone().call(request).await.expect("an answer");
        let status = response.status();
        // A stream of events lasts as long as its run: that it began is its answer.
        if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            return (status, Vec::new());
        }
        let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.expect("a body");
        (status, bytes.to_vec())
    }

    /// Asks with a changed request, and checks that the server is not at fault. Returns whether it
    /// did what was asked.
    async fn endure(&self, method: &Method, path: &str, body: &[u8]) -> bool {
        let (status, answer) = self.ask(method, path, "application/json", body.to_vec()).await;
        let told = || format!("{method} {path} {}\nis answered {status}: {}", cut(body), cut(&answer));
        // 501 is for what the interface has and this server does not; clients do not repeat it.
        assert!(status.as_u16() < 500 || status == StatusCode::NOT_IMPLEMENTED, "{}", told());
        // That a path has other methods is HTTP's own answer, and has no body.
        let is_told = !status.is_success() && !status.is_redirection() && status != StatusCode::METHOD_NOT_ALLOWED;
        if is_told && path.contains("api/") {
            let error: Value = serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{error}: {}", told()));
            assert!(error["error_code"].is_string() && error["message"].is_string(), "{}", told());
        }
        status.is_success()
    }

    /// Returns a path of a route, with what is there in its places.
    fn path(&self, rng: &mut Rng, route: &Route) -> String {
        let path = rng.choice(route.paths()).expect("a path");
        let mut filled = String::new();
        let mut rest = path.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').expect("a place has an end");
            let found = self.members.get(name.trim_start_matches('*')).and_then(Value::as_str).unwrap_or("a");
            filled.push_str(before);
            filled.push_str(&encoded(found));
            rest = after;
        }
        filled + rest
    }
}

fn cut(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(600)].escape_ascii().to_string()
}

/// Encodes a text for a path or a query.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Changes members: leaves some out, gives some an extreme value, or that of another.
fn changed(rng: &mut Rng, members: &Map<String, Value>, extremes: &[Value]) -> Map<String, Value> {
    let mut changed = members.clone();
    let names: Vec<&String> = members.keys().collect();
    for _ in 0..rng.usize(1..=4) {
        let name = (*rng.choice(&names).expect("a member")).clone();
        match rng.u8(0..6) {
            0 => drop(changed.remove(&name)),
            1 => {
                let other = &members[*rng.choice(&names).expect("a member")];
                changed.insert(name, other.clone());
            }
            2 => {
                // An entry of a list, or a member of that.
                let value = rng.choice(extremes).expect("a value").clone();
                match changed.get_mut(&name).and_then(Value::as_array_mut).and_then(|list| list.first_mut()) {
                    Some(Value::Object(entry)) if rng.bool() => {
                        let member = rng.choice(entry.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
                        entry.insert(member, value);
                    }
                    Some(entry) => *entry = value,
                    None => drop(changed.insert(name, value)),
                }
            }
            _ => drop(changed.insert(name, rng.choice(extremes).expect("a value").clone())),
        }
    }
    changed
}

/// Changes some bytes: of the JSON, of the escapes in a query.
fn scrambled(rng: &mut Rng, bytes: &mut Vec<u8>, of: &[u8]) {
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.choice(of.iter().copied()).expect("a byte")),
            2 if at < bytes.len() => bytes[at] = rng.choice(of.iter().copied()).expect("a byte"),
            _ => {
                let end = rng.usize(at..=bytes.len().min(at + 20));
                let repeated = bytes[at..end].to_vec();
                bytes.splice(end..end, repeated);
            }
        }
    }
}

/// Asks every route in turn with what `request` makes of it.
async fn endure(
    seed: u64,
    is_asked: fn(&Route) -> bool,
    request: impl Fn(&mut Rng, &Bed, &Route, &[Value]) -> (String, Vec<u8>),
) {
    let routes: Vec<Route> = routes::table().into_iter().filter(is_asked).collect();
    let (mut bed, mut rng, extremes) = (Bed::new().await, Rng::with_seed(seed), extremes());
    let (mut done, mut refused) = (0, 0);
    for number in 0..REQUESTS {
        if number % FRESH_AFTER == FRESH_AFTER - 1 {
            bed.fill().await;
        }
        let route = &routes[number % routes.len()];
        let (path, body) = request(&mut rng, &bed, route, &extremes);
        let count = if bed.endure(&route.method, &path, &body).await { &mut done } else { &mut refused };
        *count += 1;
    }
    // Changes that are all refused, or all harmless, would show nothing.
    assert!(done > REQUESTS / 50 && refused > REQUESTS / 50, "{done} done, {refused} refused");
    let (status, _) = bed.ask(&Method::GET, "/health", "", Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
}

/// Whether requests of a route have JSON bodies.
fn has_body(route: &Route) -> bool {
    matches!(route.work, Work::Operation(..)) && route.method != Method::GET
}

// invariant: as `whatever_a_request_lacks_is_no_fault_of_the_server`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_members_of_bodies_are_no_fault_of_the_server() {
    endure(1, has_body, |rng, bed, route, extremes| {
        let body = Value::Object(changed(rng, &bed.members, extremes)).to_string();
        (bed.path(rng, route), body.into_bytes())
    })
    .await;
}

// invariant: as `whatever_a_request_lacks_is_no_fault_of_the_server`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_bytes_of_bodies_are_no_fault_of_the_server() {
    endure(2, has_body, |rng, bed, route, _| {
        let mut body = Value::Object(bed.members.clone()).to_string().into_bytes();
        // Most of the members, so that changes fall into each.
        if rng.u8(0..4) > 0 {
            scrambled(rng, &mut body, b"0129-.,:;[]{}\"\\nue+ \n\r\t\0\x7f\x80\xff");
        }
        (bed.path(rng, route), body)
    })
    .await;
}

// invariant: as `whatever_a_request_lacks_is_no_fault_of_the_server`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_queries_are_no_fault_of_the_server() {
    let is_asked = |route: &Route| !has_body(route);
    endure(3, is_asked, |rng, bed, route, extremes| {
        let members = changed(rng, &bed.members, extremes);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let short = |value: String| value.chars().take(200).collect::<String>();
        let mut query = String::new();
        for (name, value) in &members {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for value in values.iter().take(3) {
                query.push_str(&format!("{name}={}&", encoded(&short(text(value)))));
            }
        }
        let mut query = query.into_bytes();
        if rng.u8(0..3) == 0 {
            scrambled(rng, &mut query, b"%&=+0aFg.-_~");
        }
        let query = String::from_utf8(query).expect("ASCII");
        (format!("{}?{query}", bed.path(rng, route)), Vec::new())
    })
    .await;
}

// invariant: as `whatever_a_request_lacks_is_no_fault_of_the_server`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_paths_are_no_fault_of_the_server() {
    endure(
        4,
        |_| true,
        |rng, bed, route, _| {
            let mut path = bed.path(rng, route).into_bytes();
            if rng.u8(0..3) > 0 {
                // Below the place of the interface, so that some reach an operation.
                let mut end = path.split_off(path.len().min(16));
                scrambled(rng, &mut end, b"%/.-_0aF~:@!$'()*,;=");
                path.extend(end);
            }
            let path = String::from_utf8(path).expect("ASCII");
            (path, b"{}".to_vec())
        },
    )
    .await;
}
