//! Answers of the server, and that every error has one form.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_serving::{PoolOptions, RequestId, TokenSource};

use crate::bed::{Running, ask, predict, read_reply, send, version};

const JSON: &[&str] = &["Content-Type: application/json"];

#[test]
fn a_prediction_has_the_identifier_of_its_request_in_body_and_header() {
    let server = Running::start();
    let mut stream = server.connect();
    let headers = ["Content-Type: application/json; charset=utf-8", "X-Request-Id: mine-1"];
    let reply = ask(&mut stream, "POST", "/predict", &headers, b"[{\"x\": 0.25}, {\"x\": 0.75}]");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    let expected = json!([{ "label": "no", "probability": 0.25 }, { "label": "yes", "probability": 0.75 }]);
    assert_eq!(body["predictions"], expected);
    assert_eq!((&body["model"], &body["version"]), (&json!("numbers"), &json!(3)));
    let id = body["request_id"].as_str().expect("an identifier");
    assert_eq!(reply.header("x-request-id"), Some(id));
    assert_eq!(reply.header("x-client-request-id"), Some("mine-1"));
    assert_eq!(RequestId::parse(id), Some((3, None)));
    // The connection is kept, and each request has an identifier of its own.
    let again = predict(&mut stream, 0.5);
    assert_ne!(again.header("x-request-id"), Some(id));
    assert_eq!(again.header("x-client-request-id"), None);
    // The router answers the second.
    for path in ["/models/numbers/predict", "/models/n%75mbers/predict"] {
        let by_name = server.ask("POST", path, JSON, b"{\"x\": 1.0}");
        let (body, id) = (by_name.json(), by_name.header("x-request-id"));
        assert_eq!((&body["predictions"][0]["label"], body["request_id"].as_str()), (&json!("yes"), id));
        assert_eq!(body["digest"], server.ask("GET", "/models/numbers", &[], b"").json()["digest"]);
        assert_eq!(id.map(RequestId::parse), Some(Some((3, None))));
    }
}

// invariant: Every error of the server's own interface but 422 has one form, with a code for
// programs and the identifier of the request; 422 has the identifier too.
#[test]
fn every_error_has_one_form() {
    let server = Running::limited(|limits| limits.body_bytes = 100_000);
    let ask = |method, path, headers: &[&str], body: &[u8]| server.ask(method, path, headers, body);
    ask("GET", "/nowhere", &[], b"").expect_error(404, "not_found");
    ask("POST", "/models/other/predict", JSON, b"{}").expect_error(404, "no_model");
    let not_allowed = ask("GET", "/predict", &[], b"");
    not_allowed.expect_error(405, "method_not_allowed");
    assert_eq!(not_allowed.header("allow"), Some("POST"));
    ask("POST", "/predict", &["Content-Type: text/html"], b"x").expect_error(415, "unsupported_content_type");
    let packed = ["Content-Type: application/json", "Content-Encoding: gzip"];
    ask("POST", "/predict", &packed, b"\x1f\x8b").expect_error(415, "unsupported_encoding");
    ask("POST", "/predict", JSON, &vec![b' '; 100_001]).expect_error(413, "too_large");
    // The reason of a fault is the operator's.
    let failed = server.predict(2.0);
    failed.expect_error(500, "model_failed");
    assert!(!failed.text().contains("secret"));
    // A path whose name is no UTF-8.
    ask("POST", "/models/%ff/predict", JSON, b"{}").expect_error(400, "bad_request");
    let wrong = ask("POST", "/predict", JSON, b"{\"x\": \"many\"}");
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    assert_eq!(wrong.json()["request_id"].as_str(), wrong.header("x-request-id"));
    assert_eq!(server.predict(0.5).status, 200);
}

#[test]
fn a_request_that_waits_for_too_long_is_given_up_and_too_many_are_refused() {
    let options = PoolOptions { workers: 1, gathered_rows: 1, queued_rows: 2, ..PoolOptions::default() };
    let server = Running::serving(version(1, options, Duration::from_millis(400)), |_| {});
    // One keeps the only worker, another the one that stands by.
    let mut busy: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut busy {
        send(stream, "POST", "/predict", JSON, b"{\"x\": -1500}").expect("a request");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut waiting: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut waiting {
        send(stream, "POST", "/predict", JSON, b"{\"x\": 0.5}").expect("a request");
    }
    std::thread::sleep(Duration::from_millis(50));
    let refused = server.predict(0.5);
    refused.expect_error(429, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    for stream in busy.iter_mut().chain(&mut waiting) {
        let reply = read_reply(stream).expect("an answer");
        reply.expect_error(504, "deadline");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[test]
fn tokens_open_what_their_roles_say() {
    let text = "reader-0123456789ab predict\nwatcher-0123456789a metrics\n".to_owned();
    let server = Running::with(|options| options.tokens = Some(TokenSource::Text(text, "a test")));
    let reader = "Authorization: Bearer reader-0123456789ab";
    let body = b"{\"x\": 0.5}";
    let denied = server.ask("POST", "/predict", JSON, body);
    denied.expect_error(401, "unauthorized");
    assert_eq!(denied.header("www-authenticate"), Some("Bearer"));
    server
        .ask("POST", "/predict", &["Authorization: Bearer nobody-0123456789a"], body)
        .expect_error(401, "unauthorized");
    assert_eq!(server.ask("POST", "/predict", &[reader], body).status, 200);
    server.ask("GET", "/metrics", &[reader], b"").expect_error(403, "forbidden");
    assert_eq!(server.ask("GET", "/metrics", &["Authorization: Bearer watcher-0123456789a"], b"").status, 200);
    assert_eq!(server.ask("GET", "/health/ready", &[], b"").status, 200);
    server.ask("GET", "/health", &[], b"").expect_error(401, "unauthorized");
    server.ask("GET", "/nowhere", &[], b"").expect_error(401, "unauthorized");
}

#[test]
fn a_request_of_many_outputs_does_not_multiply_its_answer() {
    let server = Running::start();
    let ask = |outputs: &str| {
        let input = r#"{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.25]}"#;
        let body = format!(r#"{{"inputs": [{input}], "outputs": [{outputs}]}}"#);
        server.ask("POST", "/v2/models/numbers/infer", JSON, body.as_bytes())
    };
    let (label, probability) = (r#"{"name":"label"}"#, r#"{"name":"probability"}"#);
    let both = ask(&format!("{probability},{label}"));
    assert_eq!(both.status, 200, "{}", both.text());
    let names: Vec<_> =
        both.json()["outputs"].as_array().expect("outputs").iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["probability", "label"]);
    for (outputs, told) in [
        (format!("{label},{label}"), "the output `label` is named twice"),
        (vec![label; 10_000].join(","), "`outputs` names 10000 outputs, and the model has 2"),
    ] {
        let refused = ask(&outputs);
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(told), "{}", refused.text());
    }
}

// Bodies and answers that are so long that other threads decode and write them.
#[test]
fn long_requests_get_the_same_answers_over_each_protocol() {
    let server = Running::start();
    let values: Vec<f64> = (0..9000).map(|row| f64::from(row) / 9001.0).collect();
    let list = |each: fn(&f64) -> String| values.iter().map(each).collect::<Vec<_>>().join(",");
    let ask = |path: &str, body: String| {
        assert!(body.len() > 64 << 10, "{} bytes are not long", body.len());
        let reply = server.ask("POST", path, JSON, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let native = ask("/predict", format!("[{}]", list(|value| format!("{{\"x\":{value:?}}}"))));
    let native = native["predictions"].as_array().expect("predictions");
    assert_eq!(native.len(), values.len());
    let member = |name: &str| native.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(member("probability"), values);
    let data = list(|value| format!("{value:?}"));
    let tensor = format!(r#"{{"name":"x","shape":[9000],"datatype":"FP64","data":[{data}]}}"#);
    let inferred = ask("/v2/models/numbers/infer", format!(r#"{{"inputs":[{tensor}]}}"#));
    assert_eq!(inferred["outputs"][0]["data"], json!(member("label")));
    assert_eq!(inferred["outputs"][1]["data"], json!(values));
    let rows = list(|value| format!("[{value:?}]"));
    let invoked = ask("/invocations", format!(r#"{{"instances":[{rows}]}}"#));
    assert_eq!(invoked["predictions"], json!(member("label")));
}

#[test]
fn the_description_is_of_the_version_that_is_served_and_keeps_none_loaded() {
    let server = Running::start();
    let described = || {
        let reply = server.ask("GET", "/openapi.json", &[], b"");
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        reply.json()["paths"]["/predict"]["post"]["x-version"].clone()
    };
    assert_eq!([described(), described()], [3, 3]);
    let next = version(4, PoolOptions::default(), Duration::from_secs(5));
    let left = Arc::downgrade(&server.model.current().expect("a version"));
    server.model.replace(next);
    let began = Instant::now();
    while left.strong_count() > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "something keeps the version loaded");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!([described(), described()], [4, 4]);
}
