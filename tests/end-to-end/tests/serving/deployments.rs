//! Deployments by the built program: who answers, what the server does by itself, what a restart
//! changes.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_end_to_end::serving::{Reply, Serving, read_reply, send};
use stagewright_end_to_end::{Place, config, guests};
use stagewright_services::postgres::Cluster;

use crate::follow::blobs;
use crate::{MODEL, copy, trained};

/// The longest time until something that happens by itself has happened. What is promised is a
/// second or a few; the machine may be busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Returns a home with a champion, version 1, and two approved versions: version 2, and version 3,
/// which traps at rows that no training had. It is made once and copied.
pub(crate) fn approved() -> Place {
    static HOME: OnceLock<Place> = OnceLock::new();
    let first = HOME.get_or_init(|| {
        let place = trained();
        // No version passes this gate, so that none is promoted.
        let gate = ["--set", "gates.minimum.roc_auc=0.999"];
        place.churn(1500, &[&gate[..], &["--set", "training.n_estimators=20"]].concat()).expect(4);
        let churn = std::fs::read_to_string(config("churn.toml")).expect("the shipped pipeline");
        let trap = guests().join("trap-outliers.wasm").display().to_string();
        let file = place.write("trap.toml", format!("{churn}\n[components.trap-outliers]\npath = {trap:?}\n"));
        let file = file.display().to_string();
        let changes =
            ["ingestion.component=ingest-synthetic", "ingestion.rows=1500", "training.component=trap-outliers"];
        let changes = changes.iter().flat_map(|change| ["--set", change]);
        place.run(&["run", &file, "--json"].into_iter().chain(gate).chain(changes).collect::<Vec<_>>()).expect(4);
        for version in ["2", "3"] {
            place.run(&["models", "approve", &format!("{MODEL}/{version}"), "--reason", "to be tried"]).expect(0);
        }
        place
    });
    let place = Place::new();
    copy(&first.home(), &place.home());
    std::fs::copy(first.path().join("customers.csv"), place.path().join("customers.csv")).expect("a copy");
    place
}

/// A server and its clients.
pub(crate) struct Bed {
    pub(crate) place: Place,
    pub(crate) server: Serving,
    /// A customer, and one that no training had, as CSV.
    pub(crate) ordinary: Vec<u8>,
    pub(crate) outlier: Vec<u8>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let place = approved();
        let server = Serving::start(&place, &[MODEL]);
        let text = std::fs::read_to_string(place.path().join("customers.csv")).expect("customers");
        let lines: Vec<Vec<&str>> = text.lines().take(2).map(|line| line.split(',').collect()).collect();
        let charges = lines[0].iter().position(|name| *name == "MonthlyCharges").expect("a number");
        let csv = |row: &[&str]| format!("{}\n{}\n", lines[0].join(","), row.join(",")).into_bytes();
        let mut far = lines[1].clone();
        far[charges] = "1e12";
        Self { ordinary: csv(&lines[1]), outlier: csv(&far), place, server }
    }

    /// Runs a `deploy` command. Returns what it prints.
    pub(crate) fn deploy(&self, arguments: &[&str]) -> Value {
        self.place.run(&[&["deploy"], arguments, &["--json"]].concat()).expect(0).json()
    }

    /// Asks an operator's path.
    pub(crate) fn operate(&self, path: &str, body: &Value) -> Reply {
        self.server.post(&format!("/models/{MODEL}/deployment{path}"), body)
    }

    pub(crate) fn status(&self) -> Value {
        self.server.get(&format!("/models/{MODEL}/deployment")).json()
    }

    /// Waits until the server carries out a step in which the candidate has this share.
    #[track_caller]
    pub(crate) fn until_share(&self, share: f64) {
        until_share(&self.server, share);
    }

    /// Waits until the deployment has ended. Returns it.
    #[track_caller]
    pub(crate) fn until_ended(&self, status: &str) -> Value {
        let began = Instant::now();
        while self.status()["status"] == "active" {
            assert!(began.elapsed() < SOON, "{}", self.status());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.status()["status"], status, "{}", self.status());
        // The server sees what it has done itself within a second.
        while !self.server.get("/").json()["deployment"].is_null() {
            assert!(began.elapsed() < SOON, "{}", self.server.get("/").text());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.status()
    }

    /// Returns the reasons of the steps in the audit.
    pub(crate) fn audit(&self, action: &str) -> Vec<String> {
        let history = self.place.run(&["models", "history", MODEL, "--json"]).expect(0).json();
        let entries = history.as_array().expect("entries").iter().filter(|entry| entry["action"] == action);
        entries.map(|entry| entry["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

#[track_caller]
fn until_share(server: &Serving, share: f64) {
    let began = Instant::now();
    while server.get("/").json()["deployment"]["arms"][1]["share"] != share {
        assert!(began.elapsed() < SOON, "{}", server.get("/").text());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Predicts for a customer with a key.
pub(crate) fn predict(server: &Serving, key: &str, body: &[u8]) -> Reply {
    let key = format!("X-Routing-Key: {key}");
    server.ask("POST", "/predict", &["content-type: text/csv", &key], body)
}

/// Returns the part of a request's identifier that names version and arm: `v2.canary`.
pub(crate) fn arm(reply: &Reply) -> String {
    let id = reply.header("x-request-id").expect("an identifier");
    id.split_once('.').map_or_else(String::new, |(_, arm)| arm.to_owned())
}

/// Returns who answers each of some keys.
fn arms(server: &Serving, body: &[u8]) -> BTreeMap<u32, String> {
    let of = |key: u32| {
        let reply = predict(server, &key.to_string(), body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        arm(&reply)
    };
    (0..40).map(|key| (key, of(key))).collect()
}

fn canary<'a>(version: &'a str, shares: &'a str) -> Vec<&'a str> {
    vec!["start", MODEL, "--strategy", "canary", "--version", version, "--shares", shares, "--reason", "a test"]
}

// invariant: A canary goes from its first step to the promotion, and a server that is started again
// goes on where it was: the same keys get the same version from every server.
#[test]
fn a_canary_is_carried_to_its_promotion_by_every_server() {
    let bed = Bed::new();
    bed.deploy(&canary("2", "50,100"));
    bed.until_share(0.5);
    let first = arms(&bed.server, &bed.ordinary);
    let of = |name: &str| first.values().filter(|arm| *arm == name).count();
    assert!(of("v1.control") > 0 && of("v2.canary") > 0 && of("v1.control") + of("v2.canary") == 40, "{first:?}");
    let described = bed.server.get(&format!("/models/{MODEL}")).json();
    assert_eq!(described["deployment"]["strategy"], "canary", "{described}");
    // Another server, and this one after a restart.
    let other = Serving::start(&bed.place, &[MODEL]);
    assert_eq!(arms(&other, &bed.ordinary), first);
    let Bed { place, server, ordinary, outlier } = bed;
    assert_eq!(server.stop().code, Some(0));
    let bed = Bed { server: Serving::start(&place, &[MODEL]), place, ordinary, outlier };
    assert_eq!(arms(&bed.server, &bed.ordinary), first);
    // What both have counted adds up.
    let began = Instant::now();
    while bed.status()["arms"][0]["requests"].as_u64() != Some(3 * of("v1.control") as u64) {
        assert!(began.elapsed() < SOON, "{}", bed.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(bed.status(), bed.deploy(&["status", MODEL]), "the command shows the same");
    bed.deploy(&["advance", MODEL]);
    for server in [&bed.server, &other] {
        until_share(server, 1.0);
        assert!(arms(server, &bed.ordinary).values().all(|arm| arm == "v2.canary"));
        // A server that starts during a deployment loads the champion once, as others do.
        let metrics = server.get("/metrics").text().to_owned();
        let loads = format!("stagewright_swaps_total{{model=\"{MODEL}\",result=\"swapped\"}} 1");
        assert!(metrics.lines().any(|line| line == loads), "{metrics}");
    }
    let promoted = bed.operate("/advance", &json!({ "reason": "it went well" }));
    assert_eq!((promoted.status, &promoted.json()["status"]), (200, &json!("finished")), "{}", promoted.text());
    bed.until_ended("finished");
    for server in [&bed.server, &other] {
        let began = Instant::now();
        while server.get("/").json()["version"] != 2 || !server.get("/").json()["deployment"].is_null() {
            assert!(began.elapsed() < SOON, "{}", server.get("/").text());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(arms(server, &bed.ordinary).values().all(|arm| arm == "v2"));
    }
    assert_eq!(bed.audit("deployment.finished"), ["it went well"]);
    assert_eq!(bed.server.stop().code, Some(0));
}

/// Predicts with some keys, and posts what became of each request: `label` names the outcome of an
/// arm. Returns the number of requests of the second arm.
fn ask_and_post(bed: &Bed, keys: std::ops::Range<u32>, label: fn(&str) -> &'static str) -> usize {
    let of = |key: u32| {
        let reply = predict(&bed.server, &key.to_string(), &bed.ordinary);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = reply.header("x-request-id").expect("an identifier").to_owned();
        (json!({ "request_id": id, "label": label(&arm(&reply)) }), arm(&reply).starts_with("v2"))
    };
    let (outcomes, tried): (Vec<Value>, Vec<bool>) = keys.map(of).unzip();
    let posted = bed.server.post("/outcomes", &outcomes.into());
    assert_eq!(posted.status, 200, "{}", posted.text());
    tried.into_iter().filter(|tried| *tried).count()
}

// invariant: Outcomes that are posted by request id count for the version and arm that answered,
// and a canary whose outcomes break a bound is aborted.
#[test]
fn outcomes_count_for_their_arm_and_a_bound_on_them_ends_a_canary() {
    let bed = Bed::new();
    let test = json!({
        "experiment_name": "second", "reason": "a test",
        "variants": {
            "control": { "model_version": 1, "traffic_percentage": 50 },
            "treatment": { "model_version": 2, "traffic_percentage": 50 },
        },
        "metrics": { "primary": "conversion_rate", "secondary": ["error_rate"] },
        "duration_days": 14, "min_sample_size": 10, "positive_label": "Yes",
    });
    let started = bed.operate("", &test);
    assert_eq!(started.status, 201, "{}", started.text());
    bed.until_share(0.5);
    let treated = ask_and_post(&bed, 0..60, |arm| if arm == "v2.treatment" { "Yes" } else { "No" });
    let status = bed.status();
    let of = |arm: usize, name: &str| status["arms"][arm][name].as_u64().map(|number| number as usize);
    assert!(treated > 10 && treated < 50, "{treated}");
    assert_eq!([of(0, "outcomes"), of(1, "outcomes")], [Some(60 - treated), Some(treated)], "{status}");
    assert_eq!([of(0, "positives"), of(1, "positives")], [Some(0), Some(treated)], "{status}");
    // Its days have not passed, whatever the outcomes are.
    let early = bed.operate("/advance", &json!({}));
    assert_eq!((early.status, &early.json()["error"]["code"]), (409, &json!("not_now")), "{}", early.text());
    assert_eq!(bed.operate("/abort", &json!({ "reason": "enough" })).status, 200);
    bed.until_ended("aborted");

    let bound = json!({ "figure": "positive_rate", "positive_label": "Yes", "min_outcomes": 10, "at_least": 0.5 });
    let plan = json!({ "strategy": "canary", "version": 2, "shares": [50, 100], "guard": { "outcome": bound } });
    assert_eq!(bed.operate("", &plan).status, 201);
    bed.until_share(0.5);
    let tried = ask_and_post(&bed, 0..60, |arm| if arm == "v2.canary" { "No" } else { "Yes" });
    assert!(tried > 10, "{tried}");
    let ended = bed.until_ended("aborted");
    assert!(ended["end_reason"].as_str().is_some_and(|it| it.contains("positive_rate")), "{ended}");
    assert_eq!(bed.server.stop().code, Some(0));
}

#[test]
fn a_schedule_leads_to_the_promotion_without_anybody() {
    let bed = Bed::new();
    let start = [&canary("2", "30,100")[..], &["--interval", "1s", "--min-requests", "5"]].concat();
    bed.deploy(&start);
    let (began, mut key) = (Instant::now(), 0);
    while bed.status()["status"] == "active" {
        assert!(began.elapsed() < SOON, "{}", bed.status());
        key += 1;
        assert_eq!(predict(&bed.server, &key.to_string(), &bed.ordinary).status, 200);
    }
    bed.until_ended("finished");
    assert_eq!(bed.server.get("/").json()["version"], 2);
    assert_eq!(bed.audit("deployment.advanced").len(), 1);
    assert!(bed.audit("deployment.advanced")[0].contains("step 1 of 2"), "{:?}", bed.audit("deployment.advanced"));
    assert_eq!(bed.place.run(&["models", "list", "--json"]).expect(0).json()[0]["champion"], 2);
    assert_eq!(bed.server.stop().code, Some(0));
}

// invariant: as `steps_and_ends_under_load_fail_no_request`
#[test]
fn a_switch_and_its_undoing_fail_no_request() {
    let bed = Bed::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let (stop, bed) = (&stop, &bed);
                scope.spawn(move || {
                    let (mut stream, mut seen) = (bed.server.connect(), Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        send(&mut stream, "POST", "/predict", &["content-type: text/csv"], &bed.ordinary)
                            .expect("a request");
                        let reply = read_reply(&mut stream).expect("an answer");
                        assert_eq!(reply.status, 200, "{}", reply.text());
                        if seen.last() != Some(&arm(&reply)) {
                            seen.push(arm(&reply));
                        }
                    }
                    seen
                })
            })
            .collect();
        let all_answer = |expected: &str| {
            let began = Instant::now();
            while arm(&predict(&bed.server, "", &bed.ordinary)) != expected {
                assert!(began.elapsed() < SOON, "not {expected}: {}", bed.server.get("/").text());
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        bed.deploy(&["start", MODEL, "--strategy", "blue_green", "--version", "2", "--reason", "a test"]);
        all_answer("v1.control");
        bed.deploy(&["advance", MODEL]);
        all_answer("v2.green");
        let aborted = bed.operate("/abort", &json!({ "reason": "complaints" }));
        assert_eq!(aborted.json()["status"], "aborted", "{}", aborted.text());
        all_answer("v1");
        stop.store(true, Ordering::Relaxed);
        for client in asking {
            assert_eq!(client.join().expect("every request is answered"), ["v1", "v1.control", "v2.green", "v1"]);
        }
    });
    assert_eq!(bed.audit("deployment.aborted"), ["complaints"]);
    assert_eq!(bed.server.stop().code, Some(0));
}

// invariant: A shadow that traps costs no request, and has metrics of its own.
#[test]
fn a_shadow_that_traps_costs_no_request() {
    let bed = Bed::new();
    let ask = |number: u32| {
        let body = if number.is_multiple_of(100) { &bed.outlier } else { &bed.ordinary };
        let reply = predict(&bed.server, &number.to_string(), body);
        let id = reply.header("x-request-id").expect("an identifier").to_owned();
        (reply.status, arm(&reply), reply.text().replace(&id, "ID"))
    };
    let before: Vec<_> = (0..300).map(ask).collect();
    bed.deploy(&["start", MODEL, "--strategy", "shadow", "--version", "3", "--reason", "a test"]);
    bed.until_share(0.0);
    let beside: Vec<_> = (0..300).map(ask).collect();
    assert_eq!(beside, before, "answers are the same with the shadow");
    assert!(before.iter().all(|(status, arm, _)| (*status, arm.as_str()) == (200, "v1")));
    // Both the server and the registry know what became of the copies.
    let began = Instant::now();
    while bed.status()["state"]["compared_rows"] != 297 {
        assert!(began.elapsed() < SOON, "{}", bed.status());
        std::thread::sleep(Duration::from_millis(100));
    }
    let status = bed.status();
    let shadow = &status["arms"][1];
    assert_eq!((&shadow["requests"], &shadow["errors"]), (&json!(300), &json!(3)), "{status}");
    assert_eq!(status["arms"][0]["errors"], 0, "{status}");
    let metrics = bed.server.get("/metrics").text().to_owned();
    let labels = format!("model=\"{MODEL}\",version=\"3\"");
    for line in [
        format!("stagewright_shadow_compared_rows_total{{{labels}}} 297"),
        format!("stagewright_requests_total{{{labels},arm=\"shadow\",protocol=\"other\",code=\"500\"}} 3"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing:\n{metrics}");
    }
    bed.deploy(&["advance", MODEL, "--reason", "it was seen"]);
    bed.until_ended("finished");
    assert_eq!(bed.server.get("/").json()["version"], 1, "a shadow is promoted by nobody");
    assert_eq!(bed.server.stop().code, Some(0));
}

// invariant: A candidate that does not load answers nobody: the deployment is aborted, with the
// reason in the audit.
#[test]
fn a_candidate_that_does_not_load_ends_its_deployment() {
    let bed = Bed::new();
    let contents = bed.place.run(&["models", "show", &format!("{MODEL}/2"), "--json"]).expect(0).json();
    let model = contents["contents"]["model"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
    let blob = blobs(&bed.place).into_iter().find(|blob| blob.display().to_string().contains(&model));
    let blob = blob.expect("the blob of the model");
    let mut bytes = std::fs::read(&blob).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = blob.with_extension("damaged");
    std::fs::write(&damaged, bytes).expect("a damaged blob");
    std::fs::rename(&damaged, &blob).expect("it takes the place of the blob");
    bed.deploy(&canary("2", "100"));
    let ended = bed.until_ended("aborted");
    assert!(ended["end_reason"].as_str().is_some_and(|it| it.starts_with("version 2 does not load: ")), "{ended}");
    assert_eq!(bed.audit("deployment.aborted").len(), 1);
    assert!(arms(&bed.server, &bed.ordinary).values().all(|arm| arm == "v1"));
    // The same without a server in between: it is told when the next one starts.
    let Bed { place, server, ordinary, .. } = bed;
    assert_eq!(server.stop().code, Some(0));
    place.run(&[&["deploy"], &canary("2", "100")[..]].concat()).expect(0);
    let server = Serving::start(&place, &[MODEL]);
    assert!(arms(&server, &ordinary).values().all(|arm| arm == "v1"));
    let status = server.get(&format!("/models/{MODEL}/deployment")).json();
    assert_eq!((&status["number"], &status["status"]), (&json!(2), &json!("aborted")), "{status}");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn another_champion_ends_a_deployment() {
    let bed = Bed::new();
    bed.deploy(&canary("2", "50,100"));
    bed.until_share(0.5);
    bed.place.run(&["models", "promote", &format!("{MODEL}/3"), "--reason", "in a hurry"]).expect(0);
    let ended = bed.until_ended("aborted");
    assert!(ended["end_reason"].as_str().is_some_and(|it| it.contains("version 3 became champion")), "{ended}");
    let began = Instant::now();
    while bed.server.get("/").json()["version"] != 3 {
        assert!(began.elapsed() < SOON, "{}", bed.server.get("/").text());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(arms(&bed.server, &bed.ordinary).values().all(|arm| arm == "v3"));
    assert_eq!(bed.server.stop().code, Some(0));
}

// invariant: as `a_canary_is_carried_to_its_promotion_by_every_server`
#[test]
#[ignore = "needs PostgreSQL"]
fn servers_of_a_postgresql_registry_agree() {
    let (place, cluster) = (Place::new(), Cluster::start());
    let registry = cluster.create_database();
    let shared = ["--registry", registry.as_str()];
    let gates = |auc: &'static str| ["--set", auc, "--set", "gates.minimum.accuracy=0.5"];
    let logistic = ["--set", "training.component=train-logistic"];
    place.churn(1500, &[&shared[..], &gates("gates.minimum.roc_auc=0.5"), &logistic].concat()).expect(0);
    let boosted = ["--set", "training.n_estimators=20"];
    place.churn(1500, &[&shared[..], &gates("gates.minimum.roc_auc=0.999"), &boosted].concat()).expect(4);
    let run = |arguments: &[&str]| place.run(&[arguments, &shared].concat()).expect(0);
    run(&["models", "approve", &format!("{MODEL}/2"), "--reason", "to be tried"]);
    let csv = place.path().join("customers.csv").display().to_string();
    run(&["artifacts", "export", "ingestion.table", "--output", &csv]);
    let text = std::fs::read_to_string(&csv).expect("customers");
    let ordinary: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();

    let servers = [(); 2].map(|()| Serving::start(&place, &[&[MODEL], &shared[..]].concat()));
    run(&[&["deploy"], &canary("2", "50,100")[..]].concat());
    servers.iter().for_each(|server| until_share(server, 0.5));
    let [one, other] = [&servers[0], &servers[1]].map(|server| arms(server, ordinary.as_bytes()));
    assert_eq!(one, other);
    let canaries = one.values().filter(|arm| *arm == "v2.canary").count();
    let path = format!("/models/{MODEL}/deployment");
    let began = Instant::now();
    while servers[0].get(&path).json()["arms"][1]["requests"].as_u64() != Some(2 * canaries as u64) {
        assert!(began.elapsed() < SOON, "{}", servers[0].get(&path).text());
        std::thread::sleep(Duration::from_millis(50));
    }
    for _ in 0..2 {
        let advanced = servers[1].post(&format!("{path}/advance"), &json!({}));
        assert_eq!(advanced.status, 200, "{}", advanced.text());
    }
    for server in servers {
        while server.get("/").json()["version"] != 2 || !server.get("/").json()["deployment"].is_null() {
            assert!(began.elapsed() < SOON, "{}", server.get("/").text());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(arms(&server, ordinary.as_bytes()).values().all(|arm| arm == "v2"));
        assert_eq!(server.stop().code, Some(0));
    }
}

#[test]
fn what_an_operator_cannot_do_is_refused_with_its_reason() {
    let bed = Bed::new();
    let refused = |path: &str, body: Value, status: u16, code: &str, part: &str| {
        let reply = bed.operate(path, &body);
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["code"]), (status, &json!(code)), "{}", reply.text());
        assert!(error.to_string().contains(part), "{part} is missing: {error}");
    };
    assert_eq!(bed.server.get(&format!("/models/{MODEL}/deployment")).status, 404);
    refused("/advance", json!({}), 404, "no_deployment", "no active deployment");
    refused("/abort", json!({ "reason": "x" }), 404, "no_deployment", "no active deployment");
    refused("/abort", json!({}), 400, "bad_request", "needs a reason");
    refused("", json!({ "strategy": "canary" }), 400, "bad_deployment", "version");
    refused(
        "",
        json!({ "strategy": "canary", "version": 2, "share": 5 }),
        400,
        "bad_deployment",
        "unknown field `share`",
    );
    refused("", json!({ "strategy": "canary", "version": 9 }), 404, "no_version", "has no version 9");
    refused("", json!({ "strategy": "canary", "version": 1 }), 409, "not_now", "is the champion");
    let started = bed.operate("", &json!({ "strategy": "canary", "version": "v2", "reason": "a test" }));
    assert_eq!(started.status, 201, "{}", started.text());
    refused("", json!({ "strategy": "shadow", "version": 3 }), 409, "deployment_changed", "is active already");
    assert_eq!(bed.operate("/abort", &json!({ "reason": "enough" })).status, 200);
    assert_eq!(bed.server.stop().code, Some(0));
}
