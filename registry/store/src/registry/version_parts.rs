//! The parts of a version that have rows of their own: aliases, artifacts, metrics, parameters,
//! tags. They are read of many versions at once, since each statement is a round trip to a server.

use std::collections::{BTreeMap, HashMap};

use crate::database::{Connection, Outcome, Row, values};
use crate::registry::references::{self, Reference};
use crate::registry::rows::listed;

/// The most versions that one statement asks for.
const PIECE: usize = 500;

/// The parts of one version that have rows of their own.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The aliases, without `champion`, by name.
    pub(super) aliases: Vec<String>,
    /// The artifacts, by role.
    pub(super) references: BTreeMap<String, Reference>,
    /// The metrics, by name.
    pub(super) metrics: Vec<(String, f64)>,
    /// The metrics of its manifest in production, by name.
    pub(super) published: Vec<(String, f64)>,
    /// The parameters, by name.
    pub(super) parameters: Vec<(String, String)>,
    /// The tags, by name.
    pub(super) tags: Vec<(String, String)>,
}

/// Returns the parts of the versions with these row ids. One that is not in it has none.
pub(super) fn of(connection: &mut Connection, versions: &[i64]) -> Outcome<HashMap<i64, Parts>> {
    let mut found = HashMap::with_capacity(versions.len());
    for piece in versions.chunks(PIECE) {
        read(connection, piece, &mut found)?;
    }
    Ok(found)
}

fn read(connection: &mut Connection, versions: &[i64], found: &mut HashMap<i64, Parts>) -> Outcome<()> {
    for row in rows(connection, versions, "version, alias FROM version_aliases", "alias")? {
        part(found, &row)?.aliases.push(row.get(1)?);
    }
    // An artifact that explains a verdict is newer than one of the same role from registration.
    let of_verdicts = "version, role, kind, digest FROM verdict_artifacts
        JOIN verdicts ON verdicts.id = verdict_artifacts.verdict";
    for row in rows(connection, versions, of_verdicts, "verdicts.id")? {
        let reference = references::of_verdict_row(&row, 1)?;
        part(found, &row)?.references.insert(reference.role.clone(), reference);
    }
    for row in rows(connection, versions, "version, role, kind, digest, needed FROM version_artifacts", "role")? {
        let reference =
            Reference { role: row.get(1)?, kind: row.parsed(2)?, digest: row.parsed(3)?, needed: row.get(4)? };
        let references = &mut part(found, &row)?.references;
        if reference.needed || !references.contains_key(&reference.role) {
            references.insert(reference.role.clone(), reference);
        }
    }
    let metric =
        |row: &Row| -> Outcome<(String, f64)> { Ok((row.get(1)?, row.get::<Option<f64>>(2)?.unwrap_or(f64::NAN))) };
    for row in rows(connection, versions, "version, name, value FROM version_metrics", "name")? {
        part(found, &row)?.metrics.push(metric(&row)?);
    }
    for row in rows(connection, versions, "version, name, value FROM published_metrics", "name")? {
        part(found, &row)?.published.push(metric(&row)?);
    }
    for row in rows(connection, versions, "version, name, value FROM version_parameters", "name")? {
        part(found, &row)?.parameters.push((row.get(1)?, row.get(2)?));
    }
    for row in rows(connection, versions, "version, name, value FROM version_tags", "name")? {
        part(found, &row)?.tags.push((row.get(1)?, row.get(2)?));
    }
    Ok(())
}

/// Returns the parts of the version of a row, whose first column is its row id.
fn part<'a>(found: &'a mut HashMap<i64, Parts>, row: &Row) -> Outcome<&'a mut Parts> {
    Ok(found.entry(row.get(0)?).or_default())
}

/// Returns the rows of these versions in an order. The statement for one version stays prepared.
fn rows(connection: &mut Connection, versions: &[i64], columns: &str, order: &str) -> Outcome<Vec<Row>> {
    Ok(match versions {
        [version] => {
            connection.query(&format!("SELECT {columns} WHERE version = ?1 ORDER BY {order}"), values![*version])?
        }
        _ => {
            let versions = listed(versions);
            connection.query_once(&format!("SELECT {columns} WHERE version IN ({versions}) ORDER BY {order}"), &[])?
        }
    })
}
