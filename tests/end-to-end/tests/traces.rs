//! A run's spans at a real collector (rotel), and a run whose collector is missing, slow or
//! something else.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use stagewright_end_to_end::{Ended, Place, config, least_pipeline};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Spans are sent when the run ends, in one request. Several requests could overtake each other.
const ALL_AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "600000");

/// A run waits two seconds for a collector. The tests of this file run one after the other, so that
/// they do not slow each other.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longest time that spans may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that arrived at a server.
struct Came {
    head: String,
    body: Vec<u8>,
}

/// Answers each request with these bytes and passes the request on.
fn server(answer: &'static [u8]) -> (SocketAddr, Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, came) = mpsc::channel();
    // The thread ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(request) = request(&stream) else { continue };
            let _ = (&stream).write_all(answer);
            let _ = sender.send(request);
        }
    });
    (address, came)
}

/// Reads a request of a known length.
fn request(mut stream: &TcpStream) -> Option<Came> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut bytes = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend(&piece[..read]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = bytes.split_off(end);
    let have = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[have..]).ok()?;
    Some(Came { head, body })
}

/// A collector's answer that it accepted everything. It closes the connection.
const TAKEN: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A collector in its own process, which forwards to a server of the test.
struct Collector {
    process: Child,
    endpoint: String,
    passed_on: Receiver<Came>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns a port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

impl Collector {
    fn start() -> Self {
        let python = std::env::var_os("STAGEWRIGHT_PYTHON").map(PathBuf::from);
        let python = python.expect("STAGEWRIGHT_PYTHON names a Python with tests/end-to-end/requirements.txt");
        let found = Command::new(python)
            .args(["-c", "import pathlib, rotel; print(pathlib.Path(rotel.__file__).with_name('rotel-agent'))"])
            .output()
            .expect("Python starts");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let program = String::from_utf8(found.stdout).expect("a path");
        let (sink, passed_on) = server(TAKEN);
        let (http, grpc) = (format!("127.0.0.1:{}", port()), format!("127.0.0.1:{}", port()));
        let process = Command::new(program.trim())
            .args(["start", "--otlp-http-endpoint", &http, "--otlp-grpc-endpoint", &grpc])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", &format!("http://{sink}")])
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the collector starts");
        let began = Instant::now();
        while TcpStream::connect(&http).is_err() {
            assert!(began.elapsed() < PATIENCE, "the collector does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, endpoint: format!("http://{http}"), passed_on }
    }

    /// Receives spans until one has this name, and returns them with the resource attributes. The
    /// run's span ends last.
    fn spans_until(&self, last: &str) -> (Vec<Span>, Vec<KeyValue>) {
        let (mut spans, mut resource) = (Vec::new(), Vec::new());
        while !spans.iter().any(|span: &Span| span.name == last) {
            let came = self.passed_on.recv_timeout(PATIENCE).expect("spans come");
            let batch = ExportTraceServiceRequest::decode(&*unzipped(&came)).expect("OTLP");
            for of_resource in batch.resource_spans {
                resource.extend(of_resource.resource.into_iter().flat_map(|resource| resource.attributes));
                spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        (spans, resource)
    }
}

/// Decompresses a request: a header of ten bytes precedes the data and a checksum follows it.
fn unzipped(came: &Came) -> Vec<u8> {
    assert!(came.head.contains("content-encoding: gzip") && came.body[3] == 0, "{}", came.head);
    miniz_oxide::inflate::decompress_to_vec(&came.body[10..]).expect("gzip")
}

/// Runs the minimal stages with these variables in the environment.
fn least(place: &Place, more: &[&str], environment: &[(&str, &str)]) -> Ended {
    place.write("least.toml", least_pipeline("empty-training"));
    let mut arguments = vec!["run", "least.toml"];
    arguments.extend(more);
    let mut command = place.command(&arguments);
    command.env(ALL_AT_ONCE.0, ALL_AT_ONCE.1).envs(environment.iter().copied());
    Ended::of(command)
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let AnyValue { value } = found.value.as_ref()?;
    value.as_ref()
}

fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    match value(&span.attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{}: {key} is {other:?}", span.name),
    }
}

fn number(span: &Span, key: &str) -> i64 {
    match value(&span.attributes, key) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{}: {key} is {other:?}", span.name),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

// invariant: A collector receives one span for the run and one for each step. A collector that
// fails causes one warning, and without a collector nothing is sent.
#[test]
#[ignore = "needs rotel: STAGEWRIGHT_PYTHON names a Python that has it"]
fn a_collector_sees_a_run_and_in_it_each_step_with_what_it_used() {
    let _turn = turn();
    let (place, collector) = (Place::new(), Collector::start());
    let environment = [(ENDPOINT, collector.endpoint.as_str()), ("OTEL_RESOURCE_ATTRIBUTES", "team=churn")];
    let told = least(&place, &["--json"], &environment).expect(0);
    assert!(!told.stderr.contains("did not reach the collector"), "{}", told.stderr);
    let told = told.json();
    let (spans, resource) = collector.spans_until("run");
    let word = |key| value(&resource, key).cloned();
    assert_eq!(word("service.name"), Some(Value::StringValue("stagewright".to_owned())));
    assert_eq!(word("team"), Some(Value::StringValue("churn".to_owned())));
    assert!(spans.iter().all(|span| hex(&span.trace_id) == told["trace_id"].as_str().expect("a trace")));
    let runs = named(&spans, "run");
    let [run] = runs[..] else { panic!("one run, not {}", runs.len()) };
    assert!(run.parent_span_id.is_empty() && !failed(run));
    assert_eq!(text(run, "stagewright.run.id"), told["run_id"]);
    assert_eq!((text(run, "stagewright.outcome"), number(run, "stagewright.steps.executed")), ("finished", 6));
    for stage in told["stages"].as_array().expect("stages") {
        let steps = named(&spans, &format!("step {}", stage["name"].as_str().expect("a name")));
        let [step] = steps[..] else { panic!("one span for {stage}") };
        assert_eq!(step.parent_span_id, run.span_id);
        assert_eq!(text(step, "stagewright.run.id"), told["run_id"]);
        assert_eq!(text(step, "stagewright.world"), stage["world"]);
        assert_eq!(text(step, "stagewright.component"), stage["component"]);
        assert_eq!(text(step, "stagewright.component.digest"), stage["digest"]);
        assert_eq!(text(step, "stagewright.key"), stage["key"]);
        assert_eq!(value(&step.attributes, "stagewright.cached"), Some(&Value::BoolValue(false)));
        assert_eq!(number(step, "stagewright.attempts"), 1);
        assert_eq!(number(step, "stagewright.rows_out"), stage["rows_out"].as_i64().expect("rows"));
        assert_eq!(number(step, "stagewright.peak_memory_bytes"), stage["peak_memory_bytes"].as_i64().expect("bytes"));
        let cpu = value(&step.attributes, "stagewright.cpu_ms");
        assert!(matches!(cpu, Some(Value::DoubleValue(cpu)) if Some(*cpu) == stage["cpu_ms"].as_f64()), "{cpu:?}");
        let mut parts: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == step.span_id).collect();
        parts.sort_by_key(|part| part.start_time_unix_nano);
        let parts: Vec<&str> = parts.into_iter().map(|part| part.name.as_str()).collect();
        assert_eq!(parts, ["inputs", "execute", "publish"]);
    }
    let started = spans.iter().filter(|span| span.name == "start").map(|span| text(span, "stagewright.component"));
    let components = told["stages"].as_array().into_iter().flatten().filter_map(|stage| stage["component"].as_str());
    assert_eq!(started.collect::<BTreeSet<_>>(), components.collect::<BTreeSet<_>>());
    let executes = named(&spans, "execute");
    let starts = |execute: &Span| spans.iter().filter(|span| span.parent_span_id == execute.span_id).count();
    assert!(executes.len() == 6 && executes.into_iter().all(|execute| starts(execute) > 0), "instances start");
    assert_eq!(named(&spans, "record").len(), 6);
    // Every span has its parent, and a parent lasts at least as long as its children.
    for span in &spans {
        let Some(parent) = spans.iter().find(|it| it.span_id == span.parent_span_id) else {
            assert_eq!(span.name, "run");
            continue;
        };
        assert!(parent.start_time_unix_nano <= span.start_time_unix_nano, "{} in {}", span.name, parent.name);
        assert!(span.end_time_unix_nano <= parent.end_time_unix_nano, "{} in {}", span.name, parent.name);
    }

    // A reused step is marked as such and costs nothing.
    let again = least(&place, &["--json"], &environment).expect(0).json();
    let (spans, _) = collector.spans_until("run");
    assert_ne!(again["trace_id"], told["trace_id"]);
    let steps: Vec<&Span> = spans.iter().filter(|span| span.name.starts_with("step ")).collect();
    assert_eq!(steps.len() as u64, again["cached"].as_u64().expect("a count"));
    assert!(steps.iter().all(|step| text(step, "stagewright.cached_from") == told["run_id"]));
    assert!(steps.iter().all(|step| value(&step.attributes, "stagewright.cpu_ms").is_none()));
    assert!(named(&spans, "execute").is_empty());
}

#[test]
#[ignore = "needs rotel: STAGEWRIGHT_PYTHON names a Python that has it"]
fn a_step_that_fails_is_an_error_of_which_nothing_but_the_kind_is_told() {
    let _turn = turn();
    let (place, collector) = (Place::new(), Collector::start());
    let manifest = config("churn.toml");
    let mut command = place.command(&["run", &manifest, "--log-format", "json", "--set", "ingestion.rows=200"]);
    command.args(["--set", "ingestion.component=ingest-synthetic", "--set", "training.limits.memory=1 MiB"]);
    command.env(ENDPOINT, &collector.endpoint).env(ALL_AT_ONCE.0, ALL_AT_ONCE.1);
    let ended = Ended::of(command).expect(6);
    let (spans, _) = collector.spans_until("run");
    let wrong: Vec<&str> = spans.iter().filter(|span| failed(span)).map(|span| span.name.as_str()).collect();
    assert_eq!(wrong, ["step training", "run"]);
    for span in spans.iter().filter(|span| failed(span)) {
        assert_eq!((text(span, "error.type"), text(span, "stagewright.outcome")), ("limit", "failed"));
        assert_eq!(span.status.as_ref().map(|status| status.message.as_str()), Some("limit"));
    }
    assert!(!format!("{spans:?}").contains("ran past"), "messages may cite the data");
    // A wrong cell appears in the user's output and nowhere else.
    let cell = "cell-of-somebody";
    place.write("rows.csv", format!("a,y\n0.5,1\n{cell},0\n"));
    let manifest = least_pipeline("empty-training")
        .replace("component = \"empty-ingestion\"", "component = \"ingest-table\"\nsource = \"rows\"")
        .replace(
            "[split]",
            "[sources.rows]\nuri = \"csv:rows.csv\"\n[signature.fields]\na = \"float64\"\ny = \"int64\"\n[split]",
        );
    place.write("wrong.toml", manifest);
    let mut command = place.command(&["run", "wrong.toml"]);
    command.env(ENDPOINT, &collector.endpoint).env(ALL_AT_ONCE.0, ALL_AT_ONCE.1);
    let wrong = Ended::of(command).expect(3);
    assert!(wrong.stderr.contains(cell), "{}", wrong.stderr);
    let (of_data, _) = collector.spans_until("run");
    let [step] = named(&of_data, "step ingestion")[..] else { panic!("one step: {of_data:?}") };
    assert_eq!(text(step, "error.type"), "data");
    assert_eq!(named(&of_data, "decode").len(), 1);
    assert!(!format!("{of_data:?}").contains(cell) && !format!("{of_data:?}").contains("rows.csv"), "{of_data:?}");
    let first: serde_json::Value = serde_json::from_str(ended.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["trace_id"], hex(&spans[0].trace_id));
}

#[test]
#[ignore = "needs rotel: STAGEWRIGHT_PYTHON names a Python that has it"]
fn the_trace_of_whatever_started_a_run_goes_on() {
    let _turn = turn();
    let (place, collector) = (Place::new(), Collector::start());
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let started_by = format!("00-{trace}-{parent}-01");
    let environment = [(ENDPOINT, collector.endpoint.as_str()), ("TRACEPARENT", &started_by)];
    assert_eq!(least(&place, &["--json"], &environment).expect(0).json()["trace_id"], trace);
    let (spans, _) = collector.spans_until("run");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == trace));
    assert_eq!(hex(&named(&spans, "run")[0].parent_span_id), parent);
    // An unsampled parent is not continued, and an invalid one is no parent.
    let unsampled = format!("00-{trace}-{parent}-00");
    let environment = [(ENDPOINT, collector.endpoint.as_str()), ("TRACEPARENT", &unsampled)];
    assert!(least(&place, &["--json"], &environment).expect(0).json()["trace_id"].is_null());
    let environment = [(ENDPOINT, collector.endpoint.as_str()), ("TRACEPARENT", "00-x\n-y-01")];
    let told = least(&place, &["--json"], &environment).expect(0).json();
    let (spans, _) = collector.spans_until("run");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == told["trace_id"].as_str().expect("a trace")));
    assert!(named(&spans, "run")[0].parent_span_id.is_empty());
}

/// Runs with a collector that misbehaves. Returns standard error.
#[track_caller]
fn untroubled(place: &Place, endpoint: &str, reason: &str) -> String {
    let secret = "s3cret-of-a-header";
    let headers = format!("authorization=Bearer%20{secret},x-key={secret}");
    let endpoint = endpoint.replacen("http://", &format!("http://user:{secret}@"), 1);
    let environment = [
        (ENDPOINT, endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ("RUST_LOG", "trace"),
    ];
    let ended = least(place, &["--json"], &environment).expect(0);
    assert_eq!(ended.json()["stages"].as_array().map(Vec::len), Some(4), "a champion is not judged again");
    assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("did not reach the collector")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.stderr);
    assert!(lines[0].contains(reason), "{reason}: {}", lines[0]);
    ended.stderr
}

// invariant: as `a_collector_sees_a_run_and_in_it_each_step_with_what_it_used`
#[test]
fn a_collector_that_is_down_slow_or_none_costs_a_run_a_warning() {
    let _turn = turn();
    let place = Place::new();
    least(&place, &[], &[]).expect(0);
    let down = "http://127.0.0.1:9";
    let said = untroubled(&place, down, "efused");
    assert!(said.contains(down) && said.contains("hint: see that it takes OTLP over HTTP there"), "{said}");
    // Accepts connections and never answers.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", deaf.local_addr().expect("an address"));
    let began = Instant::now();
    untroubled(&place, &address, "it did not answer within 2 s");
    assert!(began.elapsed() < PATIENCE, "{:?} with ten minutes for a request", began.elapsed());
    for (answer, reason) in [
        (&b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"[..], "it answers with status 500"),
        (b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n", "status 307"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<!DOCTYPE html>", "no OTLP"),
        // A partial success: one span rejected, `no\x1b[2J`.
        (b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n\x0a\x0a\x08\x01\x12\x06no\x1b[2J", "it says: no\\u{1b}[2J"),
    ] {
        let (server, came) = server(answer);
        untroubled(&place, &format!("http://{server}"), reason);
        let came = came.recv_timeout(PATIENCE).expect("a request");
        assert!(came.head.starts_with("post /v1/traces "), "{}", came.head);
        assert!(came.head.contains("x-key: s3cret-of-a-header"), "{}", came.head);
    }
    let (server, _came) = server(b"\x16\x03\x01 what is this");
    untroubled(&place, &format!("http://{server}"), "invalid HTTP");
}

#[test]
fn what_cannot_be_exported_to_is_told_before_the_run_and_is_no_reason_not_to_run() {
    let _turn = turn();
    let place = Place::new();
    for (environment, reason) in [
        (&[(ENDPOINT, "http://127.0.0.1:9"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")][..], "asks for `grpc`"),
        (&[(ENDPOINT, "user:s3cret@collector")], "is no URL"),
        (&[(ENDPOINT, "http://127.0.0.1:9"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "none.pem")], "cannot be read"),
    ] {
        let ended = least(&place, &["--json"], environment).expect(0);
        assert!(ended.json()["trace_id"].is_null());
        assert!(ended.stderr.contains("traces are not exported") && ended.stderr.contains(reason), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: ") && !ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
}

// invariant: as `a_collector_sees_a_run_and_in_it_each_step_with_what_it_used`
#[test]
fn nothing_is_sent_unless_the_environment_names_a_collector() {
    let _turn = turn();
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it need not wait");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let quiet = |environment: &[(&str, &str)]| {
        let ended = least(&place, &["--json", "--no-cache"], environment).expect(0);
        assert!(ended.json()["trace_id"].is_null());
        let came = listener.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(came, Err(std::io::ErrorKind::WouldBlock), "{environment:?}");
        ended.stderr
    };
    quiet(&[]);
    quiet(&[(ENDPOINT, &endpoint), ("OTEL_SDK_DISABLED", "true")]);
    quiet(&[(ENDPOINT, &endpoint), ("OTEL_TRACES_EXPORTER", "none")]);
    quiet(&[("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]);
    // A folder's `.env` does not choose the collector.
    place.write(".env", format!("{ENDPOINT}={endpoint}\n"));
    let said = quiet(&[]);
    assert!(said.contains(&format!("`{ENDPOINT}` in .env is ignored")), "{said}");
}
