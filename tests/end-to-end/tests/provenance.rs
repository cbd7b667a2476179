//! Proofs that leave the machine: a run in a file, lineage, and statements that others sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stagewright_end_to_end::Place;

/// Returns the interpreter with the packages of `requirements.txt`.
fn python() -> Command {
    let program = std::env::var_os("STAGEWRIGHT_PYTHON").map(PathBuf::from);
    Command::new(program.expect("STAGEWRIGHT_PYTHON names a Python with tests/end-to-end/requirements.txt"))
}

/// Runs a script of `tests/fixtures` and returns its output or its error.
#[track_caller]
fn judged(script: &str, arguments: &[&Path]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(script);
    let ended = python().arg(script).args(arguments).output().expect("an interpreter");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if ended.status.success() { Ok(text(&ended.stdout)) } else { Err(text(&ended.stderr)) }
}

fn id(run: &Value) -> String {
    run["run_id"].as_str().expect("an identifier").to_owned()
}

// invariant: as `the_same_run_is_the_same_file_and_is_reproduced_in_another_home`
#[test]
fn a_run_goes_to_another_machine_in_one_file_and_is_reproduced_there() {
    let (place, other) = (Place::new(), Place::new());
    place.churn(2000, &[]).expect(0);
    let run = id(&place.churn(2000, &["--seed", "7"]).json());
    place.run(&["runs", "export", &run, "run.tar"]).expect(0);
    place.run(&["runs", "export", &run, "again.tar"]).expect(0);
    let file = fs::read(place.path().join("run.tar")).expect("a file");
    assert_eq!(fs::read(place.path().join("again.tar")).expect("a file"), file);
    let path = place.path().join("run.tar").display().to_string();
    let imported = other.run(&["runs", "import", &path, "--json"]).expect(0).json();
    assert_eq!(imported["run_id"], run.as_str());
    let tags = imported["tags"].to_string();
    assert!(tags.contains("stagewright.source") && tags.contains("run.tar sha256:"), "{tags}");
    assert_eq!(other.run(&["models", "--json"]).expect(0).json(), serde_json::json!([]));
    let again = other.run(&["reproduce", &run, "--json"]).expect(0).json();
    assert_eq!((&again["identical"], again["steps"].as_array().map(Vec::len)), (&Value::Bool(true), Some(6)));
    let said = other.run(&["runs", "import", &path]).expect(2).stderr;
    assert!(said.contains("exists already"), "{said}");
    // One flipped bit, and nothing is imported.
    let third = Place::new();
    let mut damaged = file;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let path = third.write("damaged.tar", damaged).display().to_string();
    let said = third.run(&["runs", "import", &path]).expect(2).stderr;
    assert!(said.contains("damaged") && said.contains("nothing was imported"), "{said}");
    assert_eq!(third.artifacts(), Vec::<String>::new());
    // Where the operator requires signatures, unsigned components are refused.
    other.run(&["stage", "keygen", "--output", "operator"]).expect(0);
    let trust = "[trust]\nrequire-signature = true\ntrusted-keys = [\"operator.pub\"]\n";
    let operator = other.write("operator.toml", trust);
    let guest = stagewright_end_to_end::least_pipeline("empty-training");
    let manifest = place.write("least.toml", guest);
    let run = id(&place.run(&["run", &manifest.display().to_string(), "--json"]).json());
    place.run(&["runs", "export", &run, "least.tar"]).expect(0);
    let path = place.path().join("least.tar").display().to_string();
    let mut command = other.command(&["runs", "import", &path]);
    let refused = stagewright_end_to_end::Ended::of({
        command.env("STAGEWRIGHT_OPERATOR", operator);
        command
    })
    .expect(2)
    .stderr;
    assert!(refused.contains("is refused: no signature of it is kept"), "{refused}");
}

// invariant: Standard tools verify a version's provenance. Only an actor who reproduced the version
// can countersign it.
#[test]
#[ignore = "needs securesystemslib and openlineage-python: STAGEWRIGHT_PYTHON names a Python that has them"]
fn a_statement_is_verified_by_a_stock_tool_and_countersigned_by_who_reproduced_the_version() {
    let (place, other) = (Place::new(), Place::new());
    let first = place.churn(2000, &[]).expect(0).json();
    let (run, key) = (id(&first), |name: &str| place.path().join(name));
    for name in ["own", "second", "stranger"] {
        place.run(&["stage", "keygen", "--output", name]).expect(0);
    }
    let statement = place.run(&["models", "attest", "churn-classifier/1"]).expect(0).json();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(statement["predicate"]["runDetails"]["metadata"]["invocationId"], run.as_str());
    let subject = statement["subject"].as_array().expect("subjects");
    let names: Vec<_> = subject.iter().filter_map(|subject| subject["name"].as_str()).collect();
    assert_eq!(names, ["model", "training-component", "transformation-component", "transformation-state"]);
    place.run(&["models", "attest", "churn-classifier/1", "--key", "own", "--output", "own.json"]).expect(0);
    let verified = judged("verify_statement.py", &[&key("own.json"), &key("own.pub")]).expect("a sound signature");
    assert!(verified.contains("https://slsa.dev/provenance/v1"), "{verified}");
    let said = judged("verify_statement.py", &[&key("own.json"), &key("stranger.pub")]).expect_err("another key");
    assert!(said.contains("VerificationError"), "{said}");

    // The second party has the run and the statement, and reproduces.
    place.run(&["runs", "export", &run, "run.tar"]).expect(0);
    let path = |name: &str| key(name).display().to_string();
    other.run(&["runs", "import", &path("run.tar")]).expect(0);
    let countersign = |signed_by: &str, run: &str| {
        let (bundle, by, key, output) = (path("own.json"), path(signed_by), path("second"), path("second.json"));
        other.run(&["reproduce", run, "--countersign", &bundle, "--signed-by", &by, "--key", &key, "--output", &output])
    };
    let said = countersign("stranger.pub", &run).expect(2).stderr;
    assert!(said.contains("the statement is not signed by"), "{said}");
    countersign("own.pub", &run).expect(0);
    judged("verify_statement.py", &[&key("second.json"), &key("second.pub")]).expect("a sound signature");
    let payload = |name: &str| {
        let bundle: Value = serde_json::from_slice(&fs::read(key(name)).expect("a file")).expect("JSON");
        bundle["dsseEnvelope"]["payload"].as_str().expect("a payload").to_owned()
    };
    assert_eq!(payload("own.json"), payload("second.json"), "both signed the same");
    // A statement about another run is not countersigned, whoever signed it.
    let another = id(&place.churn(1000, &["--seed", "9"]).json());
    place.run(&["runs", "export", &another, "another.tar"]).expect(0);
    other.run(&["runs", "import", &path("another.tar")]).expect(0);
    fs::remove_file(key("second.json")).expect("a file");
    let said = countersign("own.pub", &another).expect(2).stderr;
    assert!(said.contains("it does not say what run"), "{said}");
    assert!(!key("second.json").exists());
}

#[test]
#[ignore = "needs securesystemslib and openlineage-python: STAGEWRIGHT_PYTHON names a Python that has them"]
fn lineage_reaches_from_the_data_to_production_and_its_events_are_read_by_the_client_of_openlineage() {
    let place = Place::new();
    let run = place.churn(2000, &[]).expect(0).json();
    let found = place.run(&["lineage", "churn-classifier@champion", "--json"]).expect(0).json();
    assert_eq!(found["subject"], serde_json::json!(["version:churn-classifier/1"]));
    let names = |list: &str| found[list].as_array().expect("a list").iter().map(Value::to_string).collect::<String>();
    assert!(names("downstream").contains("production:"), "{found}");
    for part in ["ingestion", "training"] {
        let stage = run["stages"].as_array().expect("stages").iter().find(|stage| stage["name"] == part);
        let digest = stage.expect("a stage")["digest"].as_str().expect("a digest");
        assert!(names("upstream").contains(digest), "{part}");
    }
    let tree = place.run(&["lineage", &id(&run)]).expect(0).stdout;
    assert!(tree.contains("production at ") && tree.contains("component ingest-synthetic ("), "{tree}");
    assert!(place.run(&["lineage", "churn-classifier", "--mermaid"]).expect(0).stdout.starts_with("flowchart LR\n"));
    let events = place.run(&["lineage", &id(&run), "--openlineage"]).expect(0).stdout;
    assert_eq!(events.lines().count(), 6);
    let events = place.write("events.ndjson", events);
    let read = judged("read_openlineage.py", &[&events]).expect("events of OpenLineage");
    assert!(read.contains("churn/training COMPLETE"), "{read}");
    let said = place.run(&["lineage", &"0".repeat(64)]).expect(2).stderr;
    assert!(said.contains("nothing on record has to do with"), "{said}");
}
