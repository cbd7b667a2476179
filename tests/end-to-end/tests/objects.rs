//! Sources in buckets of a real S3 server, and APIs of JSON, through the binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place, config};
use stagewright_services::s3::{self, Fault, Options, Plan};

/// The date of the manifest's `as-of` in these runs.
const AS_OF: &str = "as-of=2026-11-29T21:00:00Z";
/// More than a page of a listing holds.
const ROWS: usize = 1205;

/// Generated customers as CSV: the header, and a line for each.
fn customers(place: &Place) -> (String, Vec<String>) {
    let rows = format!("ingestion.rows={ROWS}");
    let manifest = config("churn.toml");
    let synthetic = ["--set", "ingestion.component=ingest-synthetic", "--set", &rows, "--until", "ingestion"];
    place.run(&[&["run", &manifest][..], &synthetic].concat()).expect(0);
    place.run(&["artifacts", "export", "ingestion.table", "--output", "customers.csv"]).expect(0);
    let text = std::fs::read_to_string(place.path().join("customers.csv")).expect("the export");
    let (header, rows) = text.split_once('\n').expect("a header");
    (header.to_owned(), rows.lines().map(str::to_owned).collect())
}

/// Returns an ingestion from this address.
fn ingestion(place: &Place, server: &s3::Server, uri: &str, more: &[&str]) -> Command {
    let (manifest, source) = (config("churn.toml"), format!("customers={uri}"));
    let mut arguments = vec!["run", &manifest, "--json", "--until", "ingestion", "--source", &source, "--set", AS_OF];
    arguments.extend(more);
    let mut command = place.command(&arguments);
    command.envs(server.variables());
    command
}

const GRANT: [&str; 2] = ["--set", "ingestion.s3=[\"lake/events/\"]"];

fn digest(run: &Value, name: &str) -> String {
    let artifacts = run["stages"][0]["artifacts"].as_array().expect("artifacts");
    let artifact = artifacts.iter().find(|artifact| artifact["name"] == name);
    artifact.unwrap_or_else(|| panic!("no {name} in {run}"))["digest"].as_str().expect("a digest").to_owned()
}

fn said(ended: &Ended, parts: &[&str]) {
    let error = &ended.json()["error"];
    let text =
        format!("{}\n{}", error["message"].as_str().unwrap_or_default(), error["hint"].as_str().unwrap_or_default());
    assert!(parts.iter().all(|part| text.contains(part)), "{error}");
}

/// Requests by method and whether they list.
fn requests(server: &s3::Server) -> (usize, usize) {
    let log = server.log();
    let lists = log.iter().filter(|entry| entry.target.contains("list-type=2")).count();
    (lists, log.len() - lists)
}

// invariant: A source of a prefix reads each object once, under the ETag that its listing told, and
// records key, ETag, version and digest of each. Unchanged objects that are stored are not fetched.
#[test]
fn all_objects_below_a_prefix_are_one_table_and_are_fetched_once() {
    let place = Place::new();
    let (header, rows) = customers(&place);
    let server = s3::Server::start("lake", Options { versions: true, ..Options::default() });
    for (at, row) in rows.iter().enumerate() {
        server.write(&format!("events/2026-11-29/part-{at:05}.csv"), format!("{header}\n{row}\n").as_bytes());
    }
    server.write("events/2026-11-29/_SUCCESS", b"");
    server.write("events/2026-11-30/", b"");
    let prefix = "s3://lake/events/{date}/";
    let run = |more: &[&str]| Ended::of(ingestion(&place, &server, prefix, &[&GRANT[..], more].concat()));

    let first = run(&[]).expect(0).json();
    assert_eq!(requests(&server), (2, ROWS));
    let of_file = place.write("all.csv", format!("{header}\n{}\n", rows.join("\n")));
    let source = format!("csv:{}", of_file.display());
    let whole = Ended::of(ingestion(&place, &server, &source, &[])).expect(0).json();
    assert_eq!(digest(&first, "table"), digest(&whole, "table"), "rows are in byte order of the keys");

    place
        .run(&[
            "artifacts",
            "export",
            "ingestion.objects",
            "--run",
            first["run_id"].as_str().expect("a run"),
            "--output",
            "objects.jsonl",
        ])
        .expect(0);
    let objects = std::fs::read_to_string(place.path().join("objects.jsonl")).expect("the list");
    let objects: Vec<Value> = objects.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((objects.len(), &objects[7]["uri"]), (ROWS, &Value::from("s3://lake/events/2026-11-29/part-00007.csv")));
    for object in &objects {
        let [etag, version, sha256] = ["etag", "version", "sha256"].map(|key| object[key].as_str().expect(key));
        assert!(!etag.contains('"') && version == format!("v-{etag}") && sha256.len() == 64, "{object}");
        assert_eq!(object["endpoint"], server.endpoint());
    }

    // Nothing has changed, so nothing is fetched.
    server.plan(Plan::Faultless);
    let again = run(&[]).expect(0).json();
    assert_eq!((requests(&server), &again["stages"][0]["artifacts"]), ((2, 0), &first["stages"][0]["artifacts"]));
    // Unless nothing is reused.
    run(&["--set", "ingestion.cache=false"]).expect(0);
    assert_eq!(requests(&server), (4, ROWS));

    // One of them changes.
    server.plan(Plan::Faultless);
    server.write("events/2026-11-29/part-00007.csv", format!("{header}\n{}\n", rows[8]).as_bytes());
    let changed = run(&[]).expect(0).json();
    assert_eq!(requests(&server), (2, ROWS));
    assert_ne!(digest(&changed, "table"), digest(&first, "table"));

    // A fault in the middle leaves nothing, and the next run is right.
    let before = place.artifacts();
    server.write("events/2026-11-29/part-00007.csv", format!("{header}\n{}\n", rows[7]).as_bytes());
    server.plan(Plan::From(600, Fault::Error500));
    let cut = run(&["--set", "ingestion.cache=false"]).expect(3);
    said(&cut, &["cannot fetch `s3://lake/events/2026-11-29/part-", "it could not be read in 5 attempts", "try again"]);
    assert_eq!(place.artifacts(), before);
    server.plan(Plan::Faultless);
    let right = run(&["--set", "ingestion.cache=false"]).expect(0).json();
    assert_eq!(digest(&right, "table"), digest(&first, "table"));

    // A value of the manifest wins over the date.
    let empty = run(&["--set", "sources.customers.values.date=2026-11-30"]).expect(3);
    said(
        &empty,
        &[
            "`s3://lake/events/2026-11-30/`",
            "there is no object below this prefix",
            "the one that is there is a marker",
            "as-of",
        ],
    );
    let other = run(&["--set", "sources.customers.values.day=7"]).expect(2);
    assert!(other.stdout.contains("has no `{day}`") || other.stderr.contains("has no `{day}`"), "{}", other.stdout);

    // Without the server, the run is done again from what was kept.
    drop(server);
    place.run(&["reproduce", first["run_id"].as_str().expect("a run")]).expect(0);
}

// invariant: A bucket is read only if the manifest grants it, within what the operator allows. A
// store that a manifest names is asked only if its server is granted.
#[test]
fn a_bucket_that_is_not_granted_is_not_asked() {
    let (place, server) = (Place::new(), s3::Server::start("lake", Options::default()));
    server.write("events/a.csv", b"x\n1\n");
    for (uri, grant) in [
        ("s3://lake/events/a.csv", "ingestion.s3=[\"lake/other/\"]"),
        ("s3://lake/events/", "ingestion.s3=[\"lak\"]"),
        ("s3://lake/", "ingestion.s3=[\"lake/events/\"]"),
    ] {
        let denied = Ended::of(ingestion(&place, &server, uri, &["--set", grant])).expect(5);
        said(&denied, &[&format!("the objects of `{uri}`"), "write `s3 = [\"lake/"]);
    }
    let endpoint = format!("sources.customers.endpoint={}", server.endpoint());
    let named = ["--set", "ingestion.s3=[\"lake\"]", "--set", &endpoint];
    let denied = Ended::of(ingestion(&place, &server, "s3://lake/events/a.csv", &named)).expect(5);
    said(&denied, &["the host `127.0.0.1:", "write `http = [\"127.0.0.1:"]);
    assert_eq!(server.log(), []);
    let host = format!("ingestion.http=[\"{}\"]", server.endpoint().trim_start_matches("http://"));
    let granted =
        Ended::of(ingestion(&place, &server, "s3://lake/events/a.csv", &[&named[..], &["--set", &host]].concat()));
    // It is read. The table lacks the columns of the manifest.
    said(&granted.expect(3), &["no columns `customerID`"]);

    let operator = place.write("operator.toml", "[s3]\nbuckets = [\"lake/events/\"]\n");
    let mut refused = ingestion(&place, &server, "s3://lake/events/a.csv", &["--set", "ingestion.s3=[\"lake\"]"]);
    refused.env("STAGEWRIGHT_OPERATOR", &operator);
    let refused = Ended::of(refused).expect(2);
    let told = [refused.stdout, refused.stderr].concat();
    assert!(told.contains("the operator does not allow `lake`") && told.contains("`buckets` under [s3]"), "{told}");
}

#[test]
fn what_is_wrong_with_a_bucket_is_told_with_what_to_do() {
    let (place, server) = (Place::new(), s3::Server::start("lake", Options::default()));
    server.write("events/a.csv", b"x\n1\n");
    server.write("events/b.parquet", b"PAR1");
    let grant = ["--set", "ingestion.s3=[\"lake\", \"sea\"]"];
    let run = |uri: &str, variable: Option<(&str, &str)>| {
        let mut command = ingestion(&place, &server, uri, &grant);
        command.envs(variable);
        Ended::of(command).expect(3)
    };
    said(&run("s3://lake/events/", None), &["`s3://lake/events/b.parquet`", "its ending tells no format", "format ="]);
    said(&run("s3://lake/events/c.csv", None), &["there is no such object"]);
    said(&run("s3://sea/a/", None), &["no bucket `sea`", "correct the bucket's name"]);
    said(&run("s3://lake/events/", Some(("AWS_SECRET_ACCESS_KEY", "wrong"))), &["the credentials are refused"]);
    said(
        &run("s3://lake/events/", Some(("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"))),
        &["cannot reach", "AWS_ENDPOINT_URL_S3"],
    );
    let mut none = ingestion(&place, &server, "s3://lake/events/", &grant);
    for (name, _) in server.variables().iter() {
        none.env_remove(name);
    }
    said(&Ended::of(none).expect(3), &["no credentials", "AWS_ACCESS_KEY_ID"]);
    let large = Ended::of(ingestion(
        &place,
        &server,
        "s3://lake/events/a.csv",
        &[&grant[..], &["--set", "sources.customers.max-bytes=\"1 B\""]].concat(),
    ));
    said(&large.expect(6), &["max-bytes"]);
}

/// An API with a page for each 400 customers, whose third page is cut as often as `cuts` says.
fn api(header: &str, rows: &[String], cuts: usize) -> (u16, Arc<AtomicUsize>) {
    let names: Vec<String> = header.split(',').map(str::to_owned).collect();
    let record = |row: &String| {
        let members = names
            .iter()
            .zip(row.split(','))
            .map(|(name, cell)| format!("{}: {}", Value::from(name.as_str()), Value::from(cell)));
        format!("{{ {} }}", members.collect::<Vec<_>>().join(",\n"))
    };
    let pages: Vec<String> =
        rows.chunks(400).map(|rows| rows.iter().map(record).collect::<Vec<_>>().join(", ")).collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (cuts, answers) = (AtomicUsize::new(cuts), Arc::new(AtomicUsize::new(0)));
    let counter = answers.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("the same connection"));
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            counter.fetch_add(1, Ordering::SeqCst);
            let page: usize =
                head.split(' ').nth(1).and_then(|path| path.split("page=").nth(1)?.parse().ok()).unwrap_or(0);
            let next = if page + 1 < pages.len() { format!("\"?page={}\"", page + 1) } else { "null".to_owned() };
            let body = format!("{{\"data\": {{\"items\": [{}]}}, \"links\": {{\"next\": {next}}}}}", pages[page]);
            let is_known = head.to_ascii_lowercase().contains("\r\nx-api-key: token of a test\r\n");
            let status = if is_known { "200 OK" } else { "403 Forbidden" };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let is_cut =
                page == 2 && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let sent = if is_cut { &answer[..answer.len() - 100] } else { &answer };
            // A client may close the connection early.
            let _ = stream.write_all(sent.as_bytes());
        }
    });
    (port, answers)
}

// invariant: The records of all pages of an API are one table. A page that is cut leaves nothing.
#[test]
fn the_pages_of_an_api_are_one_table_and_a_cut_page_leaves_nothing() {
    let place = Place::new();
    let (header, rows) = customers(&place);
    let (port, answers) = api(&header, &rows, 1);
    let manifest = config("churn.toml");
    let source = format!("customers=http://127.0.0.1:{port}/v1/customers");
    let grant = format!("ingestion.http=[\"127.0.0.1:{port}\"]");
    let run = |more: &[&str], token: &str| {
        let mut arguments =
            vec!["run", &manifest, "--json", "--until", "ingestion", "--source", &source, "--set", &grant];
        arguments.extend(["--set", "sources.customers.format=json", "--set", "sources.customers.records=data.items"]);
        arguments.extend(["--set", "sources.customers.pages={ link = \"links.next\" }"]);
        arguments.extend(["--set", "sources.customers.headers={ X-Api-Key = \"STAGEWRIGHT_TOKEN_SHOP\" }"]);
        arguments.extend(more);
        let mut command = place.command(&arguments);
        command.env("STAGEWRIGHT_TOKEN_SHOP", token);
        Ended::of(command)
    };
    let before = place.artifacts();
    said(&run(&[], "token of a test").expect(3), &["cannot fetch `http://127.0.0.1:", "/v1/customers?…`"]);
    assert_eq!((place.artifacts(), answers.load(Ordering::SeqCst)), (before.clone(), 3));
    let whole = run(&[], "token of a test").expect(0).json();
    assert_eq!(answers.load(Ordering::SeqCst), 7);
    let of_file = place.write("all.csv", format!("{header}\n{}\n", rows.join("\n")));
    let source = format!("customers=csv:{}", of_file.display());
    let csv = place.run(&["run", &manifest, "--json", "--until", "ingestion", "--source", &source]).expect(0).json();
    assert_eq!(digest(&whole, "table"), digest(&csv, "table"));

    place
        .run(&[
            "artifacts",
            "export",
            "ingestion.objects",
            "--run",
            whole["run_id"].as_str().expect("a run"),
            "--output",
            "pages.jsonl",
        ])
        .expect(0);
    let pages = std::fs::read_to_string(place.path().join("pages.jsonl")).expect("the list");
    let pages: Vec<Value> = pages.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        pages.iter().map(|page| page["records"].as_u64()).collect::<Vec<_>>(),
        [Some(400), Some(400), Some(400), Some(5)]
    );

    // The token is in no record and no message.
    let refused = run(&[], "token of nobody").expect(3);
    said(&refused, &["status 403"]);
    let shown = place.run(&["runs", "show", whole["run_id"].as_str().expect("a run"), "--json"]).expect(0).stdout;
    assert!(![shown, refused.stdout, refused.stderr].concat().contains("token of"));
    said(&run(&["--set", "sources.customers.pages.max-pages=3"], "token of a test").expect(3), &["more than 3 pages"]);
    let unset = run(&["--set", "sources.customers.headers={ X-Api-Key = \"HOME\" }"], "x").expect(2);
    assert!([unset.stdout, unset.stderr].concat().contains("`HOME` is not a variable that a manifest may have sent"));
}
