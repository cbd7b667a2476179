//! Promotion to a real S3 server, and a registry in a real PostgreSQL, through the binary.

use std::process::Command;

use stagewright_end_to_end::{Ended, Place, config};
use stagewright_promotion::{Destination, Settings};
use stagewright_services::postgres::Cluster;
use stagewright_services::s3;

const MODEL: &str = "churn-classifier";

/// A run that promotes to this bucket.
fn training(place: &Place, server: &s3::Server, more: &[&str]) -> Command {
    let manifest = config("churn.toml");
    let endpoint = format!("production.endpoint={}", server.endpoint());
    let mut arguments = vec!["run", &manifest, "--json", "--set", "ingestion.component=ingest-synthetic"];
    arguments.extend(["--set", "ingestion.rows=1500", "--set", "training.component=train-logistic"]);
    arguments.extend(["--set", "production.destination=s3://models/team", "--set", &endpoint]);
    arguments.extend(["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"]);
    arguments.extend(more);
    let mut command = place.command(&arguments);
    command.envs(server.variables());
    command
}

fn observer(server: &s3::Server) -> Destination {
    let settings = Settings { variables: server.observer_variables().into_iter().collect(), ..Settings::default() };
    Destination::open("s3://models/team", &settings).expect("a destination")
}

#[test]
fn an_approved_candidate_is_whole_in_the_bucket_before_it_is_pointed_to() {
    let (place, server) = (Place::new(), s3::Server::start("models", s3::Options::default()));
    Ended::of(training(&place, &server, &[])).expect(0);
    let loaded = observer(&server).load(MODEL, None).expect("a champion");
    assert_eq!(loaded.version, 1);
    loaded.verify().expect("whole objects");
    let audit = place.run(&["audit", "verify", "--head", &loaded.pointer.expect("a pointer").audit]).expect(0);
    assert!(audit.stdout.contains("whole"), "{}", audit.stdout);

    // A failed gate leaves the bucket byte for byte as it was.
    let before: Vec<_> = server.keys().into_iter().map(|key| (server.bytes(&key), key)).collect();
    Ended::of(training(&place, &server, &["--set", "gates.minimum.roc_auc=0.999", "--seed", "9"])).expect(4);
    let after: Vec<_> = server.keys().into_iter().map(|key| (server.bytes(&key), key)).collect();
    assert_eq!(before, after);
}

#[test]
fn what_stands_in_the_way_of_a_promotion_is_told_before_anything_is_trained() {
    let (place, server) = (Place::new(), s3::Server::start("models", s3::Options::default()));
    let without = |name: &str| {
        let mut command = training(&place, &server, &[]);
        command.env_remove(name);
        Ended::of(command)
    };
    let missing = without("AWS_SECRET_ACCESS_KEY");
    assert_eq!(missing.code, 2, "{}{}", missing.stdout, missing.stderr);
    assert!(missing.stderr.contains("AWS_SECRET_ACCESS_KEY") && missing.stderr.contains("hint:"), "{}", missing.stderr);
    let mut wrong = training(&place, &server, &[]);
    wrong.env("AWS_SECRET_ACCESS_KEY", "wrong-but-still-secret");
    let wrong = Ended::of(wrong).expect(2);
    assert!(!wrong.stderr.contains("wrong-but-still-secret"), "{}", wrong.stderr);
    let bucket = Ended::of(training(&place, &server, &["--set", "production.destination=s3://nowhere/x"])).expect(2);
    assert!(bucket.stderr.contains("nowhere"), "{}", bucket.stderr);
    assert_eq!(place.run(&["runs", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0), "nothing ran");
}

#[test]
fn credentials_may_stand_in_a_file_env() {
    let (place, server) = (Place::new(), s3::Server::start("models", s3::Options::default()));
    let lines: Vec<String> = server.variables().into_iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    place.write(".env", lines.concat());
    let mut command = training(&place, &server, &[]);
    for (name, _) in server.variables() {
        command.env_remove(name);
    }
    Ended::of(command).expect(0);
    assert_eq!(observer(&server).load(MODEL, None).expect("a champion").version, 1);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_registry_in_postgresql_serves_the_whole_lifecycle() {
    let url = Cluster::shared().create_database();
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("STAGEWRIGHT_REGISTRY", &url).env("STAGEWRIGHT_ACTOR", "somebody");
        Ended::of(command)
    };
    let manifest = config("churn.toml");
    let train =
        ["run", &manifest, "--json", "--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=1500"];
    let low = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    run(&[&train[..], &low, &["--set", "training.component=train-logistic"]].concat()).expect(0);
    run(&[&train[..], &["--set", "gates.minimum.roc_auc=0.999"]].concat()).expect(4);
    assert!(!place.home().join("stagewright.db").exists(), "nothing is kept in a file");
    let models = run(&["models", "list", "--json"]).expect(0).json();
    assert_eq!((&models[0]["champion"], &models[0]["latest_version"]), (&1.into(), &2.into()));
    let found = run(&["runs", "search", "metrics.roc_auc > 0.5", "--order-by", "metrics.roc_auc DESC", "--json"]);
    assert_eq!(found.expect(0).json().as_array().map(Vec::len), Some(2));
    let history = run(&["models", "history", MODEL, "--json"]).expect(0).json();
    assert_eq!(history[0]["actor"], "somebody");
    run(&["audit", "verify"]).expect(0);
    run(&["gc", "--grace", "0s"]).expect(0);
    run(&["models", "card", &format!("{MODEL}/1")]).expect(0);
    // The password never shows.
    let shown = run(&["models", "show", "nothing"]).expect(2);
    let password = url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password");
    assert!(!shown.stderr.contains(password), "{}", shown.stderr);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn machines_that_share_a_registry_and_artifacts_need_no_shared_folder() {
    let url = Cluster::shared().create_database();
    let server = s3::Server::start("mlflow", s3::Options::default());
    let shared = format!("s3://mlflow/team?endpoint={}&path-style=true", server.endpoint());
    let (one, other) = (Place::new(), Place::new());
    let run = |place: &Place, artifacts: &str, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.envs(server.variables()).env("STAGEWRIGHT_REGISTRY", &url).env("STAGEWRIGHT_ARTIFACTS", artifacts);
        Ended::of(command)
    };
    let manifest = config("churn.toml");
    let data = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=1500"];
    let low = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let train = [&["run", &manifest, "--json", "--set", "training.component=train-logistic"], &data[..], &low].concat();
    run(&one, &shared, &train).expect(0);

    // A machine without the bytes says so before it trains, and records no stage.
    let alone = run(&other, "", &train).expect(7);
    assert!(alone.stderr.contains("champion") && alone.stderr.contains("--artifacts"), "{}", alone.stderr);
    let failed = run(&other, "", &["runs", "search", "attributes.status = 'FAILED'", "--json"]).expect(0).json();
    let failed = failed[0]["run_id"].as_str().expect("a run").to_owned();
    let failed = run(&other, "", &["runs", "show", &failed, "--json"]).expect(0).json();
    assert_eq!(failed["stages"].as_array().map(Vec::len), Some(0), "{failed}");

    // One that names the place asks the champion, and predicts with it.
    let again = run(&other, &shared, &[&train[..], &["--seed", "9"]].concat());
    assert!(matches!(again.code, 0 | 4), "{}{}", again.stdout, again.stderr);
    assert!(again.json()["metrics"]["champion"].is_object(), "{}", again.stdout);
    run(&other, &shared, &["models", "card", &format!("{MODEL}/1")]).expect(0);
    let found = run(&other, &shared, &["gc", "--grace", "0s", "--dry-run", "--json"]).expect(0).json();
    assert!(
        found["removed"].as_array().is_some_and(|removed| removed.iter().all(|it| it["place"] != shared)),
        "{found}"
    );

    // A home does not forget its place.
    let forgotten = run(&other, "", &["runs"]).expect(2);
    assert!(forgotten.stderr.contains("s3://mlflow/team"), "{}", forgotten.stderr);
}
