//! Promotes to a real S3 server and uses a registry in a real PostgreSQL through the binary.

use std::process::Command;

use stagewright_end_to_end::{Ended, Place, config};
use stagewright_promotion::{Destination, Settings};
use stagewright_services::postgres::Cluster;
use stagewright_services::s3;

const MODEL: &str = "churn-classifier";

/// Returns a run that promotes to this bucket.
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

    // A failed gate leaves the bucket unchanged, byte for byte.
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
    // The password is never shown.
    let shown = run(&["models", "show", "nothing"]).expect(2);
    let password = url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password");
    assert!(!shown.stderr.contains(password), "{}", shown.stderr);
}

/// Machines that share a registry in PostgreSQL, artifacts on S3 and a production location.
struct Machines {
    url: String,
    server: s3::Server,
}

impl Machines {
    fn new() -> Self {
        let server = s3::Server::start("mlflow", s3::Options::default());
        Self { url: Cluster::shared().create_database(), server }
    }

    fn shared(&self) -> String {
        format!("s3://mlflow/team?endpoint={}&path-style=true", self.server.endpoint())
    }

    /// Returns a command of a machine with this place for artifacts; `""` is none.
    fn run(&self, machine: &Place, artifacts: &str, arguments: &[&str]) -> Ended {
        let mut command = machine.command(arguments);
        command.envs(self.server.variables()).env("STAGEWRIGHT_REGISTRY", &self.url);
        command.env("STAGEWRIGHT_ARTIFACTS", artifacts);
        Ended::of(command)
    }

    /// Trains on generated customers and promotes to the shared production location.
    fn train(&self, machine: &Place, artifacts: &str, more: &[&str]) -> Ended {
        let (manifest, endpoint) = (config("churn.toml"), format!("production.endpoint={}", self.server.endpoint()));
        let changes = [
            "ingestion.component=ingest-synthetic",
            "ingestion.rows=1500",
            "training.component=train-logistic",
            "gates.minimum.roc_auc=0.5",
            "gates.minimum.accuracy=0.5",
            "production.destination=s3://mlflow/production",
            &endpoint,
        ];
        let mut words = vec!["run", &manifest, "--json"];
        words.extend(changes.iter().flat_map(|change| ["--set", change]));
        self.run(machine, artifacts, &[&words[..], more].concat())
    }
}

// invariant: Machines that share a registry and artifacts need no shared folder. A machine that
// cannot reach the bytes fails before training.
#[test]
#[ignore = "needs PostgreSQL"]
fn machines_that_share_a_postgresql_registry_and_artifacts_need_no_shared_folder() {
    let machines = Machines::new();
    let (one, other, shared) = (Place::new(), Place::new(), machines.shared());
    let first = machines.train(&one, &shared, &[]).expect(0).json();

    // A machine without the bytes fails before it trains, and records no stage.
    let alone = machines.train(&other, "", &["--no-cache"]).expect(7);
    assert!(alone.stderr.contains("champion") && alone.stderr.contains("--artifacts"), "{}", alone.stderr);
    let failed = machines.run(&other, "", &["runs", "search", "attributes.status = 'FAILED'", "--json"]);
    let failed = failed.expect(0).json()[0]["run_id"].as_str().expect("a run").to_owned();
    let failed = machines.run(&other, "", &["runs", "show", &failed, "--json"]).expect(0).json();
    assert_eq!(failed["stages"].as_array().map(Vec::len), Some(0), "{failed}");

    // A machine with access reuses the artifacts and executes nothing.
    let same = machines.train(&other, &shared, &[]).expect(0).json();
    assert_eq!((&same["executed"], &same["is_champion_already"]), (&0.into(), &true.into()), "{same}");
    // It asks the champion.
    let again = machines.train(&other, &shared, &["--seed", "9"]);
    assert!(matches!(again.code, 0 | 4), "{}{}", again.stdout, again.stderr);
    assert!(again.json()["metrics"]["champion"].is_object(), "{}", again.stdout);
    machines.run(&other, &shared, &["models", "card", &format!("{MODEL}/1")]).expect(0);
    let found = machines.run(&other, &shared, &["gc", "--grace", "0s", "--dry-run", "--json"]).expect(0).json();
    let removed = found["removed"].as_array().expect("a list");
    assert!(removed.iter().all(|it| it["place"] != shared), "{found}");

    // A run of another machine is reproduced here from its inputs.
    let id = first["run_id"].as_str().expect("a run");
    let reproduced = machines.run(&other, &shared, &["reproduce", id, "--json"]).expect(0).json();
    assert_eq!(reproduced["identical"], true);

    // A home remembers its place for artifacts.
    let forgotten = machines.run(&other, "", &["runs"]).expect(2);
    assert!(forgotten.stderr.contains("s3://mlflow/team"), "{}", forgotten.stderr);
}

// invariant: as `machines_that_share_a_postgresql_registry_and_artifacts_need_no_shared_folder`
#[test]
#[ignore = "needs PostgreSQL"]
fn a_machine_serves_promotes_and_goes_back_to_what_another_trained_by_a_postgresql_registry() {
    let machines = Machines::new();
    let (one, other, shared) = (Place::new(), Place::new(), machines.shared());
    machines.train(&one, &shared, &[]).expect(0);
    let rows = other.path().join("rows.csv").display().to_string();
    machines.run(&one, &shared, &["artifacts", "export", "ingestion.table", "--output", &rows]).expect(0);
    let second = machines.train(&one, &shared, &["--set", "gates.minimum.roc_auc=0.999", "--seed", "9"]).expect(4);
    assert_eq!(second.json()["model"]["version"], 2);

    // The other machine has none of the artifacts locally.
    let (champion, candidate) = (format!("{MODEL}@champion"), format!("{MODEL}/2"));
    let asks = |machine: &Place, version: &str| {
        let asked = machines.run(machine, &shared, &["predict", version, "--input", &rows, "--json"]);
        asked.expect(0).json()["predictions"].clone()
    };
    assert_eq!(asks(&other, &champion), asks(&one, &champion));
    assert!(asks(&other, &champion).as_array().is_some_and(|rows| rows.len() == 1500));
    let does = |arguments: &[&str]| machines.run(&other, &shared, arguments).expect(0);
    does(&["models", "approve", &candidate, "--reason", "it is better where it counts"]);
    let endpoint = machines.server.endpoint();
    let there = ["--destination", "s3://mlflow/production", "--endpoint", &endpoint];
    does(&[&["models", "promote", &candidate][..], &there].concat());
    let served = |version: u32| {
        let settings = Settings {
            endpoint: Some(endpoint.clone()),
            ..Settings::from_variables(machines.server.observer_variables())
        };
        let destination = Destination::open("s3://mlflow/production", &settings).expect("a destination");
        let loaded = destination.load(MODEL, None).expect("a champion");
        loaded.verify().expect("it is whole");
        assert_eq!(loaded.version, version);
    };
    served(2);
    assert_eq!(asks(&one, &champion), asks(&other, &candidate));
    does(&[&["models", "rollback", MODEL][..], &there].concat());
    served(1);

    // Its garbage collection removes nothing that the first machine needs.
    let keys = machines.server.keys();
    machines.server.age(std::time::Duration::from_secs(25 * 60 * 60));
    does(&["gc", "--grace", "0s"]);
    assert_eq!(machines.server.keys(), keys, "every artifact is on somebody's record");
    // Artifacts of a deleted run are removed after a day, unless something else reaches them.
    let extra = machines.train(&one, &shared, &["--until", "ingestion", "--seed", "11"]).expect(0).json();
    machines.server.age(std::time::Duration::from_secs(25 * 60 * 60));
    does(&["runs", "delete", extra["run_id"].as_str().expect("a run")]);
    does(&["gc", "--grace", "0s"]);
    assert!(machines.server.keys().len() > keys.len(), "deleted a moment ago, it may be about to be taken over");
    Cluster::shared()
        .psql(&machines.url, "UPDATE runs SET deleted_ms = deleted_ms - 25 * 3600 * 1000")
        .expect("a statement");
    does(&["gc", "--grace", "0s"]);
    assert_eq!(machines.server.keys(), keys);
    assert_eq!(asks(&one, &champion), asks(&other, &champion));
}
