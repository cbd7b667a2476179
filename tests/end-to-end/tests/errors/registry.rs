//! Errors of the registry: runs, models and verdicts: SW07.

use std::fs;

use stagewright_end_to_end::{Ended, Place, config};

use crate::{Case, MODEL, provoke, trained};

pub(crate) const CASES: &[Case] = &[
    ("SW0701", || trained().run(&["runs", "show", "ffff"])),
    ("SW0702", || trained().run(&["models", "show", "chrun"])),
    ("SW0703", || trained().run(&["models", "show", &version(99)])),
    ("SW0704", || trained().run(&["predict", &format!("{MODEL}@shadow"), "--input", "rows.csv"])),
    ("SW0705", || trained().run(&["models", "tag", MODEL, "--remove", "owner"])),
    ("SW0706", || trained().run(&["models", "alias", &version(1), "champion"])),
    ("SW0707", || trained().run(&["runs", "search", "metrics.roc_auc >"])),
    ("SW0708", || trained().run(&["models", "rollback", MODEL])),
    ("SW0709", || trained().run(&["models", "delete", &version(1), "--reason", "old"])),
    ("SW0710", || trained().run(&["models", "promote", &version(2)])),
    ("SW0711", verdict_of_another_time),
    ("SW0712", another_champion_than_expected),
    ("SW0714", edited_audit),
    ("SW0715", || trained().run(&["audit", "verify", "--head", "00"])),
    ("SW0716", collection_without_records),
    ("SW0717", || Place::new().run(&["--registry", "mysql://host/db", "runs"])),
    ("SW0718", version_without_gates),
    ("SW0719", baseline_on_other_rows),
    ("SW0720", || imported().run(&["models", "attest", "imported/1"])),
    ("SW0721", || trained().run(&["gate", &version(1), "--min", "lift=2", "--record"])),
    ("SW0722", || trained().run(&["gate", &version(1), "--min-auc", "0.999"])),
    ("SW0723", run_without_stages),
    ("SW0724", source_that_is_gone),
    ("SW0725", run_of_another_version),
    ("SW0726", text_as_a_run),
    ("SW0727", || trained().run(&["lineage", &format!("sha256:{}", "0".repeat(64))])),
    ("SW0728", stage_without_a_run),
    ("SW0729", || trained().run(&["stage", "run", "evaluation", "--set", "training.component=train-forest"])),
    ("SW0730", run_that_is_there),
    ("SW0731", || deployed().run(&["deploy", "start", MODEL, "--strategy", "shadow", "--version", "2"])),
    ("SW0732", || trained().run(&["deploy", "advance", MODEL])),
    ("SW0734", || deployed().run(&["models", "delete", &version(2), "--reason", "old"])),
    ("SW0735", || {
        trained().run(&["deploy", "start", MODEL, "--strategy", "canary", "--version", "2", "--shares", "5,25"])
    }),
    ("SW0736", || trained().run(&["deploy", "start", MODEL, "--strategy", "canary", "--version", "1"])),
    ("SW0737", test_without_outcomes),
];

#[test]
fn errors_of_the_registry() {
    provoke(CASES);
}

fn version(number: u32) -> String {
    format!("{MODEL}/{number}")
}

/// The second version approved by a person.
fn approved() -> Place {
    let place = trained();
    place.run(&["models", "approve", &version(2), "--reason", "a test"]).expect(0);
    place
}

fn verdict_of_another_time() -> Ended {
    let place = approved();
    place.run(&["models", "promote", &version(2)]).expect(0);
    place.run(&["models", "promote", &version(1)])
}

fn another_champion_than_expected() -> Ended {
    approved().run(&["models", "promote", &version(2), "--expected", "7"])
}

fn edited_audit() -> Ended {
    let place = trained();
    let database = rusqlite::Connection::open(place.home().join("stagewright.db")).expect("a database");
    let triggers = {
        let mut triggers = database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").expect("a query");
        let names = triggers.query_map([], |row| row.get::<_, String>(0)).expect("triggers");
        names.collect::<Result<Vec<_>, _>>().expect("names")
    };
    for trigger in triggers {
        database.execute(&format!("DROP TRIGGER \"{trigger}\""), []).expect("no trigger");
    }
    let edited = database.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 2", []);
    assert_eq!(edited.expect("an edit"), 1);
    drop(database);
    place.run(&["audit", "verify"])
}

fn collection_without_records() -> Ended {
    let place = Place::new();
    fs::create_dir(place.home()).expect("a folder");
    place.run(&["gc"])
}

fn version_without_gates() -> Ended {
    let place = trained();
    let database = rusqlite::Connection::open(place.home().join("stagewright.db")).expect("a database");
    let edit = "UPDATE runs SET config = json_remove(config, '$.gates')";
    assert_eq!(database.execute(edit, []).expect("an edit"), 2);
    drop(database);
    place.run(&["gate", &version(1)])
}

fn baseline_on_other_rows() -> Ended {
    let place = trained();
    place.churn(1600, &["--set", "gates.minimum.roc_auc=0.999"]).expect(4);
    place.run(&["gate", &version(3), "--baseline", &version(1)])
}

/// A home that knows nothing but a version that was exported from another one.
fn imported() -> Place {
    let (first, place) = (trained(), Place::new());
    let exported = first.path().join("exported").display().to_string();
    first.run(&["models", "export", &version(1), "--destination", &exported]).expect(0);
    fs::create_dir(place.home()).expect("a folder");
    let import = ["models", "import", &version(1), "--register-name", "imported", "--destination", &exported];
    place.run(&import).expect(0);
    place
}

fn run_without_stages() -> Ended {
    let place = Place::new();
    place.run(&["run", &config("churn.toml"), "--source", "customers=csv:missing.csv"]).expect(3);
    place.run(&["reproduce"])
}

fn source_that_is_gone() -> Ended {
    let place = Place::new();
    let row = |row: usize| format!("{row},{},{}\n", (row * 53) % 89, usize::from(row.is_multiple_of(3)));
    let source = place.write("table.csv", format!("a,b,y\n{}", (0..600).map(row).collect::<String>()));
    place.run(&["init", "--source", "csv:table.csv", "--target", "y"]).expect(0);
    place.run(&["run", "pipeline.toml", "--until", "ingestion"]).expect(0);
    fs::remove_file(source).expect("the source");
    place.run(&["reproduce"])
}

fn run_of_another_version() -> Ended {
    let place = trained();
    let database = rusqlite::Connection::open(place.home().join("stagewright.db")).expect("a database");
    let edit = "UPDATE stages SET invocation = json_set(invocation, '$.host', 999)";
    assert!(database.execute(edit, []).expect("an edit") > 0, "no stage was there");
    drop(database);
    place.run(&["reproduce"])
}

fn text_as_a_run() -> Ended {
    let place = Place::new();
    place.write("text.run", "this is text");
    place.run(&["runs", "import", "text.run"])
}

fn stage_without_a_run() -> Ended {
    let place = Place::new();
    fs::create_dir(place.home()).expect("a folder");
    place.run(&["stage", "run", "training", "--file", &config("churn.toml")])
}

fn run_that_is_there() -> Ended {
    let place = trained();
    let run = place.run(&["runs", "show", "--json"]).expect(0).json()["run"]["run_id"].clone();
    let run = run.as_str().expect("an identifier").to_owned();
    place.run(&["runs", "export", &run, "churn.run"]).expect(0);
    place.run(&["runs", "import", "churn.run"])
}

/// The second version approved, and its canary started.
fn deployed() -> Place {
    let place = approved();
    place.run(&["deploy", "start", MODEL, "--strategy", "canary", "--version", "2"]).expect(0);
    place
}

fn test_without_outcomes() -> Ended {
    let place = approved();
    let test = r#"{
        "experiment_name": "churn_model_v2",
        "variants": {
            "control": {"model_version": 1, "traffic_percentage": 50},
            "treatment": {"model_version": 2, "traffic_percentage": 50}
        },
        "metrics": {"primary": "conversion_rate"},
        "duration_days": 14,
        "min_sample_size": 10000
    }"#;
    let file = place.path().join("test.json");
    fs::write(&file, test).expect("a file");
    place.run(&["deploy", "start", MODEL, "--config", &file.display().to_string()]).expect(0);
    place.run(&["deploy", "advance", MODEL])
}
