//! Webhooks: receivers are told what happens, and reach nothing that they should not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};
use stagewright_services::postgres::Cluster;
use stagewright_services::receiver::{Answer, Received, Receiver};

use super::server::Server;
use super::session::{NEW, last_line};

const SECRET: &str = "a secret that nobody may see";
const ALLOWED: [&str; 2] = ["--allow-webhook-address", "127.0.0.1"];
const PATIENCE: Duration = Duration::from_secs(60);

fn body(request: &Received) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

fn event(entity: &str, action: &str) -> Value {
    json!({ "entity": entity, "action": action })
}

/// Makes a webhook for the ends of runs and for tags of versions. Returns its identifier.
fn webhook(server: &Server, url: &str) -> String {
    let events = [
        event("RUN", "FINISHED"),
        event("RUN", "FAILED"),
        event("MODEL_VERSION_TAG", "SET"),
        event("MODEL_VERSION", "TRANSITIONED"),
    ];
    let made = json!({ "name": "ci", "url": url, "events": events, "secret": SECRET });
    let made = server.post("webhooks", &made).done();
    made["webhook"]["webhook_id"].as_str().expect("an identifier").to_owned()
}

fn run(server: &Server, status: &str) -> String {
    let run = server.post("runs/create", &json!({ "experiment_id": "0", "run_name": "quiet-owl" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    for _ in 0..2 {
        // The second changes nothing.
        server.post("runs/update", &json!({ "run_id": run, "status": status, "end_time": 5 })).done();
    }
    run
}

fn deliveries(server: &Server, webhook: &str) -> Vec<Value> {
    let found = server.get(&format!("/api/2.0/mlflow/webhooks/{webhook}/deliveries")).done();
    found["deliveries"].as_array().expect("a list").clone()
}

#[track_caller]
fn until(what: &str, is_reached: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_reached() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_webhook_is_told_of_runs_and_versions_and_its_log_can_be_read() {
    let place = Place::new();
    let server = Server::start_more(&place, &ALLOWED);
    let receiver = Receiver::start(|_| Answer::taken());
    let id = webhook(&server, &receiver.url("/hook?token=in-the-path"));
    let (finished, failed) = (run(&server, "FINISHED"), run(&server, "FAILED"));
    server.post("registered-models/create", &json!({ "name": "churn" })).done();
    server.post("model-versions/create", &json!({ "name": "churn", "source": "s3://bucket/model" })).done();
    server.post("model-versions/set-tag", &json!({ "name": "churn", "version": "1", "key": "a", "value": "b" })).done();
    let stage = json!({ "name": "churn", "version": "1", "stage": "Production" });
    server.post("model-versions/transition-stage", &stage).done();
    let received: Vec<Value> = receiver.wait_for(4).iter().map(body).collect();
    let titles: Vec<String> = received
        .iter()
        .map(|it| format!("{}.{}", it["entity"].as_str().expect("text"), it["action"].as_str().expect("text")))
        .collect();
    assert_eq!(titles, ["run.finished", "run.failed", "model_version_tag.set", "model_version.transitioned"]);
    let ended = |at: usize, member: &str| received[at]["data"][member].clone();
    assert_eq!((ended(0, "run_id"), ended(0, "status")), (json!(finished), json!("FINISHED")));
    assert_eq!((ended(1, "run_id"), ended(1, "status")), (json!(failed), json!("FAILED")));
    assert_eq!((ended(0, "run_name"), ended(0, "experiment_id")), (json!("quiet-owl"), json!("0")));
    assert_eq!(received[2]["data"], json!({ "name": "churn", "version": "1", "key": "a", "value": "b" }));
    assert_eq!((ended(3, "from"), ended(3, "to")), (json!("none"), json!("production")));

    until("four deliveries are logged", || deliveries(&server, &id).len() == 4);
    assert_eq!(deliveries(&server, &id)[0]["event"], "model_version.transitioned");
    let all = server.get("/api/2.0/mlflow/webhooks?all=true").done();
    assert_eq!(all["webhooks"][0]["stagewright"]["events"].as_array().expect("events").len(), 4);
    // MLflow's client would fail with an event that it does not know.
    assert_eq!(all["webhooks"][0]["events"], json!([event("MODEL_VERSION_TAG", "SET")]));
    let listed = place.run(&["webhooks", "list", "--json"]).expect(0);
    assert_eq!((&listed.json()[0]["webhook_id"], &listed.json()[0]["queued"]), (&json!(id), &json!(0)));
    let log = place.run(&["webhooks", "deliveries", &id, "--json"]).expect(0);
    assert_eq!(log.json().as_array().expect("a list").len(), 4);
    let shown = place.run(&["webhooks", "list"]).expect(0).stdout;
    assert!(shown.contains("told of everything") && !shown.contains("in-the-path"), "{shown}");
    place.run(&["webhooks", "deliveries", "none"]).expect(2);
    let everything = format!("{all}{}{}{}", listed.stdout, log.stdout, listed.stderr);
    assert!(!everything.contains(SECRET) && !listed.stdout.contains("in-the-path"));
    place.run(&["webhooks", "delete", &id]).expect(0);
    assert_eq!(server.get("/api/2.0/mlflow/webhooks?all=true").done(), json!({}));
}

#[test]
fn a_webhook_of_the_command_line_is_told_of_the_runs_of_clients() {
    let place = Place::new();
    let server = Server::start_more(&place, &ALLOWED);
    let receiver = Receiver::start(|_| Answer::taken());
    let secret = place.write("webhook.secret", format!("{SECRET}\n"));
    let url = receiver.url("/hook");
    let create = ["webhooks", "create", "ci", "--url", &url, "--event", "run.failed", "--secret-file"];
    let made = place.run(&[&create[..], &[secret.to_str().expect("a path"), "--json"]].concat()).expect(0);
    assert!(!made.stdout.contains(SECRET) && made.json()["is_signed"] == true, "{}", made.stdout);
    run(&server, "KILLED");
    let received = receiver.wait_for(1);
    assert_eq!(body(&received[0])["data"]["status"], "KILLED");
    assert!(received[0].header("X-MLflow-Signature").is_some_and(|signature| signature.starts_with("v1,")));
    let wrong = place.run(&["webhooks", "create", "ci", "--url", "ftp://a", "--event", "run.failed"]);
    assert!(wrong.expect(2).stderr.contains("SW0818"));
    let wrong = place.run(&["webhooks", "create", "ci", "--url", &url, "--event", "run.forgotten"]).expect(2);
    assert!(wrong.stderr.contains("run.failed"), "{}", wrong.stderr);
}

// invariant: as `only_public_addresses_are_reached_and_those_that_the_operator_allows`
#[test]
fn no_webhook_leads_to_an_address_that_the_operator_did_not_allow() {
    let place = Place::new();
    let server = Server::start(&place);
    let inside = Receiver::start(|_| Answer::taken());
    let port = inside.port();
    let create = |url: &str| {
        let new = json!({ "name": "ci", "url": url, "events": [event("RUN", "FAILED")] });
        server.post("webhooks", &new)
    };
    for url in [
        inside.url("/"),
        "http://example.org/".to_owned(),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://user:word@example.org/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        create(&url).refused(400, "INVALID_PARAMETER_VALUE");
    }
    // A name is not looked up before it is connected to.
    let made = create(&format!("https://localhost:{port}/")).done();
    let id = made["webhook"]["webhook_id"].as_str().expect("an identifier");
    let tried = server.post(&format!("webhooks/{id}/test"), &json!({})).done();
    let error = tried["result"]["error_message"].as_str().expect("an error");
    assert!(tried["result"]["success"] == false && error.contains("not allowed"), "{tried}");
    run(&server, "FAILED");
    until("an attempt is logged", || !deliveries(&server, id).is_empty());
    let log = deliveries(&server, id);
    assert!(log[0]["reason"].as_str().is_some_and(|reason| reason.contains("not allowed")), "{log:?}");
    assert!(inside.received().is_empty());

    // One that is allowed leads no further.
    let place = Place::new();
    let server = Server::start_more(&place, &ALLOWED);
    let to = inside.url("/admin");
    let outside = Receiver::start(move |_| Answer::redirect(&to));
    let id = webhook(&server, &outside.url("/hook"));
    let tried = server.post(&format!("webhooks/{id}/test"), &json!({})).done();
    assert_eq!((&tried["result"]["success"], &tried["result"]["response_status"]), (&json!(false), &json!(307)));
    run(&server, "FAILED");
    outside.wait_for(2);
    assert!(inside.received().is_empty());
}

// invariant: An event whose change was answered reaches its webhook, although the server is killed.
#[test]
fn events_outlive_a_server_that_is_killed() {
    outlived(&[]);
}

// invariant: as `events_outlive_a_server_that_is_killed`
#[test]
#[ignore = "needs PostgreSQL"]
fn events_over_postgresql_outlive_a_server_that_is_killed() {
    outlived(&["--registry", &Cluster::shared().create_database()]);
}

fn outlived(registry: &[&str]) {
    let place = Place::new();
    let start = || Server::start_with_more(&place, registry, &ALLOWED);
    let server = start();
    // The first attempt hangs while the server is killed.
    let receiver = Receiver::start(|before| if before == 0 { Answer::Silence } else { Answer::taken() });
    webhook(&server, &receiver.url("/hook"));
    let runs: Vec<String> = (0..5).map(|_| run(&server, "FINISHED")).collect();
    receiver.wait_for(1);
    drop(server);
    let _server = start();
    let received = receiver.wait_for(6);
    let told: Vec<Value> = received.iter().map(|request| body(request)["data"]["run_id"].clone()).collect();
    assert_eq!(told[0], told[1], "the first is sent again");
    assert_eq!(told[1..], runs.iter().map(|run| json!(run)).collect::<Vec<_>>());
    let id = |at: usize| received[at].header("X-MLflow-Delivery-Id");
    assert!(id(0) == id(1) && id(1) != id(2));
}

// invariant: as `two_followers_tell_each_event_once_and_in_order`
#[test]
#[ignore = "needs PostgreSQL"]
fn two_servers_over_postgresql_tell_each_event_once() {
    let url = Cluster::shared().create_database();
    let places = [Place::new(), Place::new()];
    let servers = places.each_ref().map(|place| Server::start_with_more(place, &["--registry", &url], &ALLOWED));
    let receiver = Receiver::start(|_| Answer::taken());
    let id = webhook(&servers[0], &receiver.url("/hook"));
    let mut runs: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let server = &servers[client % 2];
                scope.spawn(move || (0..20).map(|_| run(server, "FINISHED")).collect::<Vec<_>>())
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    receiver.wait_for(runs.len());
    let is_empty = || {
        let found = servers[1].get(&format!("/api/2.0/mlflow/webhooks/{id}")).done();
        found["webhook"]["stagewright"]["queued"] == 0
    };
    until("the queue is empty", is_empty);
    let received = receiver.received();
    let text = |request: &Received| body(request)["data"]["run_id"].as_str().expect("a run").to_owned();
    let mut told: Vec<String> = received.iter().map(text).collect();
    told.sort();
    runs.sort();
    assert_eq!(told, runs);
}

// invariant: as `clients_and_requests_get_what_a_stock_server_gives`
#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON"]
fn the_client_of_mlflow_makes_changes_and_tries_webhooks() {
    let place = Place::new();
    let server = Server::start_more(&place, &ALLOWED);
    let ended = Ended::of(NEW.python("webhooks.py", &server.address)).expect(0);
    let came = &last_line(&ended)["came"];
    let data: Vec<&Value> = came.as_array().expect("a list").iter().map(|it| &it["data"]).collect();
    assert_eq!(data.len(), 6, "{came}");
    assert_eq!(*data[0], json!({ "name": "churn", "tags": { "team": "a" }, "description": "whether customers leave" }));
    assert_eq!(
        *data[1],
        json!({ "name": "churn", "version": "1", "source": "s3://bucket/model", "run_id": null, "tags": { "a": "b" },
            "description": "the first" })
    );
    assert_eq!(*data[2], json!({ "name": "churn", "version": "1", "key": "reviewed", "value": "yes" }));
    assert_eq!(*data[3], json!({ "name": "churn", "alias": "candidate", "version": "1" }));
    assert_eq!(*data[4], json!({ "name": "churn", "alias": "candidate" }));
    assert_eq!(*data[5], json!({ "name": "churn", "version": "1", "key": "reviewed" }));
}
