//! The audit, replayed: what its entries say that stands, against what stands in the tables.
//!
//! The chain shows that nobody changed an entry; this shows that nobody changed a table behind the entries' back.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::database::{Connection, Outcome, values};
use crate::registry::audit::AuditEntry;
use crate::registry::details::{self, Details, Parts};

/// More differences than this are counted and not listed.
const MOST_LISTED: usize = 100;

/// A part of a model, a version or a verdict that is not what the audit says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditDifference {
    /// The model.
    pub model: String,
    /// The version, where one is concerned.
    pub version: Option<u32>,
    /// Which of its parts: `stage`, `metrics`, `verdict 2: record`, ...; `model` or `version`: whether it is there at all.
    pub what: String,
    /// The state by the audit: a text, or the digest of rows; `None`: that it is not there.
    pub expected: Option<String>,
    /// The state in the tables; `None`: it is not there.
    pub found: Option<String>,
}

impl fmt::Display for AuditDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |text: &Option<String>| match text {
            Some(text) => format!("`{text}`"),
            None => "not there".to_owned(),
        };
        write!(f, "model `{}`", self.model)?;
        if let Some(version) = self.version {
            write!(f, ", version {version}")?;
        }
        write!(f, ": `{}` is {}, the audit says {}", self.what, said(&self.found), said(&self.expected))
    }
}

/// The state that entries add up to.
#[derive(Default)]
pub(super) struct Replay {
    models: BTreeMap<String, ModelState>,
    /// A model between the two entries of its renaming.
    renamed: Option<ModelState>,
    /// Entries of before format 4, which say nothing that can be compared.
    pub(super) without_digests: u64,
}

#[derive(Default)]
struct ModelState {
    parts: Parts,
    versions: BTreeMap<u32, VersionState>,
}

#[derive(Default)]
struct VersionState {
    parts: Parts,
    verdicts: Vec<Parts>,
}

/// The findings of a comparison.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) models: u64,
    pub(super) versions: u64,
    pub(super) different: u64,
    pub(super) differences: Vec<AuditDifference>,
}

impl Replay {
    /// Takes the next entry over; false if its details are none that this program writes.
    pub(super) fn take(&mut self, entry: &AuditEntry) -> bool {
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
        true
    }

    /// Compares what stands in the tables with what the entries say.
    pub(super) fn compare(mut self, connection: &mut Connection) -> Outcome<Comparison> {
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
                    Some(said) => compare_version(connection, &mut seen, (&name, version), &said, id)?,
                    None => seen.differ(&name, Some(version), "version", None, Some("registered")),
                }
            }
            for version in state.versions.into_keys() {
                seen.differ(&name, Some(version), "version", Some("registered"), None);
            }
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
    said: &VersionState,
    id: i64,
) -> Outcome<()> {
    let mut found = details::of_version(connection, id)?;
    if said.parts.contains_key("rows") {
        found.insert("rows".to_owned(), details::rows_of(connection, id)?);
    }
    seen.parts(model, Some(version), "", &said.parts, &found);
    let found = details::of_verdicts(connection, id)?;
    for place in 0..found.len().max(said.verdicts.len()) {
        let name = format!("verdict {}", place + 1);
        match (said.verdicts.get(place), found.get(place)) {
            (Some(said), Some(found)) => seen.parts(model, Some(version), &format!("{name}: "), said, found),
            (said, found) => {
                let text = |parts: Option<&Parts>| parts.and_then(|parts| parts.get("verdict").cloned());
                seen.differ(model, Some(version), &name, text(said).as_deref(), text(found).as_deref());
            }
        }
    }
    Ok(())
}

impl Comparison {
    fn parts(&mut self, model: &str, version: Option<u32>, prefix: &str, said: &Parts, found: &Parts) {
        let mut names: Vec<&String> = said.keys().chain(found.keys()).collect();
        names.sort();
        names.dedup();
        for name in names.into_iter().filter(|name| said.get(*name) != found.get(*name)) {
            let text = |parts: &Parts| parts.get(name).cloned();
            self.differ(model, version, &format!("{prefix}{name}"), text(said).as_deref(), text(found).as_deref());
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
