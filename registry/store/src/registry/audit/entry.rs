//! Entries of the audit: adding and reading them.

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, Scope, Value, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::audit::details;
use crate::registry::handle::{Registry, now_ms};

/// An entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When the change was made, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Who made it.
    pub actor: String,
    /// The kind of change: `version.judged`, `version.transitioned`, `alias.moved`, ...
    pub action: String,
    /// The model's name.
    pub model: String,
    /// The version, if the entry is about one.
    pub version: Option<u32>,
    /// The state before the change.
    pub old_state: Option<String>,
    /// The state after the change.
    pub new_state: Option<String>,
    /// The reason.
    pub reason: String,
    /// The state of the model and the version after the change, as JSON (docs/formats/audit.md);
    /// `None` in entries older than format 4.
    pub details: Option<String>,
    /// SHA-256 over this entry and the hash before it, in hex.
    pub hash: String,
}

/// An entry before it is added to the chain.
pub(in crate::registry) struct NewEntry<'a> {
    pub(in crate::registry) action: &'static str,
    pub(in crate::registry) model: &'a str,
    pub(in crate::registry) version: Option<u32>,
    pub(in crate::registry) old_state: Option<String>,
    pub(in crate::registry) new_state: Option<String>,
    pub(in crate::registry) reason: &'a str,
    /// The number of the model's deployment that the entry is about.
    pub(in crate::registry) deployment: Option<u32>,
}

impl<'a> NewEntry<'a> {
    /// Creates an entry about a model or one of its versions.
    pub(in crate::registry) fn about(action: &'static str, model: &'a str, version: Option<u32>) -> Self {
        Self { action, model, version, old_state: None, new_state: None, reason: "", deployment: None }
    }

    /// Returns the same entry, about a deployment of the model too.
    pub(in crate::registry) fn of_deployment(self, number: u32) -> Self {
        Self { deployment: Some(number), ..self }
    }

    /// Returns the same entry with a change of state.
    pub(in crate::registry) fn states(self, old: Option<String>, new: Option<String>) -> Self {
        Self { old_state: old, new_state: new, ..self }
    }

    /// Returns the same entry with a reason.
    pub(in crate::registry) fn because(self, reason: &'a str) -> Self {
        Self { reason, ..self }
    }
}

impl AuditEntry {
    /// Returns the SHA-256 of the entry's JSON and the previous hash; see docs/formats/audit.md.
    pub(super) fn chained(&self, previous: &str) -> String {
        let Self { seq, at_ms, actor, action, model, version, old_state, new_state, reason, details, hash: _ } = self;
        let mut text =
            serde_json::json!([previous, seq, at_ms, actor, action, model, version, old_state, new_state, reason]);
        if let (Some(details), Some(values)) = (details, text.as_array_mut()) {
            values.push(serde_json::json!(details));
        }
        Digest::of(text.to_string().as_bytes()).to_hex()
    }
}

/// Adds an entry after its change was made. The entry records the resulting state.
pub(in crate::registry) fn append(connection: &mut Connection, actor: &str, entry: &NewEntry<'_>) -> Outcome<()> {
    let details = details::of(connection, entry.action, entry.model, (entry.version, entry.deployment))?;
    insert(connection, actor, now_ms(), entry, Some(serde_json::to_string(&details)?))
}

/// Adds an entry about a change in the past, to a database that has no column for details yet.
pub(in crate::registry) fn append_old(
    connection: &mut Connection,
    actor: &str,
    at_ms: i64,
    entry: &NewEntry<'_>,
) -> Outcome<()> {
    insert(connection, actor, at_ms, entry, None)
}

/// Adds entries that record the state of every model and version, to a database whose entries did
/// not record it before.
pub(in crate::registry) fn record_all(connection: &mut Connection) -> Outcome<()> {
    let reason = "recorded for format 4";
    for row in connection.query("SELECT id, name FROM registered_models ORDER BY name", &[])? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        append(connection, "", &NewEntry::about("model.recorded", &name, None).because(reason))?;
        let versions = "SELECT version FROM versions WHERE model = ?1 ORDER BY version";
        for row in connection.query(versions, values![id])? {
            let entry = NewEntry::about("version.recorded", &name, Some(row.get(0)?));
            append(connection, "", &entry.because(reason))?;
        }
    }
    Ok(())
}

fn insert(
    connection: &mut Connection,
    actor: &str,
    at_ms: i64,
    entry: &NewEntry<'_>,
    details: Option<String>,
) -> Outcome<()> {
    debug_assert_eq!(connection.scope(), Scope::Models, "the chain has one writer at a time");
    let head = connection.one("SELECT seq, hash FROM audit_head", &[])?;
    let (last, previous): (u64, String) = (head.get(0)?, head.get(1)?);
    let mut entry = AuditEntry {
        seq: last + 1,
        at_ms,
        actor: actor.to_owned(),
        action: entry.action.to_owned(),
        model: entry.model.to_owned(),
        version: entry.version,
        old_state: entry.old_state.clone(),
        new_state: entry.new_state.clone(),
        reason: entry.reason.to_owned(),
        details,
        hash: String::new(),
    };
    entry.hash = entry.chained(&previous);
    let AuditEntry { seq, actor, action, model, version, old_state, new_state, reason, hash, details, .. } = &entry;
    let (old_state, new_state) = (old_state.clone(), new_state.clone());
    let mut given = values![*seq, at_ms, actor, action, model, *version, old_state, new_state, reason, hash].to_vec();
    // The column is newer than the first entries.
    let (column, place) = if details.is_some() { (", details", ", ?11") } else { ("", "") };
    given.extend(details.as_ref().map(Value::from));
    connection.execute(
        &format!(
            "INSERT INTO audit (seq, at_ms, actor, action, model, version, old_state, new_state, reason, hash{column})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10{place})"
        ),
        &given,
    )?;
    connection.execute("UPDATE audit_head SET seq = ?1, hash = ?2", values![entry.seq, entry.hash])?;
    Ok(())
}

pub(in crate::registry) const COLUMNS: &str =
    "seq, at_ms, actor, action, model, version, old_state, new_state, reason, hash, details FROM audit";

pub(in crate::registry) fn entry(row: &Row) -> Outcome<AuditEntry> {
    Ok(AuditEntry {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        model: row.get(4)?,
        version: row.get(5)?,
        old_state: row.get(6)?,
        new_state: row.get(7)?,
        reason: row.get(8)?,
        hash: row.get(9)?,
        details: row.get(10)?,
    })
}

/// Returns the champion of a model by the entries before `end` and not after `at_ms`.
fn champion_before(connection: &mut Connection, model: &str, end: i64, at_ms: i64) -> Outcome<Option<u32>> {
    let query = format!("SELECT {COLUMNS} WHERE model = ?1 AND seq < ?2 AND at_ms <= ?3 ORDER BY seq");
    let mut champion = None;
    for row in connection.query(&query, values![model, end, at_ms])? {
        let entry = entry(&row)?;
        match (entry.action.as_str(), entry.old_state.as_deref(), entry.new_state.as_deref()) {
            ("version.transitioned", _, Some("production")) => champion = entry.version,
            ("version.transitioned" | "version.deleted", ..) if champion == entry.version => champion = None,
            // Since format 2, only clients' versions have this alias.
            ("alias.moved", _, Some(state)) if entry.details.is_none() && state.starts_with("champion -> ") => {
                champion = entry.version
            }
            ("model.deleted", ..) => champion = None,
            // The entry with the old name is the one before. Positions decrease with every name, so
            // that this ends.
            ("model.renamed", Some(old), _) => {
                champion = champion_before(connection, old, row.get::<i64>(0)? - 1, at_ms)?
            }
            ("model.renamed", None, _) => champion = None,
            _ => {}
        }
    }
    Ok(champion)
}

impl Registry {
    /// Adds an entry, in the transaction of the change that it is about.
    pub(in crate::registry) fn audit(&self, connection: &mut Connection, entry: &NewEntry<'_>) -> Outcome<()> {
        append(connection, &self.actor, entry)
    }

    /// Returns the entries about a model, or about one version of it, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn audit_of(&self, model: &str, version: Option<u32>) -> Result<Vec<AuditEntry>, StoreError> {
        self.read("read the audit", |connection| {
            let query = format!(
                "SELECT {COLUMNS} WHERE model = ?1 AND (CAST(?2 AS BIGINT) IS NULL OR version = ?2) ORDER BY seq"
            );
            connection.query(&query, values![model, version])?.iter().map(entry).collect()
        })
    }

    /// Returns the latest entries, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn audit_entries(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.read("read the audit", |connection| {
            let query = format!("SELECT {COLUMNS} ORDER BY seq DESC LIMIT ?1");
            connection.query(&query, values![limit])?.iter().map(entry).collect()
        })
    }

    /// Returns the version of a model that was in production at a time, by the audit. Works for a
    /// deleted model, and for one that was renamed.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn champion_at(&self, model: &str, at_ms: i64) -> Result<Option<u32>, StoreError> {
        self.read("read the audit", |connection| champion_before(connection, model, i64::MAX, at_ms))
    }

    /// Returns whether the chain contains this hash. The hash of the empty chain, an empty text, is
    /// part of every chain.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn audit_contains(&self, hash: &str) -> Result<bool, StoreError> {
        self.read("read the audit", |connection| {
            let query = "SELECT EXISTS (SELECT 1 FROM audit WHERE hash = ?1)";
            Ok(hash.is_empty() || connection.one(query, values![hash])?.get(0)?)
        })
    }

    /// Returns the hash of the last entry; empty if there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn audit_head(&self) -> Result<String, StoreError> {
        self.read("read the audit", |connection| Ok(connection.one("SELECT hash FROM audit_head", &[])?.get(0)?))
    }
}
