//! The server around its models: settings, tokens, the log, many clients, the end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_end_to_end::serving::{Serving, read_reply, send};

use crate::{MODEL, trained};

/// The head and the first rows of the customers that the model was trained on.
fn some_rows(place: &stagewright_end_to_end::Place, rows: usize) -> String {
    let text = std::fs::read_to_string(place.path().join("customers.csv")).expect("customers");
    text.lines().take(rows + 1).map(|line| format!("{line}\n")).collect()
}

/// Returns the value of a metric without labels.
fn metric(server: &Serving, name: &str) -> f64 {
    let text = server.get("/metrics").text().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).parse().expect("a number")
}

#[test]
fn a_server_prints_its_address_predicts_as_the_command_does_and_ends_with_success() {
    let place = trained();
    let rows = place.write("rows.csv", some_rows(&place, 50)).display().to_string();
    let expected = place.run(&["predict", MODEL, "--input", &rows, "--json"]).expect(0).json();
    let server = Serving::start(&place, &[MODEL]);
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    let rows = some_rows(&place, 50);
    let lines: Vec<&str> = rows.lines().collect();
    let names: Vec<&str> = lines[0].split(',').collect();
    let parameters = |line: &&str| -> Value {
        let cells = names.iter().zip(line.split(',')).map(|(name, cell)| {
            let number = cell.parse::<f64>().ok().and_then(|_| serde_json::from_str(cell).ok());
            let value = if cell.is_empty() { Value::Null } else { number.unwrap_or_else(|| cell.into()) };
            ((*name).to_owned(), value)
        });
        Value::Object(cells.collect())
    };
    let body: Value = lines[1..].iter().map(parameters).collect();
    let reply = server.post("/predict", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["predictions"], expected["predictions"]);
    let health = server.get("/").json();
    assert_eq!((&health["status"], &health["model"], &health["version"]), (&"ok".into(), &MODEL.into(), &1.into()));
    assert_eq!(health["digest"], answer["digest"]);
    assert_eq!(server.get("/health/ready").status, 200);
    let stopped = server.stop();
    assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(0), ""), "{}", stopped.stderr);
}

#[test]
fn a_file_says_what_is_served_and_flags_override_it() {
    let place = trained();
    place.write("tokens", "reader-0123456789ab predict\n");
    let text = format!(
        "[server]\nport = 1\nhost = \"0.0.0.0\"\ntokens-file = \"tokens\"\nmax-body = \"1 KiB\"\n\
         [models.{MODEL}]\nworkers = 1\nmax-rows = 2\nlimits = {{ wall = \"10 s\" }}\n"
    );
    let file = place.write("serving.toml", text).display().to_string();
    let server = Serving::start(&place, &["--config", &file]);
    let reader = "Authorization: Bearer reader-0123456789ab";
    assert_eq!(server.get("/health").status, 401);
    let health = server.ask("GET", "/health", &[reader], b"");
    assert_eq!(health.json()["model"], MODEL);
    let long = vec![b' '; 1025];
    assert_eq!(server.ask("POST", "/predict", &[reader], &long).status, 413);
    assert_eq!(server.ask("POST", "/predict", &[reader], b"[{}, {}, {}]").status, 413);
    let stopped = server.stop();
    assert_eq!(stopped.code, Some(0));
    assert!(!stopped.stderr.contains("reader-"), "{}", stopped.stderr);
}

#[test]
fn everything_that_is_wrong_in_the_file_is_told_at_once() {
    let place = trained();
    let text = "[server]\nprot = 80\nhost = \"nowhere\"\ndrain = 30\ntls-key = \"k\"\n\
                [models.m]\nisolation = \"shared\"\nlimits = { cpu = \"0 s\" }\n";
    let file = place.write("serving.toml", text).display().to_string();
    let ended = place.run(&["serve", "--config", &file]).expect(2);
    for part in [
        "unknown key `prot`",
        "did you mean `port`?",
        "`server.host` is no IP address",
        "`server.drain` must be a duration",
        "`tls-key` needs `tls-certificate`",
        "`shared` is not a value of `models.m.isolation`",
        "`models.m.limits.cpu` is out of range",
    ] {
        assert!(ended.stderr.contains(part), "{part} is missing:\n{}", ended.stderr);
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_no_secrets() {
    let place = trained();
    let mut command = place.command(&["serve", MODEL, "--port", "0", "--access-log"]);
    command.env("STAGEWRIGHT_SERVING_TOKENS", "t0ken-0123456789abc predict,metrics");
    let server = Serving::of(command);
    let token = "Authorization: Bearer t0ken-0123456789abc";
    let headers = [token, "X-Request-Id: shop-17", "Content-Type: application/json"];
    let bad = server.ask("POST", "/predict?key=qu3ry", &headers, b"{\"tenure\": \"s3cret\"}");
    assert_eq!(bad.status, 422, "{}", bad.text());
    assert_eq!(server.get("/metrics").status, 401);
    let stopped = server.stop();
    let lines: Vec<Value> = stopped.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2, "{}", stopped.stdout);
    let expect = |line: &Value, key: &str, value: Value| assert_eq!(line[key], value, "{key} of {line}");
    expect(&lines[0], "path", "/predict".into());
    expect(&lines[0], "client_request_id", "shop-17".into());
    expect(&lines[0], "request_id", bad.header("x-request-id").into());
    expect(&lines[0], "model", MODEL.into());
    expect(&lines[0], "version", 1.into());
    expect(&lines[0], "status", 422.into());
    expect(&lines[0], "error", "invalid_rows".into());
    expect(&lines[1], "status", 401.into());
    expect(&lines[1], "model", Value::Null);
    for secret in ["t0ken", "qu3ry", "s3cret"] {
        assert!(!stopped.stdout.contains(secret) && !stopped.stderr.contains(secret), "{secret} was logged");
    }
}

#[test]
fn ten_thousand_idle_connections_leave_room_for_others() {
    let place = trained();
    let server = Serving::start(&place, &[MODEL]);
    // The server needs a descriptor for each, and so does this process.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(20_000).min(10_600);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.current.map(|current| current.max(most)), maximum: limit.maximum },
    )
    .expect("a limit");
    let number = most.saturating_sub(500).min(10_100);
    let before = metric(&server, "process_resident_memory_bytes");
    let idle: Vec<TcpStream> = (0..number).map(|_| server.connect()).collect();
    let began = Instant::now();
    assert_eq!(server.get("/health/ready").status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let grown = metric(&server, "process_resident_memory_bytes") - before;
    println!("{number} idle connections: {:.1} MB more, {:.0} bytes each", grown / 1e6, grown / number as f64);
    assert!(grown < 400e6, "memory grew by {grown} bytes");
    drop(idle);
    assert_eq!(server.stop().code, Some(0));
}

/// Begins a request that never ends.
fn endless_request(server: &Serving) -> TcpStream {
    let mut stream = server.connect();
    send(&mut stream, "POST", "/predict", &["Content-Length: 10"], b"").expect("a head");
    std::thread::sleep(Duration::from_millis(200));
    stream
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let place = trained();
    let server = Serving::start(&place, &[MODEL]);
    let _request = endless_request(&server);
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    server.signal("INT");
    assert_eq!(server.wait().code, Some(130));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn what_is_left_after_the_stated_time_is_cut_off() {
    let place = trained();
    let file = place.write("serving.toml", "[server]\ndrain = \"1 s\"\n").display().to_string();
    let server = Serving::start(&place, &[MODEL, "--config", &file]);
    let mut request = endless_request(&server);
    let began = Instant::now();
    server.signal("TERM");
    assert!(read_reply(&mut request).is_err());
    let stopped = server.wait();
    assert_eq!(stopped.code, Some(0));
    assert!(stopped.stderr.contains("1 connections were cut off"), "{}", stopped.stderr);
    assert!((Duration::from_millis(900)..Duration::from_secs(6)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
#[ignore = "needs prometheus-client: STAGEWRIGHT_PYTHON names a Python that has it"]
fn the_parser_of_prometheus_reads_the_metrics() {
    let place = trained();
    let server = Serving::start(&place, &[MODEL]);
    let row = some_rows(&place, 1);
    assert_eq!(server.ask("POST", "/predict", &["Content-Type: text/csv"], row.as_bytes()).status, 200);
    let metrics = place.write("metrics.txt", &server.get("/metrics").body).display().to_string();
    let python = std::env::var_os("STAGEWRIGHT_PYTHON").map(PathBuf::from);
    let python = python.expect("STAGEWRIGHT_PYTHON names a Python with tests/end-to-end/requirements.txt");
    let script = "import sys\n\
        from prometheus_client.parser import text_string_to_metric_families as parse\n\
        families = {family.name: family for family in parse(open(sys.argv[1]).read())}\n\
        requests = families['stagewright_requests'].samples\n\
        print(float(sum(s.value for s in requests if s.labels['code'] == '200' and s.labels['protocol'] == 'native')))\n\
        print(families['stagewright_request_seconds'].type, len(families))\n";
    let output = Command::new(python).args(["-c", script, &metrics]).output().expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("1.0\nhistogram "), "{text}");
}

#[test]
fn a_server_whose_log_nobody_reads_answers_all_the_same() {
    let place = trained();
    let mut command = place.command(&["serve", "--port", "0", MODEL]);
    let mut child =
        command.env("RUST_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a server");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut line).expect("an address");
    let address = line.trim().strip_prefix("http://").expect("an address").to_owned();
    // Each is a line of the log, and all of them are more than a pipe holds.
    for _ in 0..3000 {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.write_all(b"no request\r\n\r\n").expect("room");
        stream.read_to_end(&mut Vec::new()).expect("an answer");
    }
    let mut stream = TcpStream::connect(&address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    send(&mut stream, "GET", "/health/ready", &[], b"").expect("room");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    let mut log = child.stderr.take().expect("standard error");
    child.kill().expect("it runs");
    child.wait().expect("its end");
    let mut lines = String::new();
    log.read_to_string(&mut lines).expect("UTF-8");
    assert!(lines.len() >= 60_000, "the log has only {} bytes, and never filled the pipe", lines.len());
}
