//! Runs and models: what happened, and what may serve.
//!
//! Owns one database, SQLite or PostgreSQL ([`crate::database`]). Every change is one transaction; artifacts are published
//! before they are recorded, never after. Every change of a model leaves an entry in the audit chain, in the same
//! transaction.
//!
//! - runs: [`runs`], [`logging`], [`stages`], [`experiments`]
//! - models: [`models`], [`versions`], [`row_memory`], [`verdicts`], [`lifecycle`], [`aliases`], [`promotions`],
//!   [`retirement`]
//! - across: [`audit`], [`find`] (searches), [`reachable`] (what garbage collection must leave)
//!
//! Why a database and not files? Consecutive version numbers, compare-and-set of aliases and searches need transactions;
//! and SQLite needs nothing to be installed on an edge host.

mod aliases;
pub(crate) mod audit;
mod details;
mod experiments;
mod find;
mod imports;
mod lifecycle;
mod lineage;
mod logging;
mod models;
mod promotions;
mod reachable;
mod replay;
mod retirement;
pub(crate) mod row_memory;
mod runs;
mod stages;
mod verdicts;
mod versions;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::database::{Connection, Database, Life, Outcome, Scope, without_password};
use crate::error::StoreError;

pub use aliases::CHAMPION;
pub use audit::{AuditCheck, AuditEntry};
pub use experiments::Experiment;
pub use find::{Page, ViewType};
pub use imports::ImportedRun;
pub use lifecycle::LifecycleStage;
pub use lineage::{ArtifactUse, UseKind};
pub use logging::{LoggedMetric, MetricPoint};
pub use models::{Model, NewModel};
pub use promotions::{Promotion, PromotionRequest, PromotionState};
pub use replay::AuditDifference;
pub use row_memory::RowMemory;
pub use runs::{NewRun, Run, RunId, RunStatus};
pub use stages::{ArtifactRecord, CACHED, FAILED, FINISHED, InputRecord, LogLine, MetricRecord, StageRecord};
pub use verdicts::{JudgedAgainst, NewVerdict, PERSON, Verdict, VerdictReason, VersionVerdict};
pub use versions::{ModelVersion, NewVersion, Numbering, Reference, Registration, SOURCE_TAG};

/// The most bytes in the name of a model, an alias or an experiment's run.
const MAX_NAME_BYTES: usize = 128;

/// Runs, stages and models, in one database. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    /// Whom the audit names.
    actor: Arc<str>,
}

struct Inner {
    database: Database,
    /// Made when this process begins its first run or promotion.
    life: Mutex<Option<Life>>,
}

impl Registry {
    /// Opens the SQLite database at `path`, which is made if missing, and settles what dead processes left: their runs are
    /// killed, their promotions undone. Opening a database writes nothing unless there is something of that kind.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], [`StoreError::Database`] or [`StoreError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::over(Database::open_file(path.into())?)
    }

    /// The same, of a PostgreSQL database by its URL, `postgresql://USER@HOST/DATABASE`.
    ///
    /// # Errors
    /// As [`Registry::open`]; [`StoreError::BadRegistryUrl`] for another URL, or where this program was built without it.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, None)
    }

    /// The same, with the password to use if the URL has none; without either, that of the variable `PGPASSWORD`.
    ///
    /// # Errors
    /// As [`Registry::connect`].
    pub fn connect_with(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        if !is_url(url) {
            return Err(StoreError::BadRegistryUrl {
                url: shortened(&without_password(url)),
                built: cfg!(feature = "postgres"),
            });
        }
        #[cfg(feature = "postgres")]
        return Self::over(Database::open_server(url, password)?);
        #[cfg(not(feature = "postgres"))]
        let _ = password;
        #[cfg(not(feature = "postgres"))]
        Err(StoreError::BadRegistryUrl { url: "postgresql:".into(), built: false })
    }

    fn over(database: Database) -> Result<Self, StoreError> {
        let inner = Inner { database, life: Mutex::new(None) };
        let registry = Self { inner: Arc::new(inner), actor: "".into() };
        registry.settle_abandoned()?;
        Ok(registry)
    }

    /// The same registry, whose changes the audit attributes to `actor`.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self { inner: self.inner.clone(), actor: actor.chars().take(200).collect::<String>().into() }
    }

    /// Where it is: a path, or a URL without its password.
    pub fn place(&self) -> String {
        self.inner.database.place()
    }

    /// What processes that have died were at: their runs are not running any more, their promotions not intended.
    fn settle_abandoned(&self) -> Result<(), StoreError> {
        let owners: Vec<String> = self.read("look for abandoned runs", |connection| {
            let owners = "SELECT owner FROM runs WHERE status = 'running'
                UNION SELECT owner FROM promotions WHERE state = 'intended' UNION SELECT owner FROM collections";
            connection.query(owners, &[])?.iter().map(|row| Ok(row.get(0)?)).collect()
        })?;
        let dead = self.inner.database.dead(&owners)?;
        if dead.is_empty() {
            return Ok(());
        }
        self.write("settle what dead processes left", Scope::Models, |connection| {
            for owner in &dead {
                runs::kill_abandoned(connection, owner)?;
                promotions::settle_abandoned(connection, owner)?;
            }
            Ok(())
        })
    }

    /// The name of this process's life.
    fn owner(&self) -> Result<String, StoreError> {
        // A panic elsewhere cannot leave the option half set.
        let mut life = self.inner.life.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = &*life {
            return Ok(life.name());
        }
        let begun = self.inner.database.begin_life()?;
        Ok(life.insert(begun).name())
    }

    fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        self.inner.database.read(action, query)
    }

    fn write<T>(
        &self,
        action: &'static str,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        self.inner.database.write(action, scope, change)
    }

    /// Adds an entry to the audit, in the transaction of what it tells of.
    fn audit(&self, connection: &mut Connection, entry: &audit::NewEntry<'_>) -> Outcome<()> {
        audit::append(connection, &self.actor, entry)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("place", &self.place()).field("actor", &self.actor).finish()
    }
}

/// Whether this names a database on a server, and not a file.
pub(crate) fn is_url(place: &str) -> bool {
    place.starts_with("postgresql://") || place.starts_with("postgres://")
}

/// Milliseconds since the epoch; 0 on a machine whose clock stands before it.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Models and aliases are named by identifiers: they are parts of paths and URLs.
fn check_name(what: &'static str, name: &str) -> Result<(), StoreError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let dots = name.bytes().all(|byte| byte == b'.');
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) && !dots {
        Ok(())
    } else {
        Err(StoreError::BadName { what, name: shortened(name) })
    }
}

/// The most bytes in a tag's name and value: MLflow's.
const MAX_TAG_NAME: usize = 250;
const MAX_TAG_VALUE: usize = 100_000;

/// Names of tags, parameters and metrics are free text, within limits.
fn check_key(what: &'static str, name: &str, value: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > MAX_TAG_NAME || name.contains('\0') {
        return Err(StoreError::BadKey { what, name: shortened(name), limit: MAX_TAG_NAME });
    }
    if value.len() > MAX_TAG_VALUE || value.contains('\0') {
        return Err(StoreError::BadKeyValue { what, name: shortened(name), limit: MAX_TAG_VALUE });
    }
    Ok(())
}

/// A name as errors cite it: whatever was typed or read begins no line in them.
fn shortened(name: &str) -> String {
    stagewright_text::Untrusted::new(name).cut(200).to_string()
}

/// A random identifier of 32 lower-case hex digits, as MLflow's.
fn random_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random { problem: error.to_string() })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The steps in which SQLite answers a query of so many parameters, whatever they are.
#[cfg(test)]
fn steps_of(registry: &Registry, query: &str, parameters: usize) -> Vec<String> {
    let explained = registry.read("explain a query", |connection| {
        let rows = connection.query_once(&format!("EXPLAIN QUERY PLAN {query}"), &vec!["".into(); parameters])?;
        rows.iter().map(|row| Ok(row.get(3)?)).collect()
    });
    explained.expect("a plan")
}
