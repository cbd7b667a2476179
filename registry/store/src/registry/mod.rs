//! Runs and models: what happened, and what may serve.
//!
//! Owns one SQLite database in WAL mode with full synchronisation: a record that was made survives a loss of power. Every
//! change is one immediate transaction, so writers in any number of threads and processes queue instead of failing half
//! way with "database is locked". Artifacts are published before they are recorded, never after.
//!
//! Why SQLite and not files? Consecutive version numbers, compare-and-set of aliases and queries by run need transactions;
//! and nothing else that an edge host runs has to be installed for it.

mod models;
mod runs;
mod stages;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::artifact::count_fsync;
use crate::error::{StoreError, io_error};
use crate::liveness::{self, LifeLock};

pub use models::{AliasMove, CHAMPION, Model, ModelVersion, NewVersion, Verdict};
pub use runs::{NewRun, Run, RunId, RunStatus};
pub use stages::{ArtifactRecord, InputRecord, LogLine, MetricRecord, Stage, StageRecord};

/// The format of the database that this program writes: `PRAGMA user_version`.
const FORMAT: u32 = 1;

/// `MIGRATIONS[n]` leads from format `n` to `n + 1`.
const MIGRATIONS: [&str; FORMAT as usize] = [include_str!("schema.sql")];

/// How long a writer waits for others: longer than any queue of writers that are alive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs, stages and models, in one database. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// Where the life locks of processes with running runs are.
    locks: PathBuf,
    connection: Mutex<Connection>,
    /// Made when this process begins its first run.
    life: Mutex<Option<LifeLock>>,
}

impl Registry {
    /// Opens the database at `path`, which is made if missing, and marks the runs of dead processes as killed. Opening an
    /// existing database writes nothing unless there are such runs.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], [`StoreError::Database`] or [`StoreError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let locks = path.with_extension("live");
        fs::create_dir_all(&locks).map_err(io_error("create", &locks))?;
        let connection = connect(&path)?;
        let inner = Inner { path, locks, connection: Mutex::new(connection), life: Mutex::new(None) };
        let registry = Self { inner: Arc::new(inner) };
        registry.migrate()?;
        registry.kill_abandoned_runs()?;
        Ok(registry)
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn migrate(&self) -> Result<(), StoreError> {
        let format =
            |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
        let found = self.read("read the format", |connection| format(connection))?;
        if found == FORMAT {
            return Ok(());
        }
        let path = &self.inner.path;
        if found > FORMAT {
            return Err(StoreError::TooNew { path: path.clone(), found, known: FORMAT });
        }
        self.write("create the tables", |transaction| {
            // Somebody else may have been faster.
            let found = format(transaction).map_err(self.failed("read the format"))?;
            for migration in MIGRATIONS.iter().skip(found as usize) {
                transaction.execute_batch(migration).map_err(self.failed("create the tables"))?;
            }
            transaction.pragma_update(None, "user_version", FORMAT).map_err(self.failed("write the format"))
        })
    }

    /// Runs whose process has died are not running any more.
    fn kill_abandoned_runs(&self) -> Result<(), StoreError> {
        let dead = liveness::dead_locks(&self.inner.locks)?;
        let owners: Vec<String> = self.read("look for abandoned runs", |connection| {
            let mut statement = connection.prepare("SELECT DISTINCT owner FROM runs WHERE status = 'running'")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })?;
        let is_dead = |owner: &String| {
            dead.iter().any(|lock| lock.name() == *owner) || liveness::is_gone(&self.inner.locks.join(owner))
        };
        let abandoned: Vec<String> = owners.into_iter().filter(is_dead).collect();
        if !abandoned.is_empty() {
            self.write("mark abandoned runs", |transaction| {
                for owner in &abandoned {
                    transaction
                        .execute(
                            "UPDATE runs SET status = 'killed', ended_ms = ?2 WHERE status = 'running' AND owner = ?1",
                            (owner, now_ms()),
                        )
                        .map_err(self.failed("mark abandoned runs"))?;
                }
                Ok(())
            })?;
        }
        dead.into_iter().for_each(liveness::DeadLock::remove);
        Ok(())
    }

    /// The name of this process's life lock.
    fn owner(&self) -> Result<String, StoreError> {
        // A panic elsewhere cannot leave the option half set.
        let mut life = self.inner.life.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = &*life {
            return Ok(lock.name());
        }
        let lock = LifeLock::create(&self.inner.locks)?;
        Ok(life.insert(lock).name())
    }

    /// Reads under a lock on the connection.
    fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        query(&self.connection()).map_err(self.failed(action))
    }

    /// Runs `change` in an immediate transaction: all of it is kept, or, after an error, nothing.
    fn write<T>(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(self.failed(action))?;
        let result = change(&transaction)?;
        count_fsync();
        transaction.commit().map_err(self.failed(action))?;
        Ok(result)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic drops its transaction, which rolls it back.
        self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError + '_ {
        database_error(action, &self.inner.path)
    }

    fn bad_record(&self, problem: String) -> StoreError {
        StoreError::BadRecord { path: self.inner.path.clone(), problem }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| database_error("open the database", path)(error);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let began = Instant::now();
    loop {
        // The one statement that SQLite does not always queue: while another process makes the same change.
        let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match mode {
            Ok(_) => break,
            Err(error) if is_busy(&error) && began.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(failed(error)),
        }
    }
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    // The log is durable as it is; moving it into the database at every exit would cost two more waits for the disk.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    Ok(connection)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn database_error(action: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Database { action, path, source }
}

/// Milliseconds since the epoch; 0 on a machine whose clock stands before it.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
