//! A host without a compiler runs code that another host compiled for its key, and compiles
//! nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stagewright_end_to_end::serving::Serving;
use stagewright_end_to_end::{Ended, Place, binary, config, run_only, serving_only};

/// Installs a program, the program in which stages run, and the built-in stages at the places where
/// the binary looks.
fn install(program: &Path, to: &Path) {
    let stages = to.join("lib/stagewright/stages");
    fs::create_dir_all(&stages).and_then(|()| fs::create_dir_all(to.join("bin"))).expect("folders");
    fs::copy(program, to.join("bin/stagewright")).expect("the program");
    let process = program.with_file_name("stagewright-stage");
    fs::copy(process, to.join("lib/stagewright/stagewright-stage")).expect("the program in which stages run");
    for file in fs::read_dir(binary().with_file_name("stages")).expect("the stages").flatten() {
        fs::copy(file.path(), stages.join(file.file_name())).expect("a stage");
    }
}

#[test]
#[ignore = "needs the binary without a compiler: `cargo xtask edge` builds it and runs this"]
fn a_host_without_a_compiler_runs_and_predicts_what_another_one_compiled_for_it() {
    let place = Place::new();
    let (prefix, folder) = (place.path().join("edge"), place.path().join("empty"));
    install(&run_only(), &prefix);
    fs::create_dir(&folder).expect("a folder");
    let edge = |arguments: &[&str]| {
        let mut command = Command::new(prefix.join("bin/stagewright"));
        command.current_dir(&folder).env_clear().args(arguments);
        Ended::of(command)
    };
    let doctor = || {
        let findings = edge(&["doctor", "--json"]).expect(0).json();
        move |check: &str| {
            let found = findings.as_array().expect("findings").iter().find(|finding| finding["check"] == check);
            found.expect("it is checked")["detail"].as_str().expect("words").to_owned()
        }
    };
    let first = doctor();
    assert!(first("version").ends_with("run-only: it carries no compiler"));
    assert_eq!(first("compiled"), "none of the built-in stages");

    let manifest = config("churn.toml");
    let run = ["run", &manifest, "--json", "--set", "ingestion.component=ingest-synthetic"];
    let run = [&run[..], &["--set", "training.component=train-logistic"]].concat();
    let refused = edge(&run).expect(7).stderr;
    assert!(refused.contains("is not compiled for this host") && refused.contains("stage precompile"), "{refused}");

    // The manifest stands for the components that it uses. A component that an argument substitutes
    // is named too.
    let (key, compiled) = (folder.join(first("key")).display().to_string(), place.path().join("compiled"));
    let output = compiled.display().to_string();
    let components = ["stage", "precompile", &manifest, "ingest-synthetic", "train-logistic"];
    place.run(&[&components[..], &["--output", &output, "--key", &key, "--baseline"]].concat()).expect(0);
    for file in fs::read_dir(&compiled).expect("compiled stages").flatten() {
        fs::copy(file.path(), folder.join(".stagewright/cache/components").join(file.file_name())).expect("copied");
    }
    assert_eq!(
        doctor()("compiled"),
        "evaluate-classifier, ingest-synthetic, ingest-table, promote-gated, train-boosted, train-logistic, transform-table, validate-table"
    );

    let summary = edge(&run).expect(0).json();
    assert_eq!(summary["decision"]["verdict"], "approved");
    edge(&["artifacts", "export", "ingestion.table", "--output", "rows.csv"]).expect(0);
    let predicted = edge(&["predict", "churn-classifier", "--input", "rows.csv"]).expect(0);
    assert_eq!(predicted.stderr, "");
    assert_eq!(predicted.stdout.lines().count(), 7044);
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Returns whether a program contains a text, such as a part of a function's name.
fn contains(program: &Path, text: &str) -> bool {
    let bytes = fs::read(program).expect("a program");
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

// invariant: The build that only serves contains neither the compiler nor a command that trains,
// promotes or changes a model.
#[test]
#[ignore = "needs the binary that only serves: `cargo xtask edge` builds it and runs this"]
fn a_host_that_only_serves_answers_with_what_another_one_trained_and_compiled() {
    const MODEL: &str = "churn-classifier";
    for name in ["cranelift_codegen", "11stagewright8commands3run", "11stagewright8commands6deploy"] {
        assert!(contains(&binary(), name), "`{name}` is in no program: the test looks for nothing");
        assert!(!contains(&serving_only(), name), "`{name}`");
    }
    let place = Place::new();
    let (prefix, folder) = (place.path().join("edge"), place.path().join("served"));
    install(&serving_only(), &prefix);
    fs::create_dir(&folder).expect("a folder");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(prefix.join("bin/stagewright"));
        command.current_dir(&folder).env_clear().args(arguments);
        command
    };
    let edge = |arguments: &[&str]| Ended::of(command(arguments));
    for refused in ["run", "stage", "gate", "gc", "init", "deploy", "artifacts"] {
        let refused = edge(&[refused]).expect(2).stderr;
        assert!(refused.contains("unrecognized subcommand"), "{refused}");
    }
    for refused in ["promote", "rollback", "retire", "delete", "import", "approve"] {
        let refused = edge(&["models", refused, MODEL]).expect(2).stderr;
        assert!(refused.contains("unrecognized subcommand"), "{refused}");
    }
    let findings = edge(&["doctor", "--json"]).expect(0).json();
    let found = |check: &str| findings.as_array().expect("findings").iter().find(|finding| finding["check"] == check);
    let key = folder.join(found("key").expect("a key")["detail"].as_str().expect("a path"));

    // Trained and compiled elsewhere.
    place.churn(1500, &["--set", "training.component=train-logistic", "--set", "gates.minimum.roc_auc=0.5"]).expect(0);
    place.run(&["artifacts", "export", "ingestion.table", "--output", "rows.csv"]).expect(0);
    let expected = place.run(&["predict", MODEL, "--input", "rows.csv"]).expect(0).stdout;
    let (key, compiled) = (key.display().to_string(), place.path().join("compiled"));
    let components = ["stage", "precompile", "transform-table", "train-logistic", "--baseline"];
    place.run(&[&components[..], &["--output", &compiled.display().to_string(), "--key", &key]].concat()).expect(0);
    let home = folder.join(".stagewright");
    for entry in fs::read_dir(&home).expect("a home").flatten().filter(|entry| entry.path().is_file()) {
        fs::remove_file(entry.path()).expect("a registry that is empty");
    }
    for entry in fs::read_dir(place.home()).expect("a home").flatten().filter(|entry| entry.file_name() != "cache") {
        if entry.path().is_dir() {
            copy(&entry.path(), &home.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), home.join(entry.file_name())).expect("copied");
        }
    }
    let refused = edge(&["predict", MODEL, "--input", "../rows.csv"]).expect(7).stderr;
    assert!(refused.contains("is not compiled for this host"), "{refused}");
    copy(&compiled, &home.join("cache/components"));

    assert_eq!(edge(&["predict", MODEL, "--input", "../rows.csv"]).expect(0).stdout, expected);
    edge(&["models", "check-isolation", MODEL]).expect(0);
    let listed = edge(&["models", "list", "--json"]).expect(0).json();
    assert_eq!(listed[0]["champion"], 1, "{listed}");
    for from in ["registry", "production"] {
        let from = if from == "production" { home.join(from).display().to_string() } else { from.to_owned() };
        let server = Serving::of(command(&["serve", MODEL, "--port", "0", "--from", &from]));
        assert_eq!(edge(&["probe", &format!("{}/health/ready", server.url)]).expect(0).stdout, "ready: 200\n");
        let rows = fs::read_to_string(place.path().join("rows.csv")).expect("rows");
        let answer = ureq::post(format!("{}/predict", server.url)).header("Content-Type", "text/csv").send(&rows);
        let answer = answer.expect("an answer").body_mut().read_to_string().expect("text");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let predictions = answer["predictions"].as_array().expect("predictions");
        assert_eq!(predictions.len(), expected.lines().count() - 1);
        assert_eq!((&answer["model"], &answer["version"]), (&MODEL.into(), &1.into()));
    }
}
