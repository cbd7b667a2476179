//! A host without a compiler runs code that another host compiled for its key, and compiles
//! nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use stagewright_end_to_end::{Ended, Place, binary, config, run_only};

/// Installs the program, the program in which stages run, and the built-in stages at the places
/// where the binary looks.
fn install(to: &Path) {
    let stages = to.join("lib/stagewright/stages");
    fs::create_dir_all(&stages).and_then(|()| fs::create_dir_all(to.join("bin"))).expect("folders");
    fs::copy(run_only(), to.join("bin/stagewright")).expect("the program");
    let process = run_only().with_file_name("stagewright-stage");
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
    install(&prefix);
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
