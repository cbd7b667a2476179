//! Two servers over one PostgreSQL database that are told different things at the same moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use stagewright_end_to_end::Place;
use stagewright_services::postgres::Cluster;

use super::server::Server;

const VERSIONS: usize = 4;
const CLIENTS: usize = 8;
const EACH: usize = 15;

/// The metrics of a batch.
const NAMES: [&str; 10] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"];

// invariant: as `two_servers_over_postgresql_agree_and_lose_nothing`
#[test]
#[ignore = "needs PostgreSQL"]
fn aliases_stages_and_batches_at_two_servers_over_postgresql_are_whole_at_every_moment() {
    let url = Cluster::shared().create_database();
    let places = [Place::new(), Place::new()];
    let servers = places.each_ref().map(|place| Server::start_with(place, &["--registry", &url]));
    let run = servers[0].post("runs/create", &json!({ "experiment_id": "0" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run");
    servers[0].post("registered-models/create", &json!({ "name": "churn" })).done();
    for _ in 0..VERSIONS {
        servers[1].post("model-versions/create", &json!({ "name": "churn", "source": "s3://bucket/model" })).done();
    }
    set_stage(&servers[0], 0);
    set_alias(&servers[0], 0);

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (servers, is_over) = (&servers, &is_over);
        let looking: Vec<_> = servers.iter().map(|server| scope.spawn(move || look(server, is_over))).collect();
        let asking: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let server = &servers[client % 2];
                    for at in 0..EACH {
                        match client / 2 {
                            0 => set_stage(server, client + at),
                            1 => set_alias(server, client + at),
                            _ => log_batch(server, run, client * EACH + at),
                        }
                    }
                })
            })
            .collect();
        asking.into_iter().for_each(|client| client.join().expect("a client"));
        is_over.store(true, Ordering::Relaxed);
        let looked: Vec<usize> = looking.into_iter().map(|looking| looking.join().expect("a client")).collect();
        assert!(looked.iter().all(|looks| *looks > 0), "{looked:?}");
    });

    // The servers agree, and the chain of the audit is whole.
    assert_eq!(model(&servers[0]), model(&servers[1]));
    places[0].run(&["--registry", &url, "audit", "verify"]).expect(0);
    // Each batch is there once, with all that was in it.
    let logged: Vec<usize> = (2 * 2 * EACH..CLIENTS * EACH).collect();
    for server in &servers {
        for name in NAMES {
            let path = format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key={name}");
            let history = server.get(&path).done();
            let steps = history["metrics"].as_array().expect("points").iter();
            let steps: Vec<usize> = steps.map(|point| point["step"].as_u64().expect("a step") as usize).collect();
            assert_eq!(steps, logged, "{name}");
        }
        let last = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).done();
        let last = last["run"]["data"]["metrics"].as_array().expect("metrics").clone();
        assert!(last.iter().all(|metric| metric["step"] == json!(CLIENTS * EACH - 1)), "{last:?}");
    }
}

fn set_stage(server: &Server, at: usize) {
    let version = (at % VERSIONS + 1).to_string();
    let body = json!({ "name": "churn", "version": version, "stage": "Production", "archive_existing_versions": true });
    server.post("model-versions/transition-stage", &body).done();
}

fn set_alias(server: &Server, at: usize) {
    let version = (at % VERSIONS + 1).to_string();
    let body = json!({ "name": "churn", "alias": "champion", "version": version });
    server.post("registered-models/alias", &body).done();
}

fn log_batch(server: &Server, run: &str, step: usize) {
    let point = |key: &str| json!({ "key": key, "value": step, "timestamp": 1, "step": step });
    server.post("runs/log-batch", &json!({ "run_id": run, "metrics": NAMES.map(point) })).done();
}

/// Looks at the model until all is over: one version is in production at every moment, and one has
/// the alias. Returns how often it looked.
fn look(server: &Server, is_over: &AtomicBool) -> usize {
    let mut looks = 0;
    while !is_over.load(Ordering::Relaxed) {
        let versions = server.get("/api/2.0/mlflow/model-versions/search?filter=name%3D%27churn%27").done();
        let versions = versions["model_versions"].as_array().expect("versions").clone();
        let stages = versions.iter().map(|it| it["current_stage"].as_str().expect("a stage").to_owned());
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        stages.for_each(|stage| *counted.entry(stage).or_default() += 1);
        assert_eq!(counted.get("Production"), Some(&1), "{counted:?}");
        let has_alias = |it: &&Value| it["aliases"].as_array().is_some_and(|all| all.contains(&json!("champion")));
        assert_eq!(versions.iter().filter(has_alias).count(), 1, "{versions:?}");
        looks += 1;
    }
    looks
}

fn model(server: &Server) -> Value {
    server.get("/api/2.0/mlflow/registered-models/get?name=churn").done()
}
