//! Pipelines whose source is a version of data.

use serde_json::{Value, json};
use stagewright_end_to_end::{Place, digests};

use crate::{add, version};

/// A table of this many rows.
fn rows(number: u32) -> String {
    let row = |id: u32| format!("{id},{},{}\n", id % 7, if id.is_multiple_of(3) { "yes" } else { "no" });
    (1..=number).fold("id,x,y\n".to_owned(), |text, id| text + &row(id))
}

/// A place with the manifest `rows.toml` of such a table.
fn place() -> Place {
    let place = Place::new();
    place.write("customers.csv", rows(200));
    let arguments = ["init", "customers.csv", "--target", "y", "--name", "rows", "--output", "rows.toml"];
    place.run(&arguments).expect(0);
    place
}

/// Returns the URI of the source that a run recorded.
fn recorded(place: &Place) -> Value {
    let run = place.run(&["runs", "show", "--json"]).expect(0).json();
    run["run"]["config"]["sources"]["data"]["uri"].clone()
}

// invariant: A run records the exact version of the data that it read.
#[test]
fn a_run_reads_the_latest_version_that_is_admitted_and_records_which() {
    let place = place();
    let run = |source: &str| {
        let source = format!("data={source}");
        place.run(&["run", "rows.toml", "--until", "ingestion", "--source", &source, "--json"])
    };
    assert_eq!(version(&add(&place, "rows", &rows(200), &[]).expect(0).json()), "1.0.0");
    let first = run("data:rows").expect(0).json();
    assert_eq!(recorded(&place), "data:rows@1.0.0");
    // The rows are those of the file.
    let of_file = run("csv:customers.csv").expect(0).json();
    let table = |run: &Value| {
        let digests = digests(run);
        digests.into_iter().find(|(name, _)| name.ends_with("table")).expect("a table")
    };
    assert_eq!(table(&first), table(&of_file));

    assert_eq!(version(&add(&place, "rows", &rows(201), &[]).expect(0).json()), "1.0.1");
    run("data:rows@1").expect(0);
    assert_eq!(recorded(&place), "data:rows@1.0.1");
    run("data:rows@1.0.0").expect(0);
    assert_eq!(recorded(&place), "data:rows@1.0.0");
    let plan = |source: &str| {
        let arguments = ["plan", "rows.toml", "--source", source];
        (place.run(&arguments).expect(0).stdout, place.run(&[&arguments[..], &["--json"]].concat()).expect(0).json())
    };
    let (text, object) = plan("data=data:rows");
    assert!(text.contains("source `data` (data:rows@1.0.1)"), "{text}");
    assert_eq!(object["data"], json!({ "data": "rows@1.0.1" }));

    // What the run read is kept with it, whatever becomes of the name.
    run("data:rows@1.0.0").expect(0);
    place.run(&["data", "remove", "rows@1.0.0"]).expect(0);
    place.run(&["reproduce"]).expect(0);
}

#[test]
fn a_version_that_is_not_here_is_told_with_the_command_that_brings_it() {
    let place = place();
    let run = |source: &str| place.run(&["run", "rows.toml", "--source", &format!("data={source}")]);
    let missing = run("data:rows@1.2").expect(2);
    assert!(missing.stderr.contains("SW1201") && missing.stderr.contains("data pull rows"), "{}", missing.stderr);
    add(&place, "rows", &rows(200), &[]).expect(0);
    let missing = run("data:rows@1.2").expect(2);
    assert!(missing.stderr.contains("data pull rows@1.2 --remote"), "{}", missing.stderr);
    let wrong = run("data:rows@latest").expect(2);
    assert!(wrong.stderr.contains("hint: write `data:NAME`"), "{}", wrong.stderr);
    std::fs::create_dir(place.path().join("images")).expect("a folder");
    place.write("images/a.txt", "a");
    place.run(&["data", "add", "images", "images"]).expect(0);
    let files = run("data:images").expect(3);
    assert!(files.stderr.contains("is files and no table"), "{}", files.stderr);
}
