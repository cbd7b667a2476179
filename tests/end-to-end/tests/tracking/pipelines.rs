//! Runs and models of pipelines, as clients of the tracking server see them, and the reverse.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stagewright_end_to_end::Place;
use stagewright_store::Home;

use super::server::Server;

/// The model of the pipeline.
const MODEL: &str = "churn-classifier";

fn trained(gates: &[&str]) -> Place {
    let place = Place::new();
    let gates: Vec<&str> = gates.iter().flat_map(|gate| ["--set", gate]).collect();
    place.churn(1500, &[&gates[..], &["--set", "training.component=train-logistic"]].concat());
    place
}

#[test]
fn runs_and_models_of_pipelines_are_there_for_clients() {
    let place = trained(&["gates.minimum.roc_auc=0.5", "gates.minimum.accuracy=0.5"]);
    let server = Server::start(&place);
    let found = server.post("experiments/search", &json!({ "max_results": 100 })).done();
    let ids: Vec<&Value> =
        found["experiments"].as_array().expect("experiments").iter().map(|it| &it["experiment_id"]).collect();
    let runs = server.post("runs/search", &json!({ "experiment_ids": ids })).done();
    let [run] = runs["runs"].as_array().expect("runs").as_slice() else { panic!("{runs}") };
    assert_eq!((&run["info"]["status"], &run["info"]["lifecycle_stage"]), (&json!("FINISHED"), &json!("active")));
    let has = |list: &str, key: &str| {
        run["data"][list].as_array().expect("a list").iter().any(|entry| entry["key"].as_str() == Some(key))
    };
    assert!(has("tags", "mlflow.runName"), "{run}");
    assert!(run["data"]["metrics"].as_array().is_some_and(|metrics| !metrics.is_empty()), "{run}");

    let model = server.get(&format!("/api/2.0/mlflow/registered-models/get?name={MODEL}")).done();
    assert_eq!(model["registered_model"]["aliases"], json!([{ "alias": "champion", "version": "1" }]));
    let [version] = model["registered_model"]["latest_versions"].as_array().expect("versions").as_slice() else {
        panic!("{model}")
    };
    assert_eq!((&version["current_stage"], &version["run_id"]), (&json!("Production"), &run["info"]["run_id"]));

    // A client cannot rename its model or add to it.
    let renamed = json!({ "name": MODEL, "new_name": "away" });
    let told = server.post("registered-models/rename", &renamed).refused(400, "INVALID_PARAMETER_VALUE");
    assert!(told.contains("manifest"), "{told}");
    let foreign = json!({ "name": MODEL, "source": "s3://bucket/model" });
    server.post("model-versions/create", &foreign).refused(400, "INVALID_PARAMETER_VALUE");

    let at = |id: &Value| id.as_str().expect("an identifier").to_owned();
    let (experiment, run_id) = (at(&run["info"]["experiment_id"]), at(&run["info"]["run_id"]));
    files_of_stages_are_there(&place, &server, &experiment, &run_id);
    what_a_run_recorded_stays(&server, &run_id);
}

/// Reads what the stages of a run made as files. A client may add files, which pass for none of
/// these.
fn files_of_stages_are_there(place: &Place, server: &Server, experiment: &str, run_id: &str) {
    let listed = |path: &str| {
        let files = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={path}")).done();
        let files = files["files"].as_array().expect("files").clone();
        files.iter().map(|file| file["path"].as_str().expect("a path").to_owned()).collect::<Vec<_>>()
    };
    assert!(listed("").contains(&"evaluation".to_owned()), "{:?}", listed(""));
    let root = format!("/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts");
    let (mut endings, mut document) = (BTreeSet::new(), None);
    // The files of the model are those of `loading.rs`.
    for stage in listed("").into_iter().filter(|stage| stage != "model") {
        for path in listed(&stage) {
            let file = server.get(&format!("{root}/{path}"));
            assert!(file.status == 200 && !file.body.is_empty(), "{path}: {}", file.status);
            let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_owned());
            match ending.as_deref() {
                Some("json") => {
                    file.json();
                    document = Some((path, file.body));
                }
                Some("parquet") => assert!(file.body.starts_with(b"PAR1") && file.body.ends_with(b"PAR1"), "{path}"),
                _ => {}
            }
            endings.extend(ending);
        }
    }
    assert!(["json", "parquet"].iter().all(|ending| endings.contains(*ending)), "{endings:?}");
    server.ask("PUT", &format!("{root}/note.txt"), &[], b"looked at").done();
    assert!(listed("").contains(&"note.txt".to_owned()) && listed("").contains(&"training".to_owned()));
    server.get(&format!("{root}/training/missing.bin")).refused(404, "RESOURCE_DOES_NOT_EXIST");

    let (path, bytes) = document.expect("a document");
    for passing_for_made in [path.as_str(), "training/more.bin"] {
        let upload = server.ask("PUT", &format!("{root}/{passing_for_made}"), &[], b"other");
        upload.refused(400, "INVALID_PARAMETER_VALUE");
    }
    // Nor does a file that was there before.
    let home = Home::open(place.home()).expect("the home");
    let mut upload = home.artifacts.upload().expect("an upload");
    upload.write(b"other").expect("bytes are written");
    upload.finish(&home.registry, &format!("{experiment}/{run_id}/artifacts/{path}")).expect("a file of a client");
    assert!(server.get(&format!("{root}/{path}")).body == bytes, "{path} is another file");
    let folder = path.rsplit_once('/').expect("a folder").0;
    assert_eq!(listed(folder).iter().filter(|it| **it == path).count(), 1);
}

/// A client adds tags to the run of a pipeline, and neither values nor inputs. It cannot end the
/// run.
fn what_a_run_recorded_stays(server: &Server, run_id: &str) {
    server.post("runs/set-tag", &json!({ "run_id": run_id, "key": "seen", "value": "yes" })).done();
    let metric = json!({ "key": "accuracy", "value": 1, "timestamp": 1 });
    let dataset = json!({ "name": "rows", "digest": "d", "source_type": "local", "source": "{}" });
    for (path, body) in [
        ("log-metric", json!({ "run_id": run_id, "key": "accuracy", "value": 1, "timestamp": 1 })),
        ("log-batch", json!({ "run_id": run_id, "metrics": [metric] })),
        ("log-parameter", json!({ "run_id": run_id, "key": "rounds", "value": "9" })),
        ("log-inputs", json!({ "run_id": run_id, "datasets": [{ "dataset": dataset }] })),
        ("update", json!({ "run_id": run_id, "status": "KILLED" })),
    ] {
        server.post(&format!("runs/{path}"), &body).refused(400, "INVALID_PARAMETER_VALUE");
    }
}

// invariant: No client of the tracking server brings a version into production that its gates
// refused.
#[test]
fn a_rejected_version_is_refused_with_the_reason() {
    let place = trained(&["gates.minimum.roc_auc=0.999"]);
    let server = Server::start(&place);
    let to = |stage: &str| json!({ "name": MODEL, "version": "1", "stage": stage, "archive_existing_versions": false });
    let told =
        server.post("model-versions/transition-stage", &to("Production")).refused(400, "INVALID_PARAMETER_VALUE");
    assert!(told.contains("rejected"), "{told}");
    let alias = json!({ "name": MODEL, "alias": "champion", "version": "1" });
    server.post("registered-models/alias", &alias).refused(400, "INVALID_PARAMETER_VALUE");
    let alias = json!({ "name": MODEL, "alias": "blessed", "version": "1" });
    let told = server.post("registered-models/alias", &alias).refused(400, "INVALID_PARAMETER_VALUE");
    assert!(told.contains("was rejected: ") && told.contains("roc_auc"), "{told}");
    let archiving = json!({ "name": MODEL, "version": "1", "stage": "Staging", "archive_existing_versions": true });
    let told = server.post("model-versions/transition-stage", &archiving).refused(400, "INVALID_PARAMETER_VALUE");
    assert!(told.contains("archive_existing_versions"), "{told}");
    let staged = server.post("model-versions/transition-stage", &to("Staging")).done();
    assert_eq!(staged["model_version"]["current_stage"], "Staging");
    assert_eq!(server.get(&format!("/api/2.0/mlflow/registered-models/alias?name={MODEL}&alias=champion")).status, 400);
}

#[test]
fn a_transition_of_an_approved_version_to_production_is_a_promotion() {
    let place = trained(&["gates.minimum.roc_auc=0.5", "gates.minimum.accuracy=0.5"]);
    place.run(&["models", "retire", MODEL, "--reason", "a pause"]).expect(0);
    let server = Server::start(&place);
    let alias = format!("/api/2.0/mlflow/registered-models/alias?name={MODEL}&alias=champion");
    server.get(&alias).refused(400, "INVALID_PARAMETER_VALUE");
    let production = json!({ "name": MODEL, "version": "1", "stage": "Production", "archive_existing_versions": true });
    let moved = server.post("model-versions/transition-stage", &production).done();
    assert_eq!(moved["model_version"]["current_stage"], "Production");
    assert_eq!(server.get(&alias).done()["model_version"]["version"], "1");
    let audit = place.run(&["audit", "list", "--json"]).expect(0);
    assert!(audit.stdout.contains("by an MLflow client"), "{}", audit.stdout);
    // A client that has not seen the answer asks again.
    server.post("model-versions/transition-stage", &production).done();
    let champion = json!({ "name": MODEL, "alias": "champion", "version": "1" });
    server.post("registered-models/alias", &champion).done();
    assert_eq!(place.run(&["audit", "list", "--json"]).expect(0).stdout, audit.stdout);
    place.run(&["audit", "verify"]).expect(0);
}

#[test]
fn runs_of_clients_are_there_for_commands() {
    let place = Place::new();
    let server = Server::start(&place);
    let run = server.post("runs/create", &json!({ "experiment_id": "0", "run_name": "of a client" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    let metric = json!({ "run_id": run, "key": "auc", "value": 0.9, "timestamp": 1 });
    server.post("runs/log-metric", &metric).done();
    let listed = place.run(&["runs", "list", "--json"]).expect(0);
    assert!(listed.stdout.contains(&run) && listed.stdout.contains("of a client"), "{}", listed.stdout);
    let found = place.run(&["runs", "search", "metrics.auc > 0.8", "--json"]).expect(0);
    assert!(found.stdout.contains(&run), "{}", found.stdout);
}

#[test]
fn versions_of_clients_are_compared_and_never_as_champion() {
    let place = Place::new();
    let server = Server::start(&place);
    server.post("registered-models/create", &json!({ "name": "of-a-client" })).done();
    for (value, source) in [(0.9, "s3://bucket/one"), (0.7, "s3://bucket/other")] {
        let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
        let run = run["run"]["info"]["run_id"].as_str().expect("a run");
        server.post("runs/log-metric", &json!({ "run_id": run, "key": "auc", "value": value, "timestamp": 1 })).done();
        server.post("runs/log-parameter", &json!({ "run_id": run, "key": "depth", "value": "3" })).done();
        let version = json!({ "name": "of-a-client", "source": source, "run_id": run });
        server.post("model-versions/create", &version).done();
    }
    let compared = place.run(&["models", "compare", "of-a-client/1", "of-a-client/2"]).expect(0).stdout;
    for shown in ["s3://bucket/one", "s3://bucket/other", "unverified", "auc", "0.9", "0.7", "depth"] {
        assert!(compared.contains(shown), "{shown} is missing:\n{compared}");
    }
    // Judged against nothing, and nothing against it.
    let judged = place.run(&["gate", "of-a-client/1"]);
    assert_ne!(judged.code, 0, "{}", judged.stdout);
}
