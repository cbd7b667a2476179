//! Hooks: how far each was told of changes of champions.
//!
//! The audit is the list of what hooks are told: it is in order, and an entry is added in the
//! transaction of the change itself. So there is no list of messages to be sent. A hook has a place
//! in the audit, up to which it was told. A process takes the hook, tells it of the next change,
//! and moves its place. If it dies in between, another tells of the change again: at least once,
//! and in order.
//!
//! A process holds a hook until a time, so that one that died holds nobody up for long. Clocks of
//! hosts differ, and a process may be slower than it promised; then two tell of the same change.
//! A time that is farther away than anybody may hold a hook was set by a clock that was wrong, and
//! does not count. Moving a place never moves it back.

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::{AuditEntry, COLUMNS, entry};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::random_id;

/// The most characters of a failure's reason that are kept.
const LONGEST_REASON: usize = 500;

/// The longest time for which a hook is held, in milliseconds: two hours. An attempt takes an hour
/// at most.
const LONGEST_HOLD_MS: i64 = 2 * 3_600_000;

/// How a champion changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChampionChangeKind {
    /// A version became champion.
    Promoted,
    /// A former champion became champion again.
    RolledBack,
    /// The champion left production without a successor.
    Retired,
}

impl ChampionChangeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Promoted, Self::RolledBack, Self::Retired];

    /// Returns its name: `promoted`, `rolled-back`, `retired`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Retired => "retired",
        }
    }
}

/// A change of a model's champion, by the audit.
#[derive(Clone, Debug, PartialEq)]
pub struct ChampionChange {
    /// How it changed.
    pub kind: ChampionChangeKind,
    /// The entry of the audit.
    pub entry: AuditEntry,
    /// The version that was champion before; `None` if there was none. Of a retirement, the entry's
    /// version.
    pub previous: Option<u32>,
    /// Where the version was copied to, by URI.
    pub destinations: Vec<ChangedDestination>,
}

/// A production location that a change concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedDestination {
    /// The location, without secrets.
    pub uri: String,
    /// Whether its pointer was moved; of a retirement, removed.
    pub is_done: bool,
}

/// How far a hook was told of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookProgress {
    /// The hook's name.
    pub name: String,
    /// The place in the audit up to which it was told.
    pub place: u64,
    /// When it was last told of a change, in milliseconds since the epoch.
    pub delivered_ms: Option<i64>,
    /// The attempts to tell it of the next change that failed.
    pub failures: u32,
    /// When the next attempt is due, in milliseconds since the epoch.
    pub next_ms: i64,
    /// Why the last attempt failed; `None` after one that did not.
    pub error: Option<String>,
    /// Until when a process that is telling it holds it, in milliseconds since the epoch.
    pub held_until_ms: Option<i64>,
}

/// A hook that this process holds.
#[derive(Debug)]
pub struct HeldHook {
    name: String,
    holder: String,
}

impl Registry {
    /// Records hooks that are not known yet. They are told of what comes after `place` of the
    /// audit; `None`: after its last entry of today. Writes nothing if all are known.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn begin_hooks(&self, names: &[&str], place: Option<u64>) -> Result<(), StoreError> {
        let known: Vec<String> = self.hooks()?.into_iter().map(|hook| hook.name).collect();
        let new: Vec<&str> = names.iter().copied().filter(|name| !known.iter().any(|it| it == name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.write("begin hooks", Scope::Models, |connection| {
            let last: u64 = connection.one("SELECT seq FROM audit_head", &[])?.get(0)?;
            for name in &new {
                let insert = "INSERT INTO hooks (name, place, failures, next_ms) VALUES (?1, ?2, 0, 0)
                    ON CONFLICT (name) DO NOTHING";
                connection.execute(insert, values![*name, place.unwrap_or(last)])?;
            }
            Ok(())
        })
    }

    /// Returns the hooks that were ever begun, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn hooks(&self) -> Result<Vec<HookProgress>, StoreError> {
        self.read("read hooks", |connection| {
            let query =
                "SELECT name, place, delivered_ms, failures, next_ms, error, held_until_ms FROM hooks ORDER BY name";
            connection.query(query, &[])?.iter().map(progress).collect()
        })
    }

    /// Returns the changes of champions after a place of the audit, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn champion_changes(&self, after: u64, limit: usize) -> Result<Vec<ChampionChange>, StoreError> {
        self.read("read changes of champions", |connection| {
            // The condition of the index `audit_champions`, as it stands there.
            let query = format!(
                "SELECT {COLUMNS} WHERE seq > ?1 AND ((action = 'version.transitioned' AND new_state = 'production')
                 OR action = 'model.retired') ORDER BY seq LIMIT ?2"
            );
            let rows = connection.query(&query, values![after, limit])?;
            rows.iter().map(|row| change(connection, entry(row)?)).collect()
        })
    }

    /// Returns the number of changes of champions after a place of the audit.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn count_champion_changes(&self, after: u64) -> Result<u64, StoreError> {
        self.read("count changes of champions", |connection| {
            let query = "SELECT count(*) FROM audit WHERE seq > ?1 AND
                ((action = 'version.transitioned' AND new_state = 'production') OR action = 'model.retired')";
            Ok(connection.one(query, values![after])?.get(0)?)
        })
    }

    /// Returns the hash of the audit's first entry, by which registries differ; `None` while the
    /// audit is empty. A copy of a registry has the same.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn first_hash(&self) -> Result<Option<String>, StoreError> {
        self.read("read the audit", |connection| {
            let first = connection.first("SELECT hash FROM audit ORDER BY seq LIMIT 1", &[])?;
            Ok(first.map(|row| row.get(0)).transpose()?)
        })
    }

    /// Takes a hook until a time, in milliseconds since the epoch, for two hours at most. `None` if
    /// another process holds it, or it was never begun.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn hold_hook(&self, name: &str, until_ms: i64) -> Result<Option<HeldHook>, StoreError> {
        let holder = random_id()?;
        self.write("take a hook", Scope::Runs, |connection| {
            let now = now_ms();
            let longest = now.saturating_add(LONGEST_HOLD_MS);
            let update = "UPDATE hooks SET holder = ?2, held_until_ms = ?3
                WHERE name = ?1 AND (held_until_ms IS NULL OR held_until_ms < ?4 OR held_until_ms > ?5)";
            let taken = connection.execute(update, values![name, &holder, until_ms.min(longest), now, longest])?;
            Ok((taken == 1).then(|| HeldHook { name: name.to_owned(), holder }))
        })
    }

    /// Lets another process take a hook.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn release_hook(&self, held: HeldHook) -> Result<(), StoreError> {
        let update = "UPDATE hooks SET holder = NULL, held_until_ms = NULL WHERE name = ?1 AND holder = ?2";
        self.write("let go of a hook", Scope::Runs, |connection| {
            connection.execute(update, values![held.name, held.holder])?;
            Ok(())
        })
    }

    /// Records that a hook was told of a change, or is not to be told of it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn hook_told(&self, name: &str, place: u64, is_delivered: bool) -> Result<(), StoreError> {
        // Whoever holds the hook now: two that told of the same change agree that it was told.
        let update = "UPDATE hooks SET place = ?2, failures = 0, next_ms = 0, error = NULL,
            delivered_ms = coalesce(CAST(?3 AS BIGINT), delivered_ms) WHERE name = ?1 AND place < ?2";
        self.write("move a hook on", Scope::Runs, |connection| {
            connection.execute(update, values![name, place, is_delivered.then(now_ms)])?;
            Ok(())
        })
    }

    /// Records that an attempt to tell a hook of its next change failed, and when the next one is
    /// due.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn hook_failed(&self, held: &HeldHook, next_ms: i64, reason: &str) -> Result<(), StoreError> {
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let update =
            "UPDATE hooks SET failures = failures + 1, next_ms = ?3, error = ?4 WHERE name = ?1 AND holder = ?2";
        self.write("record an attempt of a hook", Scope::Runs, |connection| {
            connection.execute(update, values![&held.name, &held.holder, next_ms, reason])?;
            Ok(())
        })
    }
}

fn progress(row: &Row) -> Outcome<HookProgress> {
    Ok(HookProgress {
        name: row.get(0)?,
        place: row.get(1)?,
        delivered_ms: row.get(2)?,
        failures: row.get(3)?,
        next_ms: row.get(4)?,
        error: row.get(5)?,
        held_until_ms: row.get(6)?,
    })
}

/// Returns the change that an entry records.
fn change(connection: &mut Connection, entry: AuditEntry) -> Outcome<ChampionChange> {
    let is_retirement = entry.action == "model.retired";
    // A promotion archives the champion before it by the entry before its own. A retirement's
    // promotions are those that remove pointers; their place is that of the entry before, too.
    let place = if is_retirement { entry.seq - 1 } else { entry.seq };
    let mut destinations: Vec<ChangedDestination> = Vec::new();
    let mut is_rollback = false;
    let query = "SELECT destination, state, rollback FROM promotions
        WHERE completed = ?1 AND retirement = ?2 AND state IN ('current', 'finished') ORDER BY destination, id";
    for row in connection.query(query, values![place, is_retirement])? {
        let (uri, state): (String, String) = (row.get(0)?, row.get(1)?);
        is_rollback |= row.get::<bool>(2)?;
        if !uri.is_empty() {
            destinations.push(ChangedDestination { uri, is_done: state == "finished" });
        }
    }
    let before = "SELECT version FROM audit WHERE seq = ?1 AND model = ?2 AND action = 'version.transitioned'
        AND old_state = 'production' AND new_state = 'archived'";
    let previous = match is_retirement {
        true => entry.version,
        false => match connection.first(before, values![entry.seq - 1, &entry.model])? {
            Some(row) => row.get(0)?,
            None => None,
        },
    };
    let kind = match (is_retirement, is_rollback) {
        (true, _) => ChampionChangeKind::Retired,
        (false, true) => ChampionChangeKind::RolledBack,
        (false, false) => ChampionChangeKind::Promoted,
    };
    Ok(ChampionChange { kind, entry, previous, destinations })
}
