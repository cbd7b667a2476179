//! Models of pipelines, loaded by MLflow's clients with the package in `clients/python`.

use std::path::Path;

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place, config};

use super::server::Server;
use super::session::{Client, NEW, OLD};

const MODEL: &str = "churn-classifier";

/// Trains a model that becomes champion, and returns its run.
fn trained(place: &Place, more: &[&str]) -> String {
    let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let ended = place.churn(1500, &[&gates[..], more].concat()).expect(0);
    ended.json()["run_id"].as_str().expect("a run").to_owned()
}

/// Predicts rows with the program, and has a client do the same.
fn loads_as_the_program_predicts(place: &Place, client: &Client, run: &str, rows: &Path) {
    let server = Server::start(place);
    let predictions = place.path().join("predictions.csv");
    let of = |path: &Path| path.display().to_string();
    place.run(&["predict", MODEL, "--input", &of(rows), "--output", &of(&predictions)]).expect(0);
    let mut command = client.python("load.py", &server.address);
    command.arg(MODEL).arg(run).arg(rows).arg(&predictions);
    let ended = Ended::of(command).expect(0);
    assert!(ended.stdout.contains("ok      a file that is not the registry's is not used"), "{}", ended.stdout);
}

/// Writes the rows that a run ingested as CSV.
fn ingested(place: &Place, run: &str) -> std::path::PathBuf {
    let path = place.path().join("rows.csv");
    let file = path.display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--run", run, "--output", &file]).expect(0);
    path
}

// invariant: A model that MLflow's client loads predicts the bits that `stagewright predict`
// writes.
#[test]
#[ignore = "needs MLflow's clients: STAGEWRIGHT_MLFLOW_PYTHON and STAGEWRIGHT_MLFLOW_2_PYTHON name Pythons that have them"]
fn a_client_loads_the_champion_and_predicts_the_bits_of_the_program() {
    for (client, trainer) in [(&NEW, "train-boosted"), (&OLD, "train-logistic"), (&NEW, "train-forest")] {
        let place = Place::new();
        let trees = format!("components.{trainer}.parameters.n_estimators=20");
        let component = format!("training.component={trainer}");
        let mut more = vec!["--set", component.as_str()];
        if trainer != "train-logistic" {
            more.extend(["--set", trees.as_str()]);
        }
        let run = trained(&place, &more);
        loads_as_the_program_predicts(&place, client, &run, &ingested(&place, &run));
    }
}

mod real_tables {
    use super::*;

    #[test]
    #[ignore = "needs STAGEWRIGHT_TEST_DATA, and MLflow's client"]
    fn a_client_predicts_the_telco_table_as_the_program_does() {
        let place = Place::new();
        let table = stagewright_end_to_end::data().join("telco_churn.csv");
        let source = format!("customers=csv:{}", table.display());
        let run = place.run(&["run", &config("churn.toml"), "--json", "--source", &source]).expect(0).json();
        let run = run["run_id"].as_str().expect("a run").to_owned();
        loads_as_the_program_predicts(&place, &NEW, &run, &table);
    }
}

/// Lists a folder of the proxy, with all that is below it.
fn listed(server: &Server, folder: &str) -> Vec<String> {
    let found = server.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path={folder}")).done();
    let files = found["files"].as_array().cloned().unwrap_or_default();
    let mut paths = Vec::new();
    for file in files {
        let path = format!("{folder}/{}", file["path"].as_str().expect("a path"));
        match file["is_dir"].as_bool() {
            Some(true) => paths.extend(listed(server, &path)),
            _ => paths.push(path),
        }
    }
    paths
}

fn bytes(server: &Server, path: &str) -> Vec<u8> {
    let answer = server.get(&format!("/api/2.0/mlflow-artifacts/artifacts/{path}"));
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.body
}

// invariant: The files of a pipeline's version are the same at its source and at its run, whichever
// server is asked; their manifest is the one in production.
#[test]
fn the_files_of_a_version_are_the_same_everywhere() {
    let place = Place::new();
    let run = trained(&place, &["--set", "training.component=train-logistic"]);
    let source = format!("stagewright/models/{MODEL}/1");
    let files = |server: &Server, folder: &str| -> Vec<(String, Vec<u8>)> {
        let paths = listed(server, folder);
        let name = |path: &str| path.strip_prefix(folder).expect("below the folder").to_owned();
        paths.iter().map(|path| (name(path), bytes(server, path))).collect()
    };
    let server = Server::start(&place);
    let first = files(&server, &source);
    let names: Vec<&str> =
        first.iter().map(|(name, _)| name.as_str()).filter(|name| !name.contains("objects")).collect();
    assert_eq!(names, ["/MLmodel", "/python_env.yaml", "/requirements.txt", "/stagewright/manifest.json"]);
    assert_eq!(first.len(), 8, "{names:?} and four objects");
    let of_run = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).done();
    let experiment = of_run["run"]["info"]["experiment_id"].as_str().expect("an experiment").to_owned();
    let model = format!("{experiment}/{run}/artifacts/model");
    assert_eq!(files(&server, &model), first);
    assert!(listed(&server, &format!("{experiment}/{run}/artifacts")).contains(&format!("{model}/MLmodel")));
    assert_eq!(files(&Server::start(&place), &source), first);

    let manifest = &first.iter().find(|(name, _)| name.ends_with("manifest.json")).expect("a manifest").1;
    let in_production = place.home().join(format!("production/models/{MODEL}/versions/1/manifest.json"));
    assert_eq!(manifest, &std::fs::read(in_production).expect("the champion is in production"));
    let mlmodel = String::from_utf8(first[0].1.clone()).expect("text");
    let digest = stagewright_store::Digest::of(manifest);
    assert!(mlmodel.contains(&format!("manifest: \"{digest}\"")), "{mlmodel}");

    // A client puts nothing among them, and what is not there is not found.
    for path in [format!("{model}/MLmodel"), format!("{model}/more.txt"), format!("{source}/more.txt")] {
        let put = server.ask("PUT", &format!("/api/2.0/mlflow-artifacts/artifacts/{path}"), &[], b"other");
        put.refused(400, "INVALID_PARAMETER_VALUE");
    }
    for missing in ["1/none", "01/MLmodel", "2/MLmodel", "x/MLmodel"] {
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/stagewright/models/{MODEL}/{missing}");
        server.get(&path).refused(404, "RESOURCE_DOES_NOT_EXIST");
    }
    assert!(listed(&server, "stagewright/models/none/1").is_empty());
}

#[test]
fn a_version_without_a_verdict_has_files_too() {
    let place = Place::new();
    let ended = place.churn(1500, &["--set", "training.component=train-logistic", "--until", "training"]).expect(0);
    let run = ended.json()["run_id"].as_str().expect("a run").to_owned();
    let server = Server::start(&place);
    let filter = format!("run_id%20%3D%20%27{run}%27");
    let found = server.get(&format!("/api/2.0/mlflow/model-versions/search?filter={filter}")).done();
    let version = found["model_versions"][0]["version"].as_str().expect("the candidate is a version").to_owned();
    let folder = format!("stagewright/models/{MODEL}/{version}");
    let manifest: Value =
        serde_json::from_slice(&bytes(&server, &format!("{folder}/stagewright/manifest.json"))).expect("JSON");
    assert_eq!(manifest["objects"].as_array().map(Vec::len), Some(4), "{manifest}");
    assert_eq!(manifest["metrics"], serde_json::json!({}), "it was not judged yet");
    assert!(!bytes(&server, &format!("{folder}/MLmodel")).is_empty());
}
