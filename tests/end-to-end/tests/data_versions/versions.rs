//! Adding, listing, showing, comparing and exporting versions.

use std::fs;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::{Value, json};
use stagewright_end_to_end::Place;

use crate::{CUSTOMERS, MORE_CUSTOMERS, OTHER_CUSTOMERS, add, text, version};

// invariant: Equal data is no new version, and the number of a new one follows from its changes.
#[test]
fn the_number_of_a_version_follows_from_what_changed() {
    let place = Place::new();
    let first = add(&place, "customers", CUSTOMERS, &["--key", "id"]).expect(0).json();
    assert_eq!((version(&first), &first["is_new"]), ("1.0.0", &json!(true)));
    let again = add(&place, "customers", CUSTOMERS, &[]).expect(0).json();
    assert_eq!((version(&again), &again["is_new"]), ("1.0.0", &json!(false)));
    let more = add(&place, "customers", MORE_CUSTOMERS, &[]).expect(0).json();
    assert_eq!((version(&more), &more["reasons"]), ("1.0.1", &json!(["1 row was added"])));
    let other = add(&place, "customers", OTHER_CUSTOMERS, &[]).expect(0).json();
    assert_eq!(version(&other), "1.1.0");
    assert_eq!(other["reasons"], json!(["1 row was removed", "1 row was changed"]));
    let wider = "id,city,amount,age\n1,Bern,11,40\n2,Chur,20,41\n4,Basel,1,42\n";
    assert_eq!(version(&add(&place, "customers", wider, &[]).expect(0).json()), "1.2.0");
    let narrower = "id,city\n1,Bern\n2,Chur\n4,Basel\n";
    let low = add(&place, "customers", narrower, &["--version", "1.9.0"]).expect(2);
    assert!(low.stderr.contains("1.9.0 is lower than 2.0.0") && low.stderr.contains("hint: "), "{}", low.stderr);
    assert_eq!(version(&add(&place, "customers", narrower, &["--version", "2.1.0"]).expect(0).json()), "2.1.0");

    let listed = place.run(&["data", "list", "customers", "--json"]).expect(0).json();
    let numbers: Vec<&str> = listed.as_array().expect("a list").iter().map(version).collect();
    assert_eq!(numbers, ["1.0.0", "1.0.1", "1.1.0", "1.2.0", "2.1.0"]);
    let shown = |data: &str| place.run(&["data", "show", data, "--json"]).expect(0).json();
    assert_eq!(version(&shown("customers@1")), "1.2.0");
    assert_eq!(version(&shown("customers@1.0")), "1.0.1");
    let schema = shown("customers@1.0.0")["schema"].clone();
    assert_eq!(schema[0]["name"], "id");
    let people = place.run(&["data", "show", "customers@1.0.1"]).expect(0).stdout;
    assert!(people.contains("1 row was added") && people.contains("its latest version is 2.1.0"), "{people}");
}

#[test]
fn rows_and_cells_that_differ_are_shown() {
    let place = Place::new();
    add(&place, "customers", CUSTOMERS, &["--key", "id"]).expect(0);
    add(&place, "customers", OTHER_CUSTOMERS, &[]).expect(0);
    let diff = |more: &[&str]| {
        let arguments = [&["data", "diff", "customers@1.0.0", "customers", "--json"], more].concat();
        place.run(&arguments).expect(0).json()
    };
    let found = diff(&[]);
    assert_eq!((&found["after"], &found["is_same"]), (&json!("customers@1.1.0"), &json!(false)));
    assert_eq!(found["key"], json!(["id"]));
    assert_eq!([&found["added"], &found["removed"], &found["changed"], &found["unchanged"]], [1, 1, 1, 1]);
    assert_eq!(found["changed_by_column"], json!([["amount", 1]]));
    let cell = json!({ "column": "amount", "before": 10.5, "after": 11.0 });
    assert_eq!(found["changed_rows"], json!([{ "key": { "id": 1 }, "cells": [cell] }]));
    assert_eq!(found["removed_rows"], json!([{ "id": 3, "city": "Bern", "amount": null }]));
    let whole = diff(&["--key", ""]);
    assert_eq!([&whole["added"], &whole["removed"], &whole["changed"]], [2, 2, 0]);
    let people = place.run(&["data", "diff", "customers@1.0.0", "customers"]).expect(0).stdout;
    assert!(people.contains("~ id=1; amount: 10.5 -> 11.0"), "{people}");

    let twice = place.run(&["data", "diff", "customers@1.0.0", "customers", "--key", "city"]).expect(3);
    assert!(twice.stderr.contains("SW1203") && twice.stderr.contains("\"Bern\" on rows 1 and 3"), "{}", twice.stderr);
}

// invariant: A version exports the same bytes on every machine.
#[test]
fn an_export_has_its_version_in_a_column_and_the_time_in_its_metadata() {
    let (place, other, remote) = (Place::new(), Place::new(), Place::new());
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    let written = place.run(&["data", "export", "customers", "--output", "out", "--json"]).expect(0).json();
    assert_eq!(written["path"], "out/data_v1.0.0.parquet");
    let file = place.path().join("out/data_v1.0.0.parquet");
    let reader = SerializedFileReader::new(fs::File::open(&file).expect("a file")).expect("Parquet");
    let notes = reader.metadata().file_metadata().key_value_metadata().expect("metadata").clone();
    let note = |key: &str| notes.iter().find(|note| note.key == key).and_then(|note| note.value.clone());
    assert!(note("_processed_at").is_some_and(|time| time.ends_with('Z')), "{notes:?}");
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let columns: Vec<String> = rows[0].get_column_iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(columns, ["id", "city", "amount", "_data_version"]);
    assert!(rows.iter().all(|row| row.get_string(3).is_ok_and(|version| version == "1.0.0")));

    // The time is that of the registration, on whichever machine and whenever it is written.
    let at = text(remote.path());
    place.run(&["data", "push", "customers", "--remote", &at]).expect(0);
    other.run(&["data", "pull", "customers", "--remote", &at]).expect(0);
    other.run(&["data", "export", "customers@1.0.0"]).expect(0);
    let bytes = fs::read(&file).expect("a file");
    assert_eq!(fs::read(other.path().join("data_v1.0.0.parquet")).expect("a file"), bytes);

    // An export that is added again is the same data.
    fs::copy(&file, place.path().join("again.parquet")).expect("a copy");
    let again = place.run(&["data", "add", "customers", "parquet:again.parquet", "--json"]).expect(0).json();
    assert_eq!(again["is_new"], false, "{again}");
}

#[test]
fn a_pointer_names_a_version_by_its_digest() {
    let (place, other, remote) = (Place::new(), Place::new(), Place::new());
    let added = add(&place, "customers", CUSTOMERS, &["--pointer", "customers.data.json"]).expect(0).json();
    let pointer = place.path().join("customers.data.json");
    let read: Value = serde_json::from_slice(&fs::read(&pointer).expect("a pointer")).expect("JSON");
    assert_eq!((&read["digest"], &read["version"]), (&added["digest"], &added["version"]));
    assert_eq!(read.get("created_ms"), None);
    let at = text(remote.path());
    place.run(&["data", "push", "--remote", &at]).expect(0);
    let pulled = other.run(&["data", "pull", "--pointer", &text(&pointer), "--remote", &at, "--json"]).expect(0).json();
    assert_eq!(pulled[0]["digest"], added["digest"]);
    // A pointer to other bytes of the same number brings nothing.
    let digest = added["digest"].as_str().expect("a digest");
    let wrong = fs::read_to_string(&pointer).expect("a pointer").replace(&digest[7..], &"0".repeat(64));
    let wrong = text(&place.write("wrong.json", wrong));
    let refused = other.run(&["data", "pull", "--pointer", &wrong, "--remote", &at]).expect(2);
    assert!(refused.stderr.contains("SW1204"), "{}", refused.stderr);
}

#[test]
fn garbage_collection_leaves_versions_and_takes_what_was_removed() {
    let place = Place::new();
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    add(&place, "customers", MORE_CUSTOMERS, &[]).expect(0);
    place.run(&["gc", "--grace", "0s"]).expect(0);
    place.run(&["data", "diff", "customers@1.0.0", "customers@1.0.1"]).expect(0);
    place.run(&["data", "remove", "customers"]).expect(2);
    place.run(&["data", "remove", "customers@1.0.1"]).expect(0);
    place.run(&["gc", "--grace", "0s"]).expect(0);
    assert_eq!(place.artifacts().len(), 1, "{:?}", place.artifacts());
    place.run(&["data", "export", "customers"]).expect(0);
}
