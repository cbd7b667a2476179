//! Requests and answers whatever they are about: errors, limits, whose requests are answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;
use stagewright_end_to_end::Place;

use super::server::Server;

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_server_tells_that_it_lives_and_what_it_is() {
    let place = Place::new();
    let server = Server::start(&place);
    let health = server.get("/health");
    assert_eq!((health.status, health.body.as_slice()), (200, &b"OK"[..]));
    let version = String::from_utf8(server.get("/version").body).expect("text");
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    let info = server.get("/api/3.0/mlflow/server-info").done();
    assert_eq!((&info["store_type"], &info["multipart_uploads_enabled"]), (&json!("SqlStore"), &json!(false)));
    let default = server.get("/api/2.0/mlflow/experiments/get?experiment_id=0").done();
    assert_eq!(default["experiment"]["name"], "Default");
    let same = server.get("/ajax-api/2.0/mlflow/experiments/get?experiment_id=0").done();
    assert_eq!(default, same);
    let head = server.ask("HEAD", "/api/2.0/mlflow/experiments/get?experiment_id=0", &[], &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["cross-origin-resource-policy"], "same-site");
}

// invariant: as `only_faults_that_pass_have_a_status_that_clients_repeat`
#[test]
fn wrong_requests_get_an_answer_that_clients_do_not_repeat() {
    let place = Place::new();
    let server = Server::start(&place);
    let invalid = "INVALID_PARAMETER_VALUE";
    let create = |body: &[u8]| server.ask("POST", "/api/2.0/mlflow/experiments/create", &[JSON], body);
    create(b"{").refused(400, "MALFORMED_REQUEST");
    create(b"[1]").refused(400, "MALFORMED_REQUEST");
    create(b"").refused(400, invalid);
    let told = create(br#"{"name": 123}"#).refused(400, invalid);
    assert!(told.starts_with("Invalid value 123 for parameter 'name' supplied"), "{told}");
    let told = create(br#"{"other": 1}"#).refused(400, invalid);
    assert!(told.starts_with("Missing value for required parameter 'name'."), "{told}");
    let form = ("content-type", "application/x-www-form-urlencoded");
    server.ask("POST", "/api/2.0/mlflow/experiments/create", &[form], br#"{"name": "x"}"#).refused(400, invalid);
    // Unknown members are ignored, and names are taken once.
    create(br#"{"name": "one", "unknown": {"a": [1]}}"#).done();
    create(br#"{"name": "one"}"#).refused(400, "RESOURCE_ALREADY_EXISTS");

    server.get("/api/2.0/mlflow/experiments/get?experiment_id=77").refused(404, "RESOURCE_DOES_NOT_EXIST");
    server.get("/api/2.0/mlflow/experiments/get?experiment_id=a").refused(400, invalid);
    for run in ["0", "zz", "0123456789abcdef0123456789abcdef", "..%2f..%2fetc"] {
        server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).refused(404, "RESOURCE_DOES_NOT_EXIST");
    }
    for filter in ["metrics.a >", "nothing.a = 1", "metrics.a > 'x'", "a = b OR c = d"] {
        server.post("runs/search", &json!({ "experiment_ids": ["0"], "filter": filter })).refused(400, invalid);
    }
    for wrong in [json!(0), json!(-1), json!(50_001), json!("many"), json!([])] {
        server.post("runs/search", &json!({ "experiment_ids": ["0"], "max_results": wrong })).refused(400, invalid);
    }
    server.post("runs/search", &json!({ "experiment_ids": ["0"], "page_token": "x" })).refused(400, invalid);
    for unknown in ["traces/search", "gateway/endpoints/list", "scorers/list", "nothing"] {
        server.post(unknown, &json!({})).refused(404, "ENDPOINT_NOT_FOUND");
    }
}

// invariant: as `changes_from_pages_of_other_sites_are_refused`
#[test]
fn requests_of_pages_of_other_sites_are_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    let path = "/api/2.0/mlflow/experiments/create";
    let body = br#"{"name": "foreign"}"#;
    for origin in ["http://evil.example", "null", "http://127.0.0.1.evil.example"] {
        server.ask("POST", path, &[JSON, ("origin", origin)], body).refused(403, "PERMISSION_DENIED");
    }
    server.ask("POST", path, &[JSON, ("host", "evil.example")], body).refused(403, "PERMISSION_DENIED");
    let origin = server.address.clone();
    server.ask("POST", path, &[JSON, ("origin", &origin)], body).done();
    let preflight = server.ask("OPTIONS", path, &[("origin", "http://evil.example")], &[]);
    assert!(preflight.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{preflight:?}");
}

// invariant: as `changes_from_pages_of_other_sites_are_refused`
#[test]
fn a_name_that_is_not_the_servers_is_refused_on_every_address() {
    let place = Place::new();
    let path = "/api/2.0/mlflow/experiments/get?experiment_id=0";
    let as_host = |server: &Server, host, path| server.ask("GET", path, &[("host", host)], &[]);
    let open = Server::start_open(&place);
    let told = as_host(&open, "evil.example", path).refused(403, "PERMISSION_DENIED");
    assert!(told.contains("--allowed-host"), "{told}");
    as_host(&open, "192.0.2.7:5000", path).done();
    as_host(&open, "localhost", path).done();
    assert_eq!(as_host(&open, "pod.internal", "/health").status, 200);
    drop(open);
    let server = Server::start_as(&place, "tracking.example");
    as_host(&server, "tracking.example:443", path).done();
    as_host(&server, "evil.example", path).refused(403, "PERMISSION_DENIED");
    let ended = place.run(&["server", "--port", "0", "--allowed-host", "tracking.example:443"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("without scheme, port and path"), "{}", ended.stderr);
}

#[test]
fn a_browser_is_shown_a_page_of_every_error_and_a_program_gets_json() {
    let place = Place::new();
    let server = Server::start(&place);
    let form = "x".repeat(10_000);
    let evil = ("host", "evil.example");
    for (method, path, host, body, status) in [
        ("GET", "/none", None, "", 404),
        ("GET", "/runs", Some(evil), "", 403),
        ("GET", "/runs/%ff", None, "", 400),
        ("GET", "/runs/none", None, "", 404),
        ("GET", "/get-artifact?run_id=none&path=a", None, "", 404),
        ("POST", "/login", None, form.as_str(), 413),
        ("POST", "/models/none/decide", None, "{}", 400),
    ] {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
            ("application/json", "application/json"),
        ] {
            let headers: Vec<_> = [("accept", accept)].into_iter().chain(host).collect();
            let answer = server.ask(method, path, &headers, body.as_bytes());
            assert_eq!(
                (answer.status, answer.headers["content-type"].to_str().ok()),
                (status, Some(expected)),
                "{path}"
            );
        }
    }
    // Whatever a browser asks of the interface of clients is an answer for clients.
    let path = "/api/2.0/mlflow/runs/get?run_id=none";
    server.ask("GET", path, &[("accept", "text/html")], &[]).refused(404, "RESOURCE_DOES_NOT_EXIST");
}

// invariant: as `bodies_beyond_the_limits_are_refused`
#[test]
fn bodies_that_do_not_come_keep_no_other_from_being_read() {
    let place = Place::new();
    let server = Server::start(&place);
    let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    let address = server.address.trim_start_matches("http://");
    let head = format!(
        "POST /api/2.0/mlflow/runs/log-inputs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: 16000000\r\n\r\n{{"
    );
    let slow = [(); 8].map(|()| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(head.as_bytes()).expect("the head is sent");
        stream
    });
    let metric = |at: usize| json!({ "key": "a", "value": at, "timestamp": 1, "step": at });
    let metrics: Vec<_> = (0..500).map(metric).collect();
    server.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics })).done();
    // It did not wait until these were given up.
    for mut stream in slow {
        stream.set_nonblocking(true).expect("a socket");
        let read = stream.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read, Err(std::io::ErrorKind::WouldBlock), "a slow body was answered first");
    }
}

// invariant: No request makes the tracking server hold more than its limits.
#[test]
fn bodies_beyond_the_limits_are_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    let long = "x".repeat(1_100_000);
    server.post("runs/log-batch", &json!({ "run_id": run, "long": long })).refused(413, "MAX_BLOCK_SIZE_EXCEEDED");
    // Others take more, and datasets, with their profiles, the most.
    let long = "x".repeat(3_000_000);
    server.post("runs/set-tag", &json!({ "run_id": run, "long": long })).refused(413, "MAX_BLOCK_SIZE_EXCEEDED");
    let dataset = json!({ "name": "rows", "digest": "d", "source_type": "local", "source": "{}", "profile": long });
    let inputs = json!({ "run_id": run, "datasets": [{ "dataset": dataset }] });
    server.post("runs/log-inputs", &inputs).done();
    // The answer comes even to a client that does not read before it has sent everything.
    let path = "/api/2.0/mlflow-artifacts/artifacts/a%5cb";
    server.ask("PUT", path, &[], &vec![1; 20_000_000]).refused(400, "INVALID_PARAMETER_VALUE");
    let metric = |at: usize| json!({ "key": "a", "value": at, "timestamp": 1, "step": at });
    let batch = |size: usize| json!({ "run_id": run, "metrics": (0..size).map(metric).collect::<Vec<_>>() });
    server.post("runs/log-batch", &batch(1_001)).refused(400, "INVALID_PARAMETER_VALUE");
    server.post("runs/log-batch", &batch(1_000)).done();

    // A body of which only the length is told is refused before it comes.
    let address = server.address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: 99999999999\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the head is sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn an_address_that_others_reach_needs_a_decision() {
    let place = Place::new();
    let ended = place.run(&["server", "--host", "0.0.0.0", "--port", "0"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("SW1004") && ended.stderr.contains("--insecure"), "{}", ended.stderr);
}
