//! `reproduce` executes a run again from its record alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::Value;
use stagewright_end_to_end::Place;

/// Returns every row of every table of a home's registry.
fn records(home: &Path) -> BTreeMap<String, Vec<Vec<Sql>>> {
    let database = Connection::open(home.join("stagewright.db")).expect("a database");
    let mut tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("a query");
    let names: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("tables").collect::<Result<_, _>>().expect("names");
    let all = names.into_iter().map(|name| {
        let mut rows = database.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a query");
        let width = rows.column_count();
        let read = rows.query_map([], |row| (0..width).map(|column| row.get(column)).collect());
        (name, read.expect("rows").collect::<Result<_, _>>().expect("values"))
    });
    all.collect()
}

/// Returns a table with a learnable target.
fn table(rows: usize) -> String {
    let row =
        |row: usize| format!("{},{},{},{}\n", row, (row * 37) % 101, (row * 53) % 89, u8::from(row.is_multiple_of(3)));
    format!("id,a,b,y\n{}", (0..rows).map(row).collect::<String>())
}

/// Runs a pipeline on a table.
fn run_on_a_table(place: &Place) -> Value {
    place.write("table.csv", table(600));
    place.run(&["init", "--source", "csv:table.csv", "--target", "y"]).expect(0);
    place.run(&["run", "pipeline.toml", "--json", "--set", "gates.policy=absolute"]).json()
}

/// Flips the lowest bit of a byte of a read-only file.
fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("a stored file");
    bytes[offset] ^= 1;
    fs::remove_file(path).expect("a stored file");
    fs::write(path, bytes).expect("room");
}

// invariant: as `a_run_whose_candidate_is_champion_since_is_reproduced_and_nothing_is_left_of_it`
#[test]
fn a_run_is_reproduced_and_nothing_is_published_promoted_or_recorded() {
    let place = Place::new();
    let first = place.churn(2000, &[]).expect(0).json();
    let second = place.churn(2000, &["--seed", "7"]).json();
    assert!(second["metrics"]["champion"].is_object(), "it was compared with a champion");
    let id = |run: &Value| run["run_id"].as_str().expect("an identifier").to_owned();
    let (records_before, artifacts) = (records(&place.home()), place.artifacts());
    assert!(records_before.values().map(Vec::len).sum::<usize>() > 50);
    for (run, workers) in [(&second, "1"), (&first, "3")] {
        let again = place.run(&["reproduce", &id(run)[..12], "--workers", workers, "--json"]).expect(0).json();
        assert_eq!((&again["identical"], &again["first_difference"]), (&Value::Bool(true), &Value::Null));
        assert_eq!(again["run_id"], run["run_id"]);
        assert_eq!(again["steps"].as_array().map(Vec::len), Some(6));
    }
    let said = place.run(&["reproduce", &id(&first)]).expect(0).stdout;
    assert!(said.contains("is reproduced: every artifact has the digest that is on record"), "{said}");
    assert_eq!((records(&place.home()), place.artifacts()), (records_before, artifacts));
    // Garbage collection keeps what a run needs.
    place.run(&["gc", "--grace", "0s"]).expect(0);
    place.run(&["reproduce", &id(&second)]).expect(0);
}

#[test]
fn a_flipped_bit_is_named_and_so_is_a_source_that_is_gone() {
    let place = Place::new();
    let run = run_on_a_table(&place);
    let differs = || {
        let said = place.run(&["reproduce", "--json"]).expect(4).json();
        assert_eq!(said["identical"], false);
        said["first_difference"].clone()
    };
    place.run(&["reproduce"]).expect(0);
    // A component that no model needs.
    let stored = |digest: &Value, kind: &str| {
        let hex = digest.as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
        place.home().join("artifacts").join(format!("{hex}.{kind}"))
    };
    let component = stored(&run["stages"][1]["digest"], "blob");
    flip(&component, 100);
    let found = differs();
    assert_eq!((&found["part"], &found["step"]), (&"component".into(), &"validation".into()), "{found}");
    assert_eq!(found["recorded"], run["stages"][1]["digest"]);
    flip(&component, 100);
    // A document.
    let importance = run["stages"][3]["artifacts"].as_array().expect("artifacts").iter();
    let importance = importance.clone().find(|artifact| artifact["name"] == "importance").expect("importance");
    let importance = stored(&importance["digest"], "document");
    let text = fs::read_to_string(&importance).expect("a document");
    let digit = text.find(|letter: char| letter.is_ascii_digit()).expect("a number") + 3;
    flip(&importance, digit);
    let found = differs();
    assert_eq!(found["artifact"], "training.importance");
    assert!(found["path"].as_str().is_some_and(|path| path.starts_with("$[0]")), "{found}");
    let said = place.run(&["reproduce"]).expect(4).stdout;
    assert!(said.contains("made `training.importance` again as it is on record"), "{said}");
    flip(&importance, digit);
    // The source.
    let source = place.path().join("table.csv");
    flip(&source, 20);
    let found = differs();
    assert_eq!((&found["part"], &found["artifact"]), (&"input".into(), &"source".into()), "{found}");
    flip(&source, 20);
    fs::rename(&source, place.path().join("elsewhere.csv")).expect("a file");
    let said = place.run(&["reproduce"]).expect(2).stderr;
    assert!(said.contains("the source of the run") && said.contains("--source FILE"), "{said}");
    place.run(&["reproduce", "--source", "elsewhere.csv"]).expect(0);
}
