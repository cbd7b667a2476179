//! Runs of pipelines that are logged to another server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};

use super::client::{contents, old_python, python};
use super::faulty::{Fault, Faulty};
use super::server::Server;
use super::stock::Stock;

const MODEL: &str = "churn-classifier";

/// Runs the churn pipeline with a server to log to.
pub(super) fn run_logging_to(place: &Place, address: &str, more: &[&str]) -> Ended {
    let mut command = training(place, more);
    command.env("MLFLOW_TRACKING_URI", address);
    Ended::of(command)
}

fn training(place: &Place, more: &[&str]) -> Command {
    let manifest = stagewright_end_to_end::config("churn.toml");
    let mut arguments = vec!["run", &manifest, "--json"];
    for set in [
        "ingestion.component=ingest-synthetic",
        "ingestion.rows=1500",
        "training.component=train-logistic",
        "gates.minimum.roc_auc=0.5",
        "gates.minimum.accuracy=0.5",
    ] {
        arguments.extend(["--set", set]);
    }
    arguments.extend(more);
    place.command(&arguments)
}

/// The copies of a run that a server has.
fn copies(server: &Server, run: &str) -> Vec<Value> {
    let all = server.post("experiments/search", &json!({ "max_results": 100 })).done();
    let ids: Vec<&Value> =
        all["experiments"].as_array().into_iter().flatten().map(|experiment| &experiment["experiment_id"]).collect();
    let filter = format!("tags.`stagewright.run_id` = '{run}'");
    let found = server.post("runs/search", &json!({ "experiment_ids": ids, "filter": filter })).done();
    found["runs"].as_array().cloned().unwrap_or_default()
}

fn pairs(run: &Value, list: &str) -> BTreeMap<String, String> {
    let entries = run["data"][list].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    entries.iter().map(|entry| (text(&entry["key"]), text(&entry["value"]))).collect()
}

// invariant: A run is on the MLflow server that the environment names, whole and once.
#[test]
fn a_run_is_logged_with_all_that_it_recorded_and_once() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let server = Server::start(&elsewhere);
    let ended = run_logging_to(&place, &server.address, &[]).expect(0);
    let summary = ended.json();
    let run = summary["run_id"].as_str().expect("a run");
    assert_eq!(summary["mlflow"]["address"], server.address, "{summary}");
    let copy_id = summary["mlflow"]["runs"][0]["copy"].clone();
    let [copy] = copies(&server, run).try_into().expect("one copy");
    assert_eq!((&copy["info"]["run_id"], &copy["info"]["status"]), (&copy_id, &json!("FINISHED")));

    let own = place.run(&["runs", "show", run, "--json"]).expect(0).json();
    let own_run = &own["run"];
    for facts in [("started_ms", "start_time"), ("ended_ms", "end_time")] {
        assert_eq!(own_run[facts.0], copy["info"][facts.1], "{facts:?}");
    }
    // Defaults of components are parameters too.
    let parameters = pairs(&copy, "params");
    assert_eq!(parameters.len(), own_run["parameters"].as_array().expect("parameters").len());
    assert!(parameters.contains_key("training.c"), "{parameters:?}");
    let metrics = pairs(&copy, "metrics");
    assert_eq!(metrics.len(), own_run["metrics"].as_array().expect("metrics").len(), "{metrics:?}");
    assert!(metrics.contains_key("roc_auc"), "{metrics:?}");
    let tags = pairs(&copy, "tags");
    assert_eq!(tags["mlflow.source.type"], "PROJECT");
    assert!(copy["inputs"]["dataset_inputs"][0]["dataset"]["source"].as_str().is_some_and(|it| it.contains("sha256:")));

    let files = |path: &str| {
        let run = copy_id.as_str().expect("a run");
        let listed = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}&path={path}")).done();
        let files = listed["files"].as_array().cloned().unwrap_or_default();
        files.iter().map(|file| file["path"].as_str().expect("a path").to_owned()).collect::<Vec<_>>()
    };
    assert!(files("evaluation").iter().any(|path| path.ends_with(".html")), "{:?}", files("evaluation"));
    for file in ["model/version.json", "model/card.html", "model/MLmodel", "model/stagewright"] {
        assert!(files("model").contains(&file.to_owned()), "{:?}", files("model"));
    }
    let version = server.get(&format!("/api/2.0/mlflow/model-versions/get?name={MODEL}&version=1")).done();
    let version = &version["model_version"];
    assert_eq!((&version["run_id"], &version["status_message"]), (&copy_id, &Value::Null), "{version}");

    // Again, and again: nothing is added.
    let again = place.run(&["runs", "export", "mlflow", run, "--to", &server.address, "--json"]).expect(0).json();
    assert_eq!((&again["runs"][0]["copy"], &again["runs"][0]["versions"]), (&copy_id, &json!([format!("{MODEL}/1")])));
    assert_eq!(copies(&server, run).len(), 1);
    assert_eq!(server.get(&format!("/api/2.0/mlflow/model-versions/get?name={MODEL}&version=2")).status, 404);
}

#[test]
fn a_run_is_not_logged_to_the_server_that_has_it_anyway() {
    let place = Place::new();
    let server = Server::start(&place);
    let summary = run_logging_to(&place, &server.address, &[]).expect(0).json();
    let run = summary["run_id"].as_str().expect("a run");
    assert_eq!(summary["mlflow"]["runs"][0]["is_itself"], json!(true), "{summary}");
    assert_eq!(copies(&server, run), [] as [Value; 0]);
}

#[test]
fn a_run_needs_no_account_to_find_itself_at_the_server_of_its_home() {
    let place = Place::new();
    let mut command = place.command(&["users", "create", "ada", "--admin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(b"a long enough password\n").expect("it is read");
    assert!(child.wait().expect("it ends").success());
    let server = Server::start(&place);
    server.get("/api/2.0/mlflow/experiments/get?experiment_id=0").refused(401, "UNAUTHENTICATED");
    let ended = run_logging_to(&place, &server.address, &[]).expect(0);
    assert_eq!(ended.json()["mlflow"]["runs"][0]["is_itself"], json!(true), "{}", ended.stdout);
    assert!(!ended.stderr.contains("was not logged"), "{}", ended.stderr);
    // Another server that refuses is warned of.
    let elsewhere = Place::new();
    let ended = run_logging_to(&elsewhere, &server.address, &[]).expect(0);
    assert!(ended.stderr.contains("was not logged") && ended.stderr.contains("401"), "{}", ended.stderr);
    // What is no run, or one that began at another time, is none that the server has.
    let run = ended.json()["run_id"].as_str().expect("a run").to_owned();
    for query in [format!("run_id={run}&start_time=1"), "run_id=..&start_time=1".into(), "run_id=0a".into()] {
        let info = server.get(&format!("/api/3.0/mlflow/server-info?{query}")).done();
        assert_ne!(info["has_run"], json!(true), "{query}");
    }
}

#[test]
fn children_are_logged_beneath_the_copy_of_their_parent() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let server = Server::start(&elsewhere);
    let foreach = "foreach={ set = \"training.c\", values = { loose = 10.0, strict = 0.01 }, model = \"c-{value}\" }";
    let summary = run_logging_to(&place, &server.address, &["--set", foreach]).expect(0).json();
    let [parent] = copies(&server, summary["run_id"].as_str().expect("a run")).try_into().expect("one copy");
    let children = summary["children"].as_array().expect("children");
    assert_eq!(children.len(), 2);
    for child in children {
        let run = child["run"]["run_id"].as_str().or(child["run_id"].as_str()).expect("a run");
        let [copy] = copies(&server, run).try_into().expect("one copy");
        assert_eq!(pairs(&copy, "tags")["mlflow.parentRunId"], parent["info"]["run_id"].as_str().expect("a run"));
        assert_eq!(copy["info"]["status"], "FINISHED");
    }
}

#[test]
fn a_run_that_fails_is_logged_as_failed_with_its_reason() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let server = Server::start(&elsewhere);
    let failed = run_logging_to(&place, &server.address, &["--set", "training.limits.memory=1MiB"]);
    assert_ne!(failed.code, 0, "{}", failed.stdout);
    let run = place.run(&["runs", "list", "--json"]).expect(0).json()[0]["run_id"].as_str().expect("a run").to_owned();
    let [copy] = copies(&server, &run).try_into().expect("one copy");
    assert_eq!(copy["info"]["status"], "FAILED");
    assert!(pairs(&copy, "tags")["stagewright.error"].contains("training"), "{copy}");
}

// invariant: An MLflow server that is dead, slow or broken fails no run, and what it missed can be
// sent again.
#[test]
fn a_dead_or_broken_server_fails_no_run_and_what_it_missed_is_sent_again() {
    let elsewhere = Place::new();
    let good = Server::start(&elsewhere);
    let dead = Faulty::before(None, |_, _| Fault::Cut);
    let broken = Faulty::before(None, |_, _| Fault::Answer(500, b"{\"error_code\": \"INTERNAL_ERROR\"}".to_vec()));
    let other = Faulty::before(None, |_, _| Fault::Answer(200, b"<html>sign in</html>".to_vec()));
    let huge = Faulty::before(None, |_, _| Fault::Endless);
    let hangs = Faulty::before(None, |_, _| Fault::Hang);
    let late = Faulty::before(Some(&good.address), |number, _| if number < 9 { Fault::Pass } else { Fault::Cut });
    for (index, server) in [dead, broken, other, huge, hangs, late].iter().enumerate() {
        let place = Place::new();
        let ended = run_logging_to(&place, &server.address, &[]).expect(0);
        let run = ended.json()["run_id"].as_str().expect("a run").to_owned();
        let hint = format!("hint: stagewright runs export mlflow {run} --to {}", server.address);
        assert!(ended.stderr.contains(&hint), "{index}: {}", ended.stderr);
        assert_eq!(ended.json()["mlflow"]["unsent"], json!([run]), "{index}");
        place.run(&["runs", "export", "mlflow", &run, "--to", &good.address]).expect(0);
        let [copy] = copies(&good, &run).try_into().expect("one copy");
        assert_eq!(copy["info"]["status"], "FINISHED");
        assert!(pairs(&copy, "metrics").contains_key("roc_auc"), "{index}");
    }
}

#[test]
fn a_lost_answer_makes_no_second_copy() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let good = Server::start(&elsewhere);
    let lossy = Faulty::before(Some(&good.address), |number, line| {
        let creates = line.contains("/create");
        if creates && number % 2 == 0 || number % 7 == 3 { Fault::Lose } else { Fault::Pass }
    });
    let run =
        run_logging_to(&place, &lossy.address, &[]).expect(0).json()["run_id"].as_str().expect("a run").to_owned();
    // However many attempts it takes.
    let sent = (0..20).any(|_| place.run(&["runs", "export", "mlflow", &run, "--to", &lossy.address]).code == 0);
    assert!(sent, "{:?}", lossy.lines());
    assert_eq!(copies(&good, &run).len(), 1);
    let versions = good.get(&format!("/api/2.0/mlflow/model-versions/search?filter=name%3D%27{MODEL}%27")).done();
    assert_eq!(versions["model_versions"].as_array().map(Vec::len), Some(1), "{versions}");
}

#[test]
fn what_is_no_server_over_http_is_warned_of_and_the_run_goes_on() {
    for uri in ["sqlite:///mlflow.db", "./mlruns", "databricks"] {
        let ended = run_logging_to(&Place::new(), uri, &[]).expect(0);
        assert!(ended.stderr.contains("is not the address of a server") && ended.stderr.contains("mlflow server"));
        assert_eq!(ended.json()["mlflow"], Value::Null);
    }
}

// invariant: Credentials of an MLflow server are sent to it alone, and are in no message.
#[test]
fn credentials_are_sent_and_shown_nowhere() {
    let place = Place::new();
    let elsewhere = Faulty::before(None, |_, _| Fault::Answer(200, b"{}".to_vec()));
    let target = elsewhere.address.clone();
    let asks = Faulty::before(None, move |number, _| match number {
        0 => Fault::Redirect(format!("{target}/there")),
        _ => Fault::Answer(401, b"who are you?".to_vec()),
    });
    let address = asks.address.replace("http://", "http://someone:s3cret-in-address@");
    for variables in [
        vec![("MLFLOW_TRACKING_TOKEN", "s3cret-token")],
        vec![("MLFLOW_TRACKING_USERNAME", "someone"), ("MLFLOW_TRACKING_PASSWORD", "s3cret-password")],
        vec![],
    ] {
        let mut command = training(&place, &[]);
        command.arg("-vv").env("MLFLOW_TRACKING_URI", &address).envs(variables.clone());
        let ended = Ended::of(command).expect(0);
        assert!(!ended.stderr.contains("s3cret") && !ended.stdout.contains("s3cret"), "{}", ended.stderr);
    }
    let heads: String = asks.asked.lock().expect("the lock").iter().map(|asked| asked.head.clone()).collect();
    for expected in
        ["Bearer s3cret-token", "Basic c29tZW9uZTpzM2NyZXQtcGFzc3dvcmQ=", "Basic c29tZW9uZTpzM2NyZXQtaW4tYWRkcmVzcw=="]
    {
        assert!(heads.contains(expected), "{expected}: {heads}");
    }
    assert_eq!(elsewhere.lines(), [] as [String; 0], "a redirect was followed");
    let home = place.run(&["runs", "list", "--json"]).expect(0);
    assert!(!home.stdout.contains("s3cret"));
}

#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON names a Python that has it"]
fn a_stock_server_shows_a_run_as_the_tracking_server_does() {
    as_the_tracking_server(&Stock::start(&python()), &python());
}

#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_2_PYTHON names a Python that has version 2"]
fn a_stock_server_of_mlflow_2_shows_a_run_as_the_tracking_server_does() {
    as_the_tracking_server(&Stock::start(&old_python()), &old_python());
}

/// Logs a run to a stock server, and compares what a client reads there with what it reads of the
/// run itself.
fn as_the_tracking_server(stock: &Stock, python: &Path) {
    let place = Place::new();
    let ended = run_logging_to(&place, &stock.address, &[]).expect(0);
    assert!(!ended.stderr.contains("was not logged"), "{}", ended.stderr);
    let copy_id = ended.json()["mlflow"]["runs"][0]["copy"].as_str().expect("a copy").to_owned();
    let run_id = ended.json()["run_id"].as_str().expect("a run").to_owned();
    let server = Server::start(&place);
    let (own, there) = (contents(python, &server.address), contents(python, &stock.address));
    let (own_run, copy) = (&own["runs"][&run_id], &there["runs"][&copy_id]);
    for same in ["facts", "params", "metrics"] {
        assert_eq!(own_run[same], copy[same], "{same}");
    }
    for (name, value) in own_run["tags"].as_object().expect("tags") {
        assert_eq!(&copy["tags"][name], value, "{name}");
    }
    // Documents of stages are files of both; tables stay, and a version has files of its own.
    for (path, digest) in own_run["files"].as_object().expect("files") {
        if !path.starts_with("model/") && [".json", ".html", ".svg"].iter().any(|ending| path.ends_with(ending)) {
            assert_eq!(&copy["files"][path], digest, "{path}");
        }
    }
    let version = &there["models"][MODEL]["versions"]["1"];
    assert_eq!(version["facts"][2], json!(copy_id), "{version}");
    assert!(version["files"]["MLmodel"].is_string(), "{version}");
    drop(server);
    // A client loads it from there, too.
    let of = |name: &str| place.path().join(name).display().to_string();
    let (rows, predictions) = (of("rows.csv"), of("predictions.csv"));
    place.run(&["artifacts", "export", "ingestion.table", "--run", &run_id, "--output", &rows]).expect(0);
    place.run(&["predict", MODEL, "--input", &rows, "--output", &predictions]).expect(0);
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlflow/load.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.args([&*stock.address, MODEL, &copy_id, &rows, &predictions]);
    command.args([format!("models:/{MODEL}/1"), format!("runs:/{copy_id}/model")]);
    let ended = Ended::of(command).expect(0);
    assert!(ended.stdout.contains("predictions have the same bits"), "{}", ended.stdout);
}
