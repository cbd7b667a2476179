//! Hooks: programs and servers that are told of another champion, by commands and by a server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_end_to_end::serving::Serving;
use stagewright_end_to_end::{Ended, Place};

const MODEL: &str = "churn-classifier";
const SECRET: &str = "It's-a-secret-to-everybody";

/// Gates that models of few rows pass.
const LOW: [&str; 4] = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
const BETTER: [&str; 2] = ["--set", "training.component=train-logistic"];
const WORSE: [&str; 4] = ["--set", "training.component=train-forest", "--set", "training.n_estimators=1"];

/// A request: its headers by their names in lower case, and its body.
#[derive(Clone, Debug)]
struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).expect("a header").1
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A server that receives events, and answers with a code that the test may change.
struct Receiver {
    url: String,
    code: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    fn start(code: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/events", listener.local_addr().expect("an address"));
        let (code, received) = (Arc::new(AtomicU16::new(code)), Arc::new(Mutex::new(Vec::new())));
        let (answers, seen) = (code.clone(), received.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                seen.lock().expect("no panic").push(read(&mut BufReader::new(&stream)));
                let code = answers.load(Ordering::Relaxed);
                let answer = format!("HTTP/1.1 {code} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).expect("somebody listens");
            }
        });
        Self { url, code, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no panic").clone()
    }

    /// Writes an operator's file with this server as the hook `ci`.
    fn operator(&self, place: &Place) -> PathBuf {
        place.write("ci.secret", format!("{SECRET}\n"));
        let hook = format!("[hooks.ci]\nurl = \"{}\"\nsecret-file = \"ci.secret\"\n", self.url);
        place.write("hooks.toml", hook)
    }
}

fn read(reader: &mut impl std::io::BufRead) -> Received {
    let mut headers = Vec::new();
    for line in reader.by_ref().lines() {
        let line = line.expect("a head");
        if line.is_empty() {
            break;
        }
        headers.extend(line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let mut request = Received { headers, body: String::new() };
    let length = request.header("content-length").parse().expect("a length");
    reader.take(length).read_to_string(&mut request.body).expect("a body");
    request
}

fn with(place: &Place, operator: &Path, arguments: &[&str]) -> Ended {
    let mut command = place.command(arguments);
    command.env("STAGEWRIGHT_OPERATOR", operator);
    Ended::of(command)
}

/// Runs the pipeline with hooks.
fn churn(place: &Place, operator: &Path, training: &[&str]) -> Ended {
    let manifest = stagewright_end_to_end::config("churn.toml");
    let arguments = ["run", &manifest, "--json", "--set", "ingestion.component=ingest-synthetic"];
    with(place, operator, &[&arguments[..], &["--set", "ingestion.rows=1500"], &LOW, training].concat())
}

// invariant: A hook that fails does not fail the promotion, and is told later.
#[test]
fn a_promotion_stands_whatever_its_hooks_do_and_they_are_told_of_it_later() {
    let (place, receiver) = (Place::new(), Receiver::start(503));
    let operator = receiver.operator(&place);
    // The home does not exist yet: the hook begins with it.
    let run = churn(&place, &operator, &WORSE).expect(0);
    assert_eq!(run.json()["decision"]["verdict"], "approved");
    let warned = "hook `ci`: it did not take `promoted churn-classifier/1`: the server answers with 503";
    assert!(run.stderr.contains(warned) && run.stderr.contains("stagewright hooks deliver"), "{}", run.stderr);
    assert!(!run.stderr.contains(SECRET) && !run.stderr.contains("/events"), "{}", run.stderr);
    let status = with(&place, &operator, &["hooks", "status", "--json"]).expect(0).json();
    assert_eq!((&status[0]["hook"], &status[0]["changes_since"]), (&"ci".into(), &1.into()), "{status}");
    assert!(status[0]["failures"].as_u64() > Some(0), "{status}");
    let failed = with(&place, &operator, &["hooks", "deliver"]).expect(7);
    assert!(failed.stderr.contains("error[SW0816]"), "{}", failed.stderr);

    receiver.code.store(204, Ordering::Relaxed);
    let before = receiver.received().len();
    churn(&place, &operator, &BETTER).expect(0);
    let told: Vec<Value> = receiver.received()[before..].iter().map(Received::event).collect();
    let versions: Vec<_> =
        told.iter().map(|event| (event["version"].clone(), event["previous_version"].clone())).collect();
    assert_eq!(versions, [(1.into(), Value::Null), (2.into(), 1.into())], "in order, each once now");
    let ids: Vec<String> =
        receiver.received()[..before].iter().map(|it| it.header("X-Stagewright-Event-Id").to_owned()).collect();
    assert!(ids.iter().all(|id| *id == told[0]["id"]), "the id stays: {ids:?}");
    let destination = &told[1]["destinations"][0];
    assert_eq!(destination["done"], true, "{}", told[1]);
    assert_eq!(destination["uri"], "home:production");

    with(&place, &operator, &["models", "rollback", MODEL, "--reason", "it was\x1b[2J wrong"]).expect(0);
    with(&place, &operator, &["models", "retire", MODEL]).expect(0);
    let told: Vec<Value> = receiver.received().iter().rev().take(2).map(Received::event).collect();
    assert_eq!((&told[1]["event"], &told[1]["version"]), (&"rolled-back".into(), &1.into()));
    assert_eq!(told[1]["reason"], "it was\x1b[2J wrong");
    assert_eq!((&told[0]["event"], &told[0]["version"]), (&"retired".into(), &1.into()));
    let said = with(&place, &operator, &["hooks", "deliver"]).expect(0).stdout;
    assert_eq!(said, "hook `ci` was told of everything before\n");
    place.run(&["audit", "verify"]).expect(0);
}

// invariant: A server that follows a registry tells hooks of changes that other processes make.
#[test]
fn a_server_tells_hooks_of_what_another_process_promotes() {
    let (place, receiver) = (Place::new(), Receiver::start(204));
    let operator = receiver.operator(&place);
    place.churn(1500, &[&LOW[..], &WORSE].concat()).expect(0);
    let mut command = place.command(&["serve", MODEL, "--port", "0"]);
    command.env("STAGEWRIGHT_OPERATOR", &operator);
    let server = Serving::of(command);
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = || with(&place, &operator, &["hooks", "status", "--json"]).expect(0).json();
    while status()[0]["place"].is_null() {
        assert!(Instant::now() < deadline, "the server does not begin the hook");
    }
    // This process knows no hook.
    place.churn(1500, &[&LOW[..], &BETTER].concat()).expect(0);
    while receiver.received().is_empty() {
        assert!(Instant::now() < deadline, "the hook is not told");
        std::thread::sleep(Duration::from_millis(50));
    }
    let event = receiver.received()[0].event();
    assert_eq!((&event["event"], &event["version"]), (&"promoted".into(), &2.into()), "{event}");
    let served = || ureq::get(format!("{}/", server.url)).call().ok()?.body_mut().read_to_string().ok();
    loop {
        let served: Value = serde_json::from_str(&served().expect("an answer")).expect("JSON");
        if served["version"] == 2 {
            assert_eq!(served["digest"], event["digest"]);
            break;
        }
        assert!(Instant::now() < deadline, "{served}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the Python of docs/hooks.md.
fn snippet() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hooks.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let code = page.split_once("```python\n").expect("Python").1;
    code.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_python_of_the_page_verifies_a_request_and_refuses_what_was_changed_or_is_old() {
    let (place, receiver) = (Place::new(), Receiver::start(204));
    let operator = receiver.operator(&place);
    churn(&place, &operator, &BETTER).expect(0);
    let received = receiver.received().remove(0);
    let (timestamp, signature) =
        (received.header("X-Stagewright-Timestamp"), received.header("X-Stagewright-Signature"));
    let python = format!(
        "{}\nimport sys\nsecret, body = sys.argv[1].encode(), sys.argv[2].encode()\n\
         headers = {{'X-Stagewright-Timestamp': sys.argv[3], 'X-Stagewright-Signature': sys.argv[4]}}\n\
         then = int(sys.argv[3]) + int(sys.argv[5])\nprint(is_genuine(secret, headers, body, then))\n",
        snippet()
    );
    let says = |secret: &str, body: &str, later: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", &python, secret, body, timestamp, signature, later]);
        Ended::of(command).expect(0).stdout.trim().to_owned()
    };
    assert_eq!(says(SECRET, &received.body, "10"), "True");
    assert_eq!(says(SECRET, &received.body, "301"), "False");
    assert_eq!(says(SECRET, &received.body.replace("promoted", "retired"), "10"), "False");
    assert_eq!(says("another-secret-of-16", &received.body, "10"), "False");
}
