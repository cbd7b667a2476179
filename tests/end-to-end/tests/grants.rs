//! A pipeline reaches what its manifest grants, within what the operator allows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stagewright_end_to_end::{Place, config};

/// Serves one file over HTTP and counts the answers.
fn serve(body: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = counted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("the same connection"));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            counter.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // A client may close the connection early.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    (port, counted)
}

/// Generated customers as CSV.
fn customers(place: &Place) -> String {
    place.churn(1500, &["--until", "ingestion"]).expect(0);
    place.run(&["artifacts", "export", "ingestion.table", "--output", "customers.csv"]).expect(0);
    std::fs::read_to_string(place.path().join("customers.csv")).expect("the export")
}

// invariant: A response from a server is fetched once and kept. A pinned response needs no server.
#[test]
fn a_table_on_a_granted_server_is_fetched_once_and_kept() {
    let place = Place::new();
    let csv = customers(&place);
    let (port, answers) = serve(csv.clone());
    let manifest = config("churn.toml");
    let source = format!("customers=http://127.0.0.1:{port}/customers.csv");
    let grant = format!("ingestion.http=[\"127.0.0.1:{port}\"]");
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", &manifest, "--json", "--source", &source];
        arguments.extend(more);
        place.run(&arguments)
    };
    // So few customers may fail the gates. The lifecycle still ends.
    let first = run(&["--set", &grant]);
    assert!([0, 4].contains(&first.code), "{}", first.stderr);
    let first = first.json();
    assert_eq!(answers.load(Ordering::SeqCst), 1, "signature and table come from one response");
    let artifacts = first["stages"][0]["artifacts"].as_array().expect("artifacts").clone();
    let response = artifacts.iter().find(|artifact| artifact["name"] == "response").expect("the response is kept");
    let digest = response["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
    place.run(&["artifacts", "export", "ingestion.response", "--output", "response.csv"]).expect(0);
    assert_eq!(std::fs::read_to_string(place.path().join("response.csv")).expect("the export"), csv);

    // With a pinned digest, the run needs neither the server nor a grant.
    let pin = format!("sources.customers.sha256=\"{digest}\"");
    let again = run(&["--set", &pin]);
    assert!([0, 4].contains(&again.code), "{}", again.stderr);
    assert_eq!(answers.load(Ordering::SeqCst), 1);
    assert_eq!(again.json()["stages"][0]["artifacts"], first["stages"][0]["artifacts"]);

    // A file with another digest is refused.
    let other = format!("sources.customers.sha256=\"{}\"", "0".repeat(64));
    let changed = run(&["--set", &grant, "--set", &other]).expect(2);
    assert!(changed.stdout.contains("the file has changed"), "{}", changed.stdout);
}

// invariant: A server is reached only if its name and its address are granted, also after
// redirects. Its response is bounded.
#[test]
fn a_server_that_is_not_granted_is_not_asked() {
    let place = Place::new();
    let (port, answers) = serve(String::new());
    let source = format!("customers=http://127.0.0.1:{port}/customers.csv");
    let ended = place.run(&["run", &config("churn.toml"), "--json", "--source", &source]).expect(5);
    let error = &ended.json()["error"];
    assert!(
        error["message"].as_str().is_some_and(|it| it.contains(&format!("the host `127.0.0.1:{port}`"))),
        "{error}"
    );
    assert!(error["hint"].as_str().is_some_and(|it| it.contains("http = [")), "{error}");
    assert_eq!(answers.load(Ordering::SeqCst), 0);
    assert_eq!(place.artifacts(), Vec::<String>::new());
    let record = place.run(&["runs", "show", "--json"]).expect(0).json();
    assert!(record["stages"][0]["error"]["message"].as_str().is_some_and(|it| it.contains("was not granted")));
}

// invariant: as `a_server_that_is_not_granted_is_not_asked`
#[test]
fn a_response_that_is_longer_than_allowed_is_cut_off() {
    let place = Place::new();
    let (port, _) = serve(format!("a,b\n{}", "1,2\n".repeat(100_000)));
    let source = format!("customers=http://127.0.0.1:{port}/customers.csv");
    let grant = format!("ingestion.http=[\"127.0.0.1:{port}\"]");
    let limit = "sources.customers.max-bytes=100 KiB";
    let arguments = ["run", &config("churn.toml"), "--json", "--source", &source, "--set", &grant, "--set", limit];
    let ended = place.run(&arguments).expect(6);
    let error = &ended.json()["error"];
    assert!(
        error["message"].as_str().is_some_and(|it| it.contains("100.0 KiB") && it.contains("max-bytes")),
        "{error}"
    );
    assert_eq!(place.artifacts(), Vec::<String>::new());
    place.churn(1500, &["--until", "validation"]).expect(0);
}

// invariant: No manifest exceeds the operator's ceilings.
#[test]
fn the_operators_ceilings_bind_every_manifest() {
    let place = Place::new();
    let operator = place.write("operator.toml", "[ceilings.training]\nmemory = \"128 MiB\"\ncpu = \"20 s\"\n");
    let plan = |more: &[&str]| {
        let manifest = config("churn.toml");
        let mut arguments = vec!["plan", &manifest, "--json"];
        arguments.extend(more);
        let output = place.command(&arguments).env("STAGEWRIGHT_OPERATOR", &operator).output().expect("the binary");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, shown) = plan(&[]);
    assert_eq!(code, Some(0), "{shown}");
    let limits = &serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")["configuration"]["stages"]["training"]
        ["limits"];
    assert_eq!((limits["memory"].as_str(), limits["cpu"].as_str()), (Some("128 MiB"), Some("20 s")), "lowered");
    let (code, shown) = plan(&["--set", "training.limits.memory=1 GiB"]);
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("above the operator's ceiling") && shown.contains("128 MiB"), "{shown}");
}

// invariant: as `walls_that_a_system_lacks_are_told_and_refused_where_they_are_required`
#[test]
fn doctor_tells_which_walls_can_stand_and_which_the_operator_wants() {
    let place = Place::new();
    let doctor = |text: &str| {
        let operator = place.write("operator.toml", text);
        let output = place.command(&["doctor", "--json"]).env("STAGEWRIGHT_OPERATOR", &operator).output();
        let output = output.expect("the binary");
        let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = findings.as_array().expect("findings").iter().find(|finding| finding["check"] == "walls");
        (output.status.code(), found.expect("the walls are told").clone())
    };
    let (code, found) = doctor("");
    let all = serde_json::json!(["wasm", "seccomp", "landlock", "rlimits"]);
    let has_all = found["walls"] == all;
    assert_eq!((code, &found["walls"][0]), (Some(0), &all[0]), "{found}");
    assert_eq!(found["policy"], if has_all { "required" } else { "sandbox-only" }, "{found}");
    let (code, found) = doctor("walls = \"sandbox-only\"\n");
    assert_eq!((code, found["policy"].as_str()), (Some(0), Some("sandbox-only")), "{found}");
    assert!(found["detail"].as_str().expect("words").starts_with("sandbox-only: this host can put wasm"), "{found}");
    let (code, found) = doctor("walls = \"required\"\n");
    if has_all {
        assert_eq!((code, found["policy"].as_str()), (Some(0), Some("required")), "{found}");
    } else {
        assert_eq!((code, found["policy"].as_str()), (Some(7), None), "{found}");
        assert!(found["hint"].as_str().expect("a hint").contains("sandbox-only"), "{found}");
    }
}

#[test]
fn suggested_limits_are_enough_for_the_same_run() {
    let place = Place::new();
    let manifest = config("churn.toml");
    let run = ["run", &manifest, "--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=2000"];
    let shown = place.run(&[&run[..], &["--suggest-limits"]].concat()).expect(0).stdout;
    let mut limits: Vec<String> = Vec::new();
    let mut stage = String::new();
    for line in shown.lines() {
        if let Some(name) = line.strip_prefix("[stages.").and_then(|rest| rest.strip_suffix(".limits]")) {
            stage = name.to_owned();
        } else if let Some((key, value)) = line.split_once(" = ") {
            limits.push(format!("{stage}.limits.{key}={value}"));
        }
    }
    assert_eq!(limits.len(), 6 * 5, "{shown}");
    let sets: Vec<&str> = limits.iter().flat_map(|limit| ["--set", limit]).collect();
    let again = place.run(&[&run[..], &sets].concat());
    assert!([0, 4].contains(&again.code), "{}", again.stderr);
}
