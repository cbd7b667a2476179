//! Errors of production: SW08.

use std::process::Command;

use stagewright_end_to_end::{Ended, Place};
use stagewright_services::s3;

use crate::{Case, MODEL, files, flip, provoke, trained};

pub(crate) const CASES: &[Case] = &[
    ("SW0801", || promote("gs://bucket/models")),
    ("SW0802", || promote("s3://bucket/models")),
    ("SW0803", bucket_that_is_missing),
    ("SW0805", store_that_is_gone),
    ("SW0807", place_of_another_registry),
    ("SW0809", || trained().run(&["models", "import", MODEL, "--destination", "empty"])),
    ("SW0811", damaged_production),
    ("SW0815", || with_hooks(&trained(), &["hooks", "deliver", "redeplyo"])),
    ("SW0816", hook_that_fails),
    ("SW0817", || trained().run(&["webhooks", "deliveries", "ci"])),
    ("SW0818", || {
        trained().run(&["webhooks", "create", "ci", "--url", "ftp://ci.example.org", "--event", "run.failed"])
    }),
];

#[test]
fn errors_of_production() {
    provoke(CASES);
}

/// Runs a command with an operator's file that names hooks.
fn with_hooks(place: &Place, arguments: &[&str]) -> Ended {
    let operator = place.write(
        "operator.toml",
        "[hooks.ci]\ncommand = [\"/bin/false\"]\n[hooks.redeploy]\ncommand = [\"/bin/true\"]\n",
    );
    let mut command = place.command(arguments);
    command.env("STAGEWRIGHT_OPERATOR", operator);
    Ended::of(command)
}

fn hook_that_fails() -> Ended {
    let place = trained();
    let retired = with_hooks(&place, &["models", "retire", MODEL]).expect(0);
    assert!(retired.stderr.contains("/bin/false ended with exit code 1"), "{}", retired.stderr);
    with_hooks(&place, &["hooks", "deliver"])
}

fn promote(destination: &str) -> Ended {
    trained().run(&["models", "promote", &format!("{MODEL}/1"), "--destination", destination])
}

fn promote_to(place: &Place, destination: &str, endpoint: &str) -> Command {
    let version = format!("{MODEL}/1");
    place.command(&["models", "promote", &version, "--destination", destination, "--endpoint", endpoint])
}

fn bucket_that_is_missing() -> Ended {
    let (place, server) = (trained(), s3::Server::start("models", s3::Options::default()));
    let mut command = promote_to(&place, "s3://missing/models", &server.endpoint());
    command.envs(server.variables());
    Ended::of(command)
}

fn store_that_is_gone() -> Ended {
    let place = trained();
    let mut command = promote_to(&place, "s3://bucket/models", "http://127.0.0.1:9");
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret").env("AWS_REGION", "eu-central-1");
    Ended::of(command)
}

fn place_of_another_registry() -> Ended {
    let low = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let theirs = Place::new();
    theirs.churn(1500, &[&low[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
    promote(&theirs.home().join("production").display().to_string())
}

fn damaged_production() -> Ended {
    let place = trained();
    files(place.home().join("production/objects/sha256"), "").iter().for_each(|object| flip(object));
    let other = Place::new();
    std::fs::create_dir(other.home()).expect("a folder");
    let production = place.home().join("production").display().to_string();
    other.run(&["models", "import", MODEL, "--destination", &production])
}
