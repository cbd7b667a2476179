//! Verification of the audit: of the chain of hashes, and of the tables against the replayed
//! entries.
//!
//! The chain shows that no entry was changed. The comparison shows that no table was changed
//! without an entry.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::database::{Connection, Outcome, values};
use crate::error::StoreError;
use crate::registry::audit::details::{self, Details, Parts};
use crate::registry::audit::difference::AuditDifference;
use crate::registry::audit::entry::{AuditEntry, COLUMNS, entry};
use crate::registry::handle::Registry;

/// The number of entries read at a time.
const PIECE: u32 = 10_000;

/// The most differences that are listed; further ones are counted.
const MOST_LISTED: usize = 100;

/// The findings of a verification whose chain is intact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditCheck {
    /// The number of entries.
    pub entries: u64,
    /// The hash of the last one; empty if there is none.
    pub head: String,
    /// The number of entries older than format 4 of the database, which record nothing to compare
    /// the tables with.
    pub without_digests: u64,
    /// The number of models compared with the entries.
    pub models: u64,
    /// The number of versions compared with the entries.
    pub versions: u64,
    /// The number of differences between the tables and the entries.
    pub different: u64,
    /// The differences, at most a hundred of them.
    pub differences: Vec<AuditDifference>,
}

impl Registry {
    /// Recomputes the whole chain, and compares models, versions and verdicts with its entries.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] names the first entry that was edited, removed or moved;
    /// [`StoreError::Differs`] lists the differences between the tables and the entries;
    /// [`StoreError::Database`].
    pub fn verify_audit(&self) -> Result<AuditCheck, StoreError> {
        let check = self.check_audit()?;
        if check.different == 0 {
            return Ok(check);
        }
        Err(StoreError::Differs { different: check.different, differences: check.differences })
    }

    /// As [`Registry::verify_audit`], but returns differences instead of failing on them.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] or [`StoreError::Database`].
    pub fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        self.read("verify the audit", |connection| {
            let (mut check, mut expected, mut replay) = (AuditCheck::default(), 1, Replay::default());
            let query = format!("SELECT {COLUMNS} WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
            let tampered = |seq, problem: &str| StoreError::Tampered { seq, problem: problem.to_owned() };
            loop {
                let rows = connection.query(&query, values![expected, PIECE])?;
                if rows.is_empty() {
                    break;
                }
                for row in &rows {
                    let Ok(entry) = entry(row) else {
                        return Err(tampered(expected, "its content is not what this program writes").into());
                    };
                    if entry.seq != expected {
                        return Err(tampered(expected, "it was removed").into());
                    }
                    if entry.hash != entry.chained(&check.head) {
                        return Err(tampered(entry.seq, "it, or its place, was changed").into());
                    }
                    if !replay.take(&entry) {
                        return Err(tampered(entry.seq, "its content is not what this program writes").into());
                    }
                    expected += 1;
                    (check.entries, check.head) = (entry.seq, entry.hash);
                }
            }
            let head = connection.one("SELECT seq, hash FROM audit_head", &[])?;
            let (seq, hash): (u64, String) = (head.get(0)?, head.get(1)?);
            if seq > check.entries {
                return Err(tampered(check.entries + 1, "it was removed").into());
            }
            if hash != check.head || seq != check.entries {
                return Err(tampered(check.entries, "the chain does not end with the recorded head").into());
            }
            // No entry may have a position below 1, or none.
            let rows: u64 = connection.one("SELECT count(*) FROM audit", &[])?.get(0)?;
            if rows != check.entries {
                return Err(tampered(0, "there are entries outside of the chain").into());
            }
            check.without_digests = replay.without_digests;
            let Comparison { models, versions, different, differences } = replay.compare(connection)?;
            Ok(AuditCheck { models, versions, different, differences, ..check })
        })
    }
}

/// The state that results from the entries.
#[derive(Default)]
struct Replay {
    models: BTreeMap<String, ModelState>,
    /// A model between the two entries of its renaming.
    renamed: Option<ModelState>,
    /// The number of entries older than format 4, which record nothing to compare with.
    without_digests: u64,
}

#[derive(Default)]
struct ModelState {
    parts: Parts,
    versions: BTreeMap<u32, VersionState>,
    deployments: BTreeMap<u32, Parts>,
}

#[derive(Default)]
struct VersionState {
    parts: Parts,
    verdicts: Vec<Parts>,
}

/// The findings of a comparison.
#[derive(Default)]
struct Comparison {
    models: u64,
    versions: u64,
    different: u64,
    differences: Vec<AuditDifference>,
}

impl Replay {
    /// Applies the next entry. Returns false if its details are not in the form that this program
    /// writes.
    fn take(&mut self, entry: &AuditEntry) -> bool {
        let Some(details) = &entry.details else {
            self.without_digests += 1;
            return true;
        };
        let Ok(details) = serde_json::from_str::<Details>(details) else { return false };
        let model = || entry.model.clone();
        match (entry.action.as_str(), entry.version) {
            ("model.registered" | "model.recorded", _) => drop(self.models.insert(model(), ModelState::default())),
            ("model.deleted", _) => drop(self.models.remove(&entry.model)),
            ("model.renamed", _) if entry.old_state.is_none() => {
                self.renamed = self.models.remove(&entry.model);
                return true;
            }
            ("model.renamed", _) => {
                if let Some(state) = self.renamed.take() {
                    self.models.insert(model(), state);
                }
            }
            ("version.registered" | "version.recorded", Some(version)) => {
                self.models.entry(model()).or_default().versions.insert(version, VersionState::default());
            }
            ("version.deleted", Some(version)) => {
                if let Some(state) = self.models.get_mut(&entry.model) {
                    state.versions.remove(&version);
                }
            }
            _ => {}
        }
        if let Some(parts) = details.model {
            self.models.entry(model()).or_default().parts = parts;
        }
        if let (Some(parts), Some(version)) = (details.version, entry.version) {
            let state = self.models.entry(model()).or_default().versions.entry(version).or_default();
            state.parts.extend(parts);
            state.verdicts.extend(details.verdicts);
        }
        if let Some(parts) = details.deployment {
            let Some(number) = parts.get("number").and_then(|number| number.parse().ok()) else { return false };
            self.models.entry(model()).or_default().deployments.insert(number, parts);
        }
        true
    }

    /// Compares the tables with the state that results from the entries.
    fn compare(mut self, connection: &mut Connection) -> Outcome<Comparison> {
        let mut seen = Comparison::default();
        for row in connection.query("SELECT id, name FROM registered_models ORDER BY name", &[])? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            seen.models += 1;
            let Some(mut state) = self.models.remove(&name) else {
                seen.differ(&name, None, "model", None, Some("registered"));
                continue;
            };
            let found = details::of_model(connection, id)?;
            seen.parts(&name, None, "", &state.parts, &found);
            let versions = "SELECT id, version FROM versions WHERE model = ?1 ORDER BY version";
            for row in connection.query(versions, values![id])? {
                let (id, version): (i64, u32) = (row.get(0)?, row.get(1)?);
                seen.versions += 1;
                match state.versions.remove(&version) {
                    Some(expected) => compare_version(connection, &mut seen, (&name, version), &expected, id)?,
                    None => seen.differ(&name, Some(version), "version", None, Some("registered")),
                }
            }
            for version in state.versions.into_keys() {
                seen.differ(&name, Some(version), "version", Some("registered"), None);
            }
            compare_deployments(connection, &mut seen, &name, state.deployments, id)?;
        }
        for name in self.models.into_keys() {
            seen.differ(&name, None, "model", Some("registered"), None);
        }
        Ok(seen)
    }
}

fn compare_version(
    connection: &mut Connection,
    seen: &mut Comparison,
    (model, version): (&str, u32),
    expected: &VersionState,
    id: i64,
) -> Outcome<()> {
    let mut found = details::of_version(connection, id, true)?;
    if expected.parts.contains_key("rows") {
        found.insert("rows".to_owned(), details::rows_of(connection, id)?);
    }
    seen.parts(model, Some(version), "", &expected.parts, &found);
    let found = details::of_verdicts(connection, id)?;
    for place in 0..found.len().max(expected.verdicts.len()) {
        let name = format!("verdict {}", place + 1);
        match (expected.verdicts.get(place), found.get(place)) {
            (Some(expected), Some(found)) => seen.parts(model, Some(version), &format!("{name}: "), expected, found),
            (expected, found) => {
                let text = |parts: Option<&Parts>| parts.and_then(|parts| parts.get("verdict").cloned());
                seen.differ(model, Some(version), &name, text(expected).as_deref(), text(found).as_deref());
            }
        }
    }
    Ok(())
}

fn compare_deployments(
    connection: &mut Connection,
    seen: &mut Comparison,
    model: &str,
    mut expected: BTreeMap<u32, Parts>,
    id: i64,
) -> Outcome<()> {
    let status = |parts: &Parts| parts.get("status").cloned();
    let numbers = "SELECT number FROM deployments WHERE model = ?1 ORDER BY number";
    for row in connection.query(numbers, values![id])? {
        let number: u32 = row.get(0)?;
        let (name, found) = (format!("deployment {number}"), details::of_deployment(connection, id, number)?);
        match expected.remove(&number) {
            Some(expected) => seen.parts(model, None, &format!("{name}: "), &expected, &found),
            None => seen.differ(model, None, &name, None, status(&found).as_deref()),
        }
    }
    for (number, parts) in expected {
        seen.differ(model, None, &format!("deployment {number}"), status(&parts).as_deref(), None);
    }
    Ok(())
}

impl Comparison {
    fn parts(&mut self, model: &str, version: Option<u32>, prefix: &str, expected: &Parts, found: &Parts) {
        let mut names: Vec<&String> = expected.keys().chain(found.keys()).collect();
        names.sort();
        names.dedup();
        for name in names.into_iter().filter(|name| expected.get(*name) != found.get(*name)) {
            let text = |parts: &Parts| parts.get(name).cloned();
            self.differ(model, version, &format!("{prefix}{name}"), text(expected).as_deref(), text(found).as_deref());
        }
    }

    fn differ(&mut self, model: &str, version: Option<u32>, what: &str, expected: Option<&str>, found: Option<&str>) {
        self.different += 1;
        if self.differences.len() < MOST_LISTED {
            self.differences.push(AuditDifference {
                model: model.to_owned(),
                version,
                what: what.to_owned(),
                expected: expected.map(str::to_owned),
                found: found.map(str::to_owned),
            });
        }
    }
}
