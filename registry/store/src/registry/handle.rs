//! The registry as its users hold it: a shared database and the name of whoever acts.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::database::{Connection, Database, Outcome, OwnerLock, Scope};
use crate::error::StoreError;

/// Runs, stages and models, in one database. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    /// The name that the audit gives to whoever makes changes.
    pub(super) actor: Arc<str>,
    /// The number of the user on whose behalf it creates experiments and models, who manages them.
    pub(super) creator: Option<i64>,
}

struct Inner {
    database: Database,
    /// Taken when this process begins its first run or promotion.
    owner: Mutex<Option<OwnerLock>>,
}

impl Registry {
    pub(super) fn new(database: Database) -> Self {
        Self { inner: Arc::new(Inner { database, owner: Mutex::new(None) }), actor: "".into(), creator: None }
    }

    /// Returns the same registry, whose changes the audit attributes to `actor`, of which it keeps
    /// the first 200 characters.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self {
            inner: self.inner.clone(),
            actor: actor.chars().take(200).collect::<String>().into(),
            creator: self.creator,
        }
    }

    /// Returns where the database is: a path, or a URL without its password.
    pub fn place(&self) -> String {
        self.inner.database.place()
    }

    /// Returns whether it was opened only to be read.
    pub fn is_read_only(&self) -> bool {
        self.inner.database.is_read_only()
    }

    pub(super) fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Returns the name under which records say that they belong to this process, and takes the
    /// lock that shows that the process lives.
    pub(super) fn owner(&self) -> Result<String, StoreError> {
        // A panic elsewhere cannot leave the option half set.
        let mut owner = self.inner.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = &*owner {
            return Ok(owner.name());
        }
        let locked = self.inner.database.lock_owner()?;
        Ok(owner.insert(locked).name())
    }

    pub(super) fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        self.inner.database.read(action, query)
    }

    pub(super) fn write<T>(
        &self,
        action: &'static str,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        self.inner.database.write(action, scope, change)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("place", &self.place()).field("actor", &self.actor).finish()
    }
}

/// Returns the milliseconds since the epoch; 0 on a machine whose clock is set before it.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the steps of SQLite's plan for a query with this many parameters, whatever their values.
#[cfg(test)]
pub(super) fn steps_of(registry: &Registry, query: &str, parameters: usize) -> Vec<String> {
    let explained = registry.read("explain a query", |connection| {
        let rows = connection.query_once(&format!("EXPLAIN QUERY PLAN {query}"), &vec!["".into(); parameters])?;
        rows.iter().map(|row| Ok(row.get(3)?)).collect()
    });
    explained.expect("a plan")
}
