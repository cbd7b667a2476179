//! Comparisons against one that looks at every pair of rows.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use stagewright_store::{DataType, Field, Home, Schema, Table};

use super::{Named, TableDiff, tables_in_parts};
use crate::error::DataVersionsError;

/// A home for the tables of all cases.
static PLACE: LazyLock<(tempfile::TempDir, Home)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::open(folder.path()).expect("a home");
    (folder, home)
});

/// A row: an identifier, and a number, a text and a flag that may be missing.
type TestRow = (i64, Option<f64>, Option<String>, Option<bool>);

fn table(rows: &[TestRow], categorical: bool) -> Table {
    let text = if categorical { DataType::Categorical } else { DataType::Utf8 };
    let field = |name: &str, data_type| Field::new(name, data_type).with_nullable(true);
    let schema = Schema::new(vec![
        field("id", DataType::Int64),
        field("amount", DataType::Float64),
        field("name", text),
        field("is_new", DataType::Boolean),
    ])
    .expect("a schema");
    let texts = rows.iter().map(|row| row.2.as_deref());
    let names: ArrayRef = if categorical {
        Arc::new(texts.collect::<DictionaryArray<Int32Type>>())
    } else {
        Arc::new(texts.collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        names,
        Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
    ];
    let home = &PLACE.1;
    let staging = home.artifacts.stage();
    let mut writer = staging.create_table(&schema).expect("a table");
    writer.write(&RecordBatch::try_new(schema.to_arrow(), columns).expect("a batch")).expect("written");
    let digest = writer.finish().expect("finished").digest();
    staging.publish().expect("published");
    home.artifacts.open_table(&digest).expect("a table")
}

fn compare(before: &Table, after: &Table, key: &[&str], rows_at_once: u64) -> Result<TableDiff, DataVersionsError> {
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    let (before, after) = (Named { table: before, name: "a@1.0.0" }, Named { table: after, name: "a@1.1.0" });
    tables_in_parts(before, after, &key, 3, rows_at_once)
}

fn same_cell(one: Option<f64>, other: Option<f64>) -> bool {
    one.map(f64::to_bits) == other.map(f64::to_bits)
}

fn same_row(one: &TestRow, other: &TestRow) -> bool {
    one.0 == other.0 && same_cell(one.1, other.1) && one.2 == other.2 && one.3 == other.3
}

/// Counts added, removed, changed and unchanged rows and changed cells by looking at every pair.
fn by_key(before: &[TestRow], after: &[TestRow]) -> [u64; 5] {
    let mut counts = [0; 5];
    for new in after {
        match before.iter().find(|old| old.0 == new.0) {
            None => counts[0] += 1,
            Some(old) if same_row(old, new) => counts[3] += 1,
            Some(old) => {
                counts[2] += 1;
                let differs = [!same_cell(old.1, new.1), old.2 != new.2, old.3 != new.3];
                counts[4] += differs.iter().filter(|differs| **differs).count() as u64;
            }
        }
    }
    counts[1] = before.iter().filter(|old| !after.iter().any(|new| new.0 == old.0)).count() as u64;
    counts
}

/// Counts added, removed and unchanged rows of multisets.
fn by_rows(before: &[TestRow], after: &[TestRow]) -> [u64; 3] {
    let mut left: Vec<&TestRow> = before.iter().collect();
    let mut unchanged = 0;
    for new in after {
        if let Some(at) = left.iter().position(|old| same_row(old, new)) {
            left.swap_remove(at);
            unchanged += 1;
        }
    }
    [after.len() as u64 - unchanged, left.len() as u64, unchanged]
}

fn row() -> impl Strategy<Value = TestRow> {
    let amount = prop_oneof![Just(0.0), Just(-0.0), Just(1.5), Just(f64::INFINITY)];
    (0..12_i64, proptest::option::of(amount), proptest::option::of("[ab]{0,2}"), proptest::option::of(any::<bool>()))
}

/// Rows of different identifiers.
fn unique(rows: Vec<TestRow>) -> Vec<TestRow> {
    let mut seen = std::collections::HashSet::new();
    rows.into_iter().filter(|row| seen.insert(row.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    // invariant: A comparison of tables finds what one finds that looks at every pair of rows.
    #[test]
    fn rows_are_compared_as_by_looking_at_every_pair(
        before in proptest::collection::vec(row(), 0..30),
        after in proptest::collection::vec(row(), 0..30),
        rows_at_once in 1..20_u64,
        categorical in any::<bool>(),
    ) {
        let (old, new) = (table(&before, false), table(&after, categorical));
        let found = compare(&old, &new, &[], rows_at_once).expect("compared");
        prop_assert_eq!([found.added, found.removed, found.unchanged], by_rows(&before, &after));
        prop_assert_eq!(found.changed, 0);

        let (before, after) = (unique(before), unique(after));
        let (old, new) = (table(&before, false), table(&after, categorical));
        let found = compare(&old, &new, &["id"], rows_at_once).expect("compared");
        let counts = [found.added, found.removed, found.changed, found.unchanged, found.changed_cells];
        prop_assert_eq!(counts, by_key(&before, &after));
        prop_assert_eq!(found.changed_by_column.iter().map(|(_, cells)| cells).sum::<u64>(), found.changed_cells);
        // Examples are the first rows, however the rows were divided.
        let whole = compare(&old, &new, &["id"], u64::MAX).expect("compared");
        prop_assert_eq!(&found, &whole);
        let added: Vec<i64> = after.iter().map(|row| row.0).filter(|id| !before.iter().any(|row| row.0 == *id)).collect();
        let shown: Vec<i64> = found.added_rows.iter().filter_map(|row| row["id"].as_i64()).collect();
        prop_assert_eq!(&shown[..], &added[..added.len().min(3)]);
    }
}

#[test]
fn cells_that_changed_are_shown_with_both_values() {
    let before = table(&[(1, Some(1.0), Some("a".into()), None), (2, None, None, Some(true))], false);
    let after = table(&[(2, Some(2.5), None, Some(true)), (3, None, None, None)], false);
    let found = compare(&before, &after, &["id"], 100).expect("compared");
    let changed = serde_json::to_value(&found.changed_rows).expect("JSON");
    let cell = json!({ "column": "amount", "before": null, "after": 2.5 });
    assert_eq!(changed, json!([{ "key": { "id": 2 }, "cells": [cell] }]));
    assert_eq!(found.removed_rows[0]["name"], Value::from("a"));
    assert_eq!(found.changed_by_column, [("amount".to_owned(), 1)]);
}

#[test]
fn a_key_on_two_rows_is_refused_with_the_rows() {
    let once = table(&[(1, None, None, None)], false);
    let twice = table(&[(7, None, None, None), (1, None, None, None), (7, None, None, None)], false);
    let error = compare(&once, &twice, &["id"], 1).expect_err("refused").to_string();
    assert!(error.contains("a@1.1.0") && error.contains("id = 7 on rows 1 and 3"), "{error}");
    let error = compare(&once, &twice, &["nothing"], 1).expect_err("refused").to_string();
    assert!(error.contains("no column `nothing`") && error.contains("id, amount, name, is_new"), "{error}");
}

#[test]
fn columns_of_one_table_alone_are_changes_of_the_schema_and_not_of_rows() {
    let before = table(&[(1, Some(1.0), None, None)], false);
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64),
        Field::new("amount", DataType::Int64),
        Field::new("at", DataType::Timestamp),
    ])
    .expect("a schema");
    let staging = PLACE.1.artifacts.stage();
    let mut writer = staging.create_table(&schema).expect("a table");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
    ];
    writer.write(&RecordBatch::try_new(schema.to_arrow(), columns).expect("a batch")).expect("written");
    let after = writer.finish().expect("finished");
    let found = compare(&before, &after, &["id"], 100).expect("compared");
    assert_eq!((found.unchanged, found.changed), (1, 0));
    let changes: BTreeMap<&str, String> =
        found.columns.iter().map(|it| (it.column.as_str(), format!("{:?}", it.change))).collect();
    let expected = [("amount", "Retyped"), ("at", "Added"), ("is_new", "Removed"), ("name", "Removed")];
    assert_eq!(changes, expected.map(|(name, change)| (name, change.to_owned())).into());
    assert_eq!(compare(&before, &after, &["amount"], 100).expect_err("refused").to_string().lines().count(), 2);
}
