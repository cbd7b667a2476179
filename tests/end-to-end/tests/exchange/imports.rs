//! Imports from servers that work.

use std::path::Path;

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};

use super::client::{contents, fill, old_python, python};
use super::server::Server;
use super::stock::Stock;

/// Imports from a server.
pub(super) fn import(place: &Place, address: &str, more: &[&str]) -> Ended {
    place.run(&[&["import", "mlflow", "--uri", address, "--json"], more].concat())
}

fn added(outcome: &Value) -> u64 {
    let kinds = ["experiments", "runs", "logged_models", "models", "versions"];
    let of = |kind: &str| {
        outcome[kind]["added"].as_u64().expect("a count") + outcome[kind]["updated"].as_u64().expect("a count")
    };
    kinds.iter().map(|kind| of(kind)).sum::<u64>() + outcome["files"].as_u64().expect("a count")
}

// invariant: An import brings everything that a client reads, once, however often it is run.
#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON names a Python that has it"]
fn everything_of_a_stock_server_is_imported_once() {
    let stock = Stock::start(&python());
    fill(&python(), &stock.address);
    everything_is_imported(&stock.address, &python());
}

#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_2_PYTHON names a Python that has version 2"]
fn everything_of_a_stock_server_of_mlflow_2_is_imported_once() {
    let stock = Stock::start(&old_python());
    fill(&old_python(), &stock.address);
    everything_is_imported(&stock.address, &old_python());
}

#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON names a Python that has it"]
fn everything_of_a_tracking_server_is_imported_once() {
    let place = Place::new();
    let server = Server::start(&place);
    fill(&python(), &server.address);
    everything_is_imported(&server.address, &python());
}

fn everything_is_imported(address: &str, python: &Path) {
    let place = Place::new();
    let first = import(&place, address, &[]).expect(0).json();
    assert_eq!((&first["conflicts"], &first["notes"]), (&json!([]), &json!([])), "{first}");
    let again = import(&place, address, &[]).expect(0).json();
    assert_eq!(added(&again), 0, "{again}");
    let rechecked = import(&place, address, &["--recheck"]).expect(0).json();
    assert_eq!((added(&rechecked), &rechecked["notes"]), (0, &json!([])), "{rechecked}");
    let server = Server::start(&place);
    let (there, here) = (contents(python, address), contents(python, &server.address));
    for (kind, records) in there.as_object().expect("kinds") {
        for (name, record) in records.as_object().expect("records") {
            assert_eq!(&here[kind][name], record, "{kind} {name}");
        }
        assert_eq!(here[kind].as_object().map(|it| it.len()), records.as_object().map(|it| it.len()), "{kind}");
    }
    place.run(&["audit", "verify"]).expect(0);
}

/// Logs a run with a file to a server. Returns its identifier.
pub(super) fn log_run(server: &Server, experiment: &str, name: &str) -> String {
    let run = json!({ "experiment_id": experiment, "run_name": name, "start_time": 1_700_000_000_000_i64 });
    let run = server.post("runs/create", &run).done()["run"]["info"].clone();
    let (id, root) = (run["run_id"].as_str().expect("a run"), run["artifact_uri"].as_str().expect("a folder"));
    let metrics: Vec<Value> = (0..40)
        .map(|step| json!({ "key": "loss", "value": step, "step": step, "timestamp": 1_700_000_000_000_i64 + step }))
        .collect();
    let params = json!([{ "key": "depth", "value": "3" }]);
    server.post("runs/log-batch", &json!({ "run_id": id, "metrics": metrics, "params": params })).done();
    let path = root.trim_start_matches("mlflow-artifacts:/");
    let file = format!("/api/2.0/mlflow-artifacts/artifacts/{path}/model/{name}.bin");
    server.ask("PUT", &file, &[], name.as_bytes()).done();
    server
        .post("runs/update", &json!({ "run_id": id, "status": "FINISHED", "end_time": 1_700_000_005_000_i64 }))
        .done();
    id.to_owned()
}

pub(super) fn create_experiment(server: &Server, name: &str) -> String {
    let created = server.post("experiments/create", &json!({ "name": name })).done();
    created["experiment_id"].as_str().expect("an experiment").to_owned()
}

pub(super) fn register(server: &Server, model: &str, run: &str) {
    server.post("registered-models/create", &json!({ "name": model })).done();
    let uri =
        server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).done()["run"]["info"]["artifact_uri"].clone();
    let source = format!("{}/model", uri.as_str().expect("a folder"));
    server.post("model-versions/create", &json!({ "name": model, "source": source, "run_id": run })).done();
}

#[test]
fn only_what_is_asked_for_is_imported_and_the_rest_later() {
    let there = Place::new();
    let server = Server::start(&there);
    let (first, second) = (create_experiment(&server, "first"), create_experiment(&server, "second"));
    let (one, other) = (log_run(&server, &first, "one"), log_run(&server, &second, "other"));
    register(&server, "ours", &one);
    register(&server, "theirs", &other);

    let place = Place::new();
    let of_experiment =
        import(&place, &server.address, &["--experiment", "first", "--without-artifacts"]).expect(0).json();
    assert_eq!((&of_experiment["runs"]["added"], &of_experiment["models"]["added"]), (&json!(1), &json!(0)));
    assert_eq!(of_experiment["files"], 0);
    let of_model = import(&place, &server.address, &["--model", "theirs"]).expect(0).json();
    // The run is not imported, so that the files are those of the version itself.
    assert_eq!(
        (&of_model["versions"]["added"], &of_model["files"], &of_model["unverified"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let all = import(&place, &server.address, &[]).expect(0).json();
    assert_eq!(
        (&all["runs"]["added"], &all["models"]["added"], &all["files"]),
        (&json!(1), &json!(1), &json!(2)),
        "{all}"
    );
    let refused = import(&place, &server.address, &["--experiment", "third"]).expect(2);
    assert!(refused.stderr.contains("has no experiment `third`"), "{}", refused.stderr);
    let refused = import(&place, &server.address, &["--model", "mine"]).expect(2);
    assert!(refused.stderr.contains("has no model `mine`"), "{}", refused.stderr);
}

// invariant: An import overwrites nothing that is here.
#[test]
fn what_is_here_stays_and_each_conflict_is_told_with_a_way_on() {
    let there = Place::new();
    let server = Server::start(&there);
    let run = log_run(&server, &create_experiment(&server, "first"), "one");
    register(&server, "churn-classifier", &run);

    let place = Place::new();
    place.churn(1500, &["--set", "training.component=train-logistic"]);
    let before = place.run(&["models", "show", "churn-classifier", "--json"]).expect(0).stdout;
    let ended = import(&place, &server.address, &[]).expect(3);
    let outcome = ended.json();
    assert!(ended.stderr.contains("SW1105"), "{}", ended.stderr);
    let conflicts = outcome["conflicts"].as_array().expect("conflicts");
    assert_eq!(conflicts.len(), 1, "{outcome}");
    assert!(
        conflicts[0]["hint"].as_str().is_some_and(|hint| hint.contains("--rename 'churn-classifier=NAME'")),
        "{outcome}"
    );
    assert_eq!(outcome["runs"]["added"], 1, "the rest is imported");
    assert_eq!(place.run(&["models", "show", "churn-classifier", "--json"]).expect(0).stdout, before);
    let renamed = import(&place, &server.address, &["--rename", "churn-classifier=churn of others"]).expect(0).json();
    assert_eq!((&renamed["versions"]["added"], &renamed["unverified"]), (&json!(1), &json!(0)), "{renamed}");
    // Its name here is remembered.
    let again = import(&place, &server.address, &[]).expect(0).json();
    assert_eq!(added(&again), 0, "{again}");
}

#[test]
fn an_identifier_that_is_taken_is_another_one_here() {
    let there = Place::new();
    let server = Server::start(&there);
    let run = log_run(&server, &create_experiment(&server, "first"), "one");
    let place = Place::new();
    import(&place, &server.address, &[]).expect(0);
    // The same server at another address has the same runs.
    let elsewhere = server.address.replace("127.0.0.1", "localhost");
    let again = import(&place, &elsewhere, &[]).expect(0).json();
    assert_eq!((&again["runs"]["added"], &again["notes"]), (&json!(0), &json!([])), "{again}");
    // Another registry gave the identifier to another run.
    let other = Place::new();
    let here = stagewright_store::Home::open(other.home()).expect("a home");
    here.registry.ensure_default_experiment().expect("an experiment");
    let taken = stagewright_store::ImportedClientRun {
        run_id: run.parse().expect("an identifier"),
        experiment_id: 0,
        name: "mine".to_owned(),
        user: String::new(),
        started_ms: 5,
    };
    assert!(here.registry.import_client_run(&taken).expect("a run"));
    let outcome = import(&other, &server.address, &[]).expect(0).json();
    assert_eq!((&outcome["runs"]["added"], outcome["note_count"].as_u64()), (&json!(1), Some(1)), "{outcome}");
    let listed = other.run(&["runs", "list", "--json"]).expect(0).json();
    let names: Vec<&str> = listed.as_array().expect("runs").iter().filter_map(|run| run["name"].as_str()).collect();
    assert!(names.contains(&"mine") && names.contains(&"one"), "{names:?}");
    assert_eq!(added(&import(&other, &server.address, &[]).expect(0).json()), 0);
}

#[test]
fn a_later_import_adds_what_is_new_and_leaves_what_was_changed_here() {
    let there = Place::new();
    let server = Server::start(&there);
    let experiment = create_experiment(&server, "first");
    let run = log_run(&server, &experiment, "one");
    let place = Place::new();
    import(&place, &server.address, &[]).expect(0);
    let tag = |server: &Server, key: &str, value: &str| {
        server.post("runs/set-tag", &json!({ "run_id": run, "key": key, "value": value })).done();
    };
    {
        let here = Server::start(&place);
        tag(&here, "seen", "by us");
    }
    tag(&server, "seen", "by them");
    tag(&server, "new", "yes");
    server
        .post("runs/log-metric", &json!({ "run_id": run, "key": "loss", "value": 9, "step": 99, "timestamp": 1 }))
        .done();
    log_run(&server, &experiment, "two");
    let outcome = import(&place, &server.address, &[]).expect(0).json();
    let runs = &outcome["runs"];
    assert_eq!(
        (&runs["added"], &runs["updated"], outcome["note_count"].as_u64()),
        (&json!(1), &json!(1), Some(1)),
        "{outcome}"
    );
    let here = Server::start(&place);
    let found = here.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).done();
    let tags = found["run"]["data"]["tags"].as_array().expect("tags");
    let value = |key: &str| tags.iter().find(|tag| tag["key"] == key).map(|tag| tag["value"].clone());
    assert_eq!((value("seen"), value("new")), (Some(json!("by us")), Some(json!("yes"))));
    assert_eq!(found["run"]["data"]["metrics"][0]["step"], 99);
    assert_eq!(found["run"]["info"]["status"], "FINISHED");
}

#[test]
fn runs_that_were_sent_from_here_are_not_imported_again() {
    let (place, there) = (Place::new(), Place::new());
    let server = Server::start(&there);
    super::logged::run_logging_to(&place, &server.address, &[]).expect(0);
    let outcome = import(&place, &server.address, &[]).expect(0).json();
    assert_eq!((&outcome["own_runs"], &outcome["runs"]["added"]), (&json!(1), &json!(0)), "{outcome}");
}
