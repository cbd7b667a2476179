//! How much a version changes against the one before it, and the number that follows.
//!
//! The rules, for tables: **major** if a column was removed or has another type, or the key is
//! another; **minor** if a column was added or stands elsewhere, allows nulls or has another role,
//! or rows were removed or changed; **patch** if rows were only added or stand in another order.
//! For files: **minor** if files were removed or changed, **patch** if they were only added. Data
//! that becomes another kind is **major**.

use serde::Serialize;
use stagewright_store::{DataVersion, Schema};

use crate::diff::TableDiff;
use crate::files::FilesDiff;

/// How much a version changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// There is more of the same.
    Patch,
    /// Rows are others, or there is more to read.
    Minor,
    /// Whoever read the version before may fail.
    Major,
}

/// A change against the version before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The greatest level of its reasons.
    pub level: Level,
    /// The reasons, greatest level first.
    pub reasons: Vec<String>,
}

impl Change {
    /// Returns the number that follows.
    pub fn after(&self, version: DataVersion) -> DataVersion {
        let DataVersion { major, minor, patch } = version;
        match self.level {
            Level::Major => DataVersion { major: major.saturating_add(1), minor: 0, patch: 0 },
            Level::Minor => DataVersion { major, minor: minor.saturating_add(1), patch: 0 },
            Level::Patch => DataVersion { major, minor, patch: patch.saturating_add(1) },
        }
    }

    fn of(mut reasons: Vec<(Level, String)>, otherwise: &str) -> Self {
        reasons.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        let level = reasons.first().map_or(Level::Patch, |(level, _)| *level);
        if reasons.is_empty() {
            reasons.push((level, otherwise.to_owned()));
        }
        Self { level, reasons: reasons.into_iter().map(|(_, reason)| reason).collect() }
    }

    /// Judges tables by their columns, their keys, and their rows where those can be compared.
    pub fn of_tables(before: (&Schema, &[String]), after: (&Schema, &[String]), rows: Option<&TableDiff>) -> Self {
        let mut reasons = columns(before.0, after.0);
        if before.1 != after.1 {
            let named = |key: &[String]| if key.is_empty() { "none".to_owned() } else { key.join(", ") };
            // Whoever matched no rows before matches none wrongly now.
            let level = if before.1.is_empty() { Level::Minor } else { Level::Major };
            reasons.push((level, format!("the key was {} and is {}", named(before.1), named(after.1))));
        }
        if let Some(rows) = rows {
            let many = |count: u64, what: &str| {
                let rows = if count == 1 { "row was" } else { "rows were" };
                format!("{count} {rows} {what}")
            };
            let counts = [(Level::Minor, rows.removed, "removed"), (Level::Minor, rows.changed, "changed")];
            let counts = counts.into_iter().chain([(Level::Patch, rows.added, "added")]);
            reasons.extend(
                counts.filter(|(_, count, _)| *count > 0).map(|(level, count, what)| (level, many(count, what))),
            );
        }
        Self::of(reasons, "rows stand in another order")
    }

    /// Judges folders of files.
    pub fn of_files(files: &FilesDiff) -> Self {
        let many =
            |count: u64, what: &str| format!("{count} {} {what}", if count == 1 { "file was" } else { "files were" });
        let counts = [
            (Level::Minor, files.removed, "removed"),
            (Level::Minor, files.changed, "changed"),
            (Level::Patch, files.added, "added"),
        ];
        let reasons = counts.into_iter().filter(|(_, count, _)| *count > 0);
        Self::of(reasons.map(|(level, count, what)| (level, many(count, what))).collect(), "files are listed otherwise")
    }

    /// Judges data that was a table and is files, or the other way round.
    pub fn of_kinds(after: &str) -> Self {
        Self { level: Level::Major, reasons: vec![format!("it is {after} now")] }
    }
}

fn columns(before: &Schema, after: &Schema) -> Vec<(Level, String)> {
    let mut reasons = Vec::new();
    for field in before.fields() {
        let Some(now) = after.field(&field.name) else {
            reasons.push((Level::Major, format!("column `{}` was removed", field.name)));
            continue;
        };
        if now.data_type != field.data_type {
            let (name, old, new) = (&field.name, field.data_type, now.data_type);
            reasons.push((Level::Major, format!("column `{name}` was {old} and is {new}")));
        }
        if now.nullable != field.nullable {
            let what = if now.nullable { "may have nulls now" } else { "has no nulls any more" };
            reasons.push((Level::Minor, format!("column `{}` {what}", field.name)));
        }
        if now.role != field.role {
            reasons.push((Level::Minor, format!("column `{}` was a {} and is a {}", field.name, field.role, now.role)));
        }
    }
    let added = after.fields().iter().filter(|field| before.field(&field.name).is_none());
    reasons.extend(added.map(|field| (Level::Minor, format!("column `{}` was added", field.name))));
    let shared = |one: &Schema, other: &Schema| -> Vec<String> {
        let shared = one.fields().iter().filter(|field| other.field(&field.name).is_some());
        shared.map(|field| field.name.clone()).collect()
    };
    if shared(before, after) != shared(after, before) {
        reasons.push((Level::Minor, "columns stand in another order".to_owned()));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use stagewright_store::{DataType, Field};

    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, *data_type)).collect()).expect("a schema")
    }

    fn rows(added: u64, removed: u64, changed: u64) -> TableDiff {
        TableDiff { added, removed, changed, ..TableDiff::default() }
    }

    // invariant: The number of a version of data follows from what changed.
    #[test]
    fn the_greatest_change_decides() {
        use DataType::{Float64, Int64, Utf8};
        let before = schema(&[("id", Int64), ("name", Utf8)]);
        let level = |after: &[(&str, DataType)], rows: TableDiff| {
            let key = ["id".to_owned()];
            Change::of_tables((&before, &key), (&schema(after), &key), Some(&rows)).level
        };
        let same = [("id", Int64), ("name", Utf8)];
        assert_eq!(level(&same, rows(0, 0, 0)), Level::Patch);
        assert_eq!(level(&same, rows(5, 0, 0)), Level::Patch);
        assert_eq!(level(&same, rows(5, 1, 0)), Level::Minor);
        assert_eq!(level(&same, rows(0, 0, 1)), Level::Minor);
        assert_eq!(level(&[("id", Int64), ("name", Utf8), ("age", Int64)], rows(0, 0, 0)), Level::Minor);
        assert_eq!(level(&[("name", Utf8), ("id", Int64)], rows(0, 0, 0)), Level::Minor);
        assert_eq!(level(&[("id", Int64)], rows(0, 0, 0)), Level::Major);
        assert_eq!(level(&[("id", Float64), ("name", Utf8)], rows(9, 0, 0)), Level::Major);
    }

    #[test]
    fn a_key_may_be_named_later_and_not_replaced() {
        let schema = schema(&[("id", DataType::Int64)]);
        let level = |before: &[&str], after: &[&str]| {
            let owned = |key: &[&str]| key.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            Change::of_tables((&schema, &owned(before)), (&schema, &owned(after)), None).level
        };
        assert_eq!(level(&[], &["id"]), Level::Minor);
        assert_eq!(level(&["id"], &[]), Level::Major);
        assert_eq!(level(&["id"], &["id"]), Level::Patch);
    }

    #[test]
    fn the_number_that_follows_begins_anew_behind_what_grew() {
        let after = |level| Change { level, reasons: vec![] }.after("1.4.2".parse().expect("a version")).to_string();
        assert_eq!([after(Level::Patch), after(Level::Minor), after(Level::Major)], ["1.4.3", "1.5.0", "2.0.0"]);
    }
}
