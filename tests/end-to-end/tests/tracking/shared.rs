//! Two servers over one PostgreSQL database.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};
use stagewright_end_to_end::Place;
use stagewright_services::postgres::Cluster;

use super::server::{Answer, Server};
use super::session::{NEW, OLD};

const CLIENTS: usize = 8;
const EACH: usize = 20;

/// Carries something out by several clients at once, half of them at each server.
fn by_all<T: Send>(servers: &[Server; 2], work: impl Fn(&Server, usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || work(&servers[client % 2], client))).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    })
}

// invariant: Servers that share a database lose nothing that one of them was told, and agree.
#[test]
#[ignore = "needs PostgreSQL"]
fn two_servers_over_postgresql_agree_and_lose_nothing() {
    let url = Cluster::shared().create_database();
    let places = [Place::new(), Place::new()];
    let servers = places.each_ref().map(|place| Server::start_with(place, &["--registry", &url]));
    let [one, other] = &servers;

    // Values of one metric, from all at once.
    let run = one.post("runs/create", &json!({ "experiment_id": "0" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    by_all(&servers, |server, client| {
        for at in 0..EACH {
            let step = client * EACH + at;
            let metric = json!({ "run_id": run, "key": "loss", "value": step, "timestamp": 1, "step": step });
            server.post("runs/log-metric", &metric).done();
        }
    });
    let steps = |server: &Server| -> BTreeSet<u64> {
        let history = server.get(&format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=loss")).done();
        let points = history["metrics"].as_array().expect("points").clone();
        assert_eq!(points.len(), CLIENTS * EACH);
        points.iter().map(|point| point["step"].as_u64().expect("a step")).collect()
    };
    assert_eq!(steps(one), (0..(CLIENTS * EACH) as u64).collect());
    assert_eq!(steps(one), steps(other));

    // One parameter, with as many values as clients: one of them counts.
    let parameter = |client: usize| json!({ "run_id": run, "key": "depth", "value": client.to_string() });
    let answers = by_all(&servers, |server, client| server.post("runs/log-parameter", &parameter(client)).status);
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");

    // Versions have consecutive numbers, and one of a stage is left.
    one.post("registered-models/create", &json!({ "name": "churn" })).done();
    let version = json!({ "name": "churn", "source": "s3://bucket/model" });
    let number = |answer: Answer| answer.done()["model_version"]["version"].as_str().expect("a number").to_owned();
    let numbers: BTreeSet<String> =
        by_all(&servers, |server, _| number(server.post("model-versions/create", &version))).into_iter().collect();
    assert_eq!(numbers, (1..=CLIENTS).map(|number| number.to_string()).collect());
    by_all(&servers, |server, client| {
        let name = json!({ "name": "churn", "version": (client + 1).to_string(), "stage": "Production",
            "archive_existing_versions": true, "alias": "champion" });
        server.post("model-versions/transition-stage", &name).done();
        server.post("registered-models/alias", &name).done();
    });
    let model = |server: &Server| -> Value { server.get("/api/2.0/mlflow/registered-models/get?name=churn").done() };
    assert_eq!(model(one), model(other));
    let found = one.get("/api/2.0/mlflow/model-versions/search?filter=name%3D%27churn%27").done();
    let stages = found["model_versions"].as_array().expect("versions").iter().map(|it| &it["current_stage"]);
    assert_eq!(stages.filter(|stage| **stage == "Production").count(), 1, "{found}");
}

// invariant: as `clients_and_requests_get_what_a_stock_server_gives`
#[test]
#[ignore = "needs PostgreSQL and MLflow's clients: STAGEWRIGHT_MLFLOW_PYTHON and STAGEWRIGHT_MLFLOW_2_PYTHON"]
fn every_call_of_the_clients_of_mlflow_works_over_postgresql() {
    for client in [&OLD, &NEW] {
        let place = Place::new();
        client.run(&Server::start_with(&place, &["--registry", &Cluster::shared().create_database()]));
    }
}
