//! Errors of what was typed: SW01.

use std::fs;

use stagewright_end_to_end::{Ended, Place, config};
use stagewright_store::{NewRun, Registry, RunStatus};

use crate::{Case, open_to_all, provoke, trained};

pub(crate) const CASES: &[Case] = &[
    ("SW0101", || trained().run(&["gc", "--grace", "soon"])),
    ("SW0102", || Place::new().run(&["run", &config("churn.toml"), "--until", "trainning"])),
    ("SW0103", || Place::new().run(&["runs"])),
    ("SW0104", no_version),
    ("SW0105", || resume_of_library(true)),
    ("SW0106", stage_of_a_family),
    ("SW0107", || resume_of_library(false)),
    ("SW0108", || trained().run(&["artifacts", "export", "ingestion.table", "--output", "table.xlsx"])),
    ("SW0109", || trained().run(&["artifacts", "export", "training.table", "--output", "table.csv"])),
    ("SW0110", || Place::new().run(&["runs", "import", "missing.run"])),
    ("SW0111", key_twice),
    ("SW0112", || init("churned", &["--positive", "maybe"])),
    ("SW0113", || init("country", &[])),
    ("SW0114", environment_that_others_write),
    ("SW0115", || Place::new().run(&["explain", "SW0199"])),
];

#[test]
fn errors_of_what_was_typed() {
    provoke(CASES);
}

fn no_version() -> Ended {
    let place = Place::new();
    fs::create_dir(place.home()).expect("a folder");
    place.run(&["gate"])
}

/// Resumes a run of a program that uses the registry as a library, which ended or still runs.
fn resume_of_library(is_ended: bool) -> Ended {
    let place = Place::new();
    fs::create_dir(place.home()).expect("a folder");
    let registry = Registry::open(place.home().join("stagewright.db")).expect("a registry");
    let run = NewRun { pipeline: "library".into(), experiment: "library".into(), ..NewRun::default() };
    let run = registry.begin_run(&run).expect("a run");
    if is_ended {
        registry.finish_run(&run, RunStatus::Failed, None).expect("its end");
    }
    place.run(&["resume", run.as_str()])
}

/// One stage of a run that has children.
fn stage_of_a_family() -> Ended {
    let place = Place::new();
    let file = config("churn-by-contract.toml");
    let set = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=3000"];
    place.run(&[&["run", &file, "--until", "validation"][..], &set].concat()).expect(0);
    place.run(&["stage", "run", "validation"])
}

fn key_twice() -> Ended {
    let place = Place::new();
    place.run(&["stage", "keygen", "--output", "signing.key"]).expect(0);
    place.run(&["stage", "keygen", "--output", "signing.key"])
}

fn init(target: &str, more: &[&str]) -> Ended {
    let place = Place::new();
    place.write("customers.csv", "tenure,country,churned\n1,CH,yes\n2,CH,no\n3,CH,yes\n4,CH,no\n");
    place.run(&[&["init", "--source", "csv:customers.csv", "--target", target], more].concat())
}

fn environment_that_others_write() -> Ended {
    let place = Place::new();
    let file = place.write(".env", "AWS_REGION=eu-central-1\n");
    open_to_all(&file, 0o666);
    place.run(&["doctor"])
}
