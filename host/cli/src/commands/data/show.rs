//! `data list` and `data show`.

use stagewright_store::{ArtifactKind, DataKind, DataReference, DataRequirement, DataVersionError, Home, StoreError};

use super::size::size;
use crate::output::print_json;
use crate::terminal::{Cell, bytes, moment, right, table};

pub(super) fn list(home: &Home, name: Option<&str>, is_json: bool) -> anyhow::Result<()> {
    let versions = match name {
        Some(name) => home.registry.data_versions_of(name)?,
        None => home.registry.data_versions()?,
    };
    if let (Some(name), true) = (name, versions.is_empty()) {
        return Err(StoreError::from(DataVersionError::NoData { name: name.to_owned() }).into());
    }
    if is_json {
        return print_json(&versions);
    }
    let mut grid = table(&["data", "version", "kind", "rows or files", "bytes", "added (UTC)", "digest"]);
    for version in versions {
        grid.add_row(vec![
            Cell::new(&version.name),
            Cell::new(version.version),
            Cell::new(version.kind.name()),
            right(version.count),
            right(bytes(version.bytes)),
            Cell::new(moment(version.created_ms)),
            Cell::new(version.digest),
        ]);
    }
    println!("{grid}");
    Ok(())
}

pub(super) fn show(home: &Home, data: &DataReference, is_json: bool) -> anyhow::Result<()> {
    let record = home.registry.data_version(data)?;
    let is_here = record.artifacts.iter().all(|artifact| home.artifacts.contains(artifact.kind, &artifact.digest));
    // The table may be on another machine that shares the registry.
    let table = (record.kind == DataKind::Table && is_here).then(|| home.artifacts.open_table(&record.digest));
    let table = table.transpose()?;
    if is_json {
        let mut shown = serde_json::to_value(&record)?;
        shown["is_here"] = is_here.into();
        if let Some(table) = &table {
            shown["schema"] = serde_json::to_value(table.schema())?;
        }
        return print_json(&shown);
    }
    println!("{}: {}, {}", record.reference(), size(&record), bytes(record.bytes));
    println!("  digest    {}", record.digest);
    println!("  source    {}", record.source);
    println!("  added     {} by {}", moment(record.created_ms), record.actor);
    if !record.key.is_empty() {
        println!("  key       {}", record.key.join(", "));
    }
    println!("  because   {}", record.reasons.join("\n            "));
    let packs = record.artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Blob).count();
    if packs > 0 {
        println!("  packs     {packs}");
    }
    if !is_here {
        println!("  its bytes are not in this home");
    }
    if let Some(opened) = table {
        let mut grid = crate::terminal::table(&["column", "type", "nulls", "role"]);
        for field in opened.schema().fields() {
            let nulls = if field.nullable { "may be" } else { "" };
            grid.add_row(vec![
                Cell::new(&field.name),
                Cell::new(field.data_type),
                Cell::new(nulls),
                Cell::new(field.role),
            ]);
        }
        println!("{grid}");
    }
    let newest = DataReference { name: record.name.clone(), requirement: DataRequirement::Latest };
    let latest = home.registry.data_version(&newest)?;
    if latest.version != record.version {
        println!("  its latest version is {}", latest.version);
    }
    Ok(())
}
