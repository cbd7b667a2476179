//! `data diff`: what differs between two versions.

use serde_json::{Map, Value, json};
use stagewright_data_versions::diff::{self, ColumnChangeKind, Named, TableDiff};
use stagewright_data_versions::files::{self, FilesDiff};
use stagewright_data_versions::{DataVersionsError, open_table};
use stagewright_store::{DataKind, DataVersionRecord, Home};

use crate::arguments::DataDiffArguments;
use crate::output::print_json;
use crate::terminal::{Cell, right, table};

/// The most characters of a value on the terminal.
const MAX_VALUE: usize = 60;

pub(super) fn diff(home: &Home, arguments: &DataDiffArguments) -> anyhow::Result<()> {
    let before = home.registry.data_version(&arguments.before)?;
    let after = home.registry.data_version(&arguments.after)?;
    let (kind, is_same, found) = match (before.kind, after.kind) {
        (DataKind::Table, DataKind::Table) => {
            let diff = tables(home, &before, &after, arguments)?;
            if !arguments.json.json {
                show_tables(&before, &after, &diff);
            }
            ("table", diff.is_same(), serde_json::to_value(diff)?)
        }
        (DataKind::Files, DataKind::Files) => {
            let (old, new) = (files::open_list(home, &before)?, files::open_list(home, &after)?);
            let diff = files::compare(&old, &new, arguments.examples.into());
            if !arguments.json.json {
                show_files(&before, &after, &diff);
            }
            ("files", diff.is_same(), serde_json::to_value(diff)?)
        }
        (before_kind, after_kind) => {
            return Err(DataVersionsError::Kinds {
                before: before.reference(),
                before_kind: before_kind.name(),
                after: after.reference(),
                after_kind: after_kind.name(),
            }
            .into());
        }
    };
    if !arguments.json.json {
        return Ok(());
    }
    let mut shown = json!({
        "before": before.reference().to_string(),
        "after": after.reference().to_string(),
        "kind": kind,
        "is_same": is_same,
    });
    if let (Value::Object(shown), Value::Object(found)) = (&mut shown, found) {
        shown.extend(found);
    }
    print_json(&shown)
}

fn tables(
    home: &Home,
    before: &DataVersionRecord,
    after: &DataVersionRecord,
    arguments: &DataDiffArguments,
) -> anyhow::Result<TableDiff> {
    let key = match &arguments.key {
        Some(key) => key.iter().filter(|name| !name.is_empty()).cloned().collect(),
        None if before.key == after.key => after.key.clone(),
        None => Vec::new(),
    };
    let (old, new) = (open_table(home, before)?, open_table(home, after)?);
    let (old_name, new_name) = (before.reference().to_string(), after.reference().to_string());
    let (old, new) = (Named { table: &old, name: &old_name }, Named { table: &new, name: &new_name });
    Ok(diff::tables(old, new, &key, arguments.examples.into())?)
}

fn show_tables(before: &DataVersionRecord, after: &DataVersionRecord, diff: &TableDiff) {
    let by = if diff.key.is_empty() { "whole rows".to_owned() } else { format!("key {}", diff.key.join(", ")) };
    println!("{} -> {}, by {by}", before.reference(), after.reference());
    if diff.is_same() {
        println!("the same {} rows and columns", diff.rows_after);
        return;
    }
    for change in &diff.columns {
        let (old, new) = (change.before.as_deref().unwrap_or_default(), change.after.as_deref().unwrap_or_default());
        match change.change {
            ColumnChangeKind::Added => println!("column `{}` was added: {new}", change.column),
            ColumnChangeKind::Removed => println!("column `{}` was removed: {old}", change.column),
            ColumnChangeKind::Retyped => println!("column `{}` was {old} and is {new}", change.column),
        }
    }
    let counts = [
        ("before", diff.rows_before),
        ("after", diff.rows_after),
        ("added", diff.added),
        ("removed", diff.removed),
        ("changed", diff.changed),
        ("unchanged", diff.unchanged),
    ];
    let mut grid = table(&["rows", "number"]);
    counts.into_iter().for_each(|(what, number)| grid.add_row(vec![Cell::new(what), right(number)]));
    println!("{grid}");
    if !diff.changed_by_column.is_empty() {
        let mut grid = table(&["column", "changed cells"]);
        diff.changed_by_column.iter().for_each(|(column, cells)| grid.add_row(vec![Cell::new(column), right(cells)]));
        println!("{grid}");
    }
    diff.added_rows.iter().for_each(|row| println!("+ {}", cells(row)));
    diff.removed_rows.iter().for_each(|row| println!("- {}", cells(row)));
    for row in &diff.changed_rows {
        let changed: Vec<String> = row
            .cells
            .iter()
            .map(|cell| format!("{}: {} -> {}", cell.column, value(&cell.before), value(&cell.after)))
            .collect();
        println!("~ {}; {}", cells(&row.key), changed.join(", "));
    }
}

fn show_files(before: &DataVersionRecord, after: &DataVersionRecord, diff: &FilesDiff) {
    println!("{} -> {}", before.reference(), after.reference());
    let FilesDiff { added, removed, changed, unchanged, .. } = diff;
    println!("{added} added, {removed} removed, {changed} changed, {unchanged} unchanged");
    diff.added_files.iter().for_each(|path| println!("+ {path}"));
    diff.removed_files.iter().for_each(|path| println!("- {path}"));
    diff.changed_files.iter().for_each(|file| println!("~ {}", file.path));
}

fn cells(row: &Map<String, Value>) -> String {
    let cells: Vec<String> = row.iter().map(|(column, cell)| format!("{column}={}", value(cell))).collect();
    cells.join(", ")
}

fn value(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
