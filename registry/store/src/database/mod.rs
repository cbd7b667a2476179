//! The database under the registry: SQLite in one file, or PostgreSQL by URL; one schema, one set of statements.
//!
//! Owns connections, transactions, migrations and the translation of what differs. Statements are written once, in the SQL
//! that both understand, with SQLite's numbered parameters (`?1`). Everything above speaks of records, not of databases.
//!
//! - [`Database::read`]: a query, on a connection of its own.
//! - [`Database::write`]: a transaction that waits for other writers instead of failing with "database is locked".
//! - [`Scope`]: what a transaction changes. Changes of models happen one after another, also on PostgreSQL, so that
//!   version numbers, aliases and the audit chain are consecutive; runs are logged side by side there.
//!
//! Why not an ORM, or sqlx's `Any`? The registry's statements are few and must be the same on both; what is needed of a
//! driver is three calls, and both drivers below are synchronous, as the registry's callers are.

mod migrations;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;
mod url;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::artifact::count_fsync;
use crate::error::StoreError;
use crate::liveness::LifeLock;

pub(crate) use migrations::FORMAT;
pub(crate) use url::without_password;
pub(crate) use value::{Row, Value, values};

/// What a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Runs and what is logged of them.
    Runs,
    /// Models, versions, aliases, the audit chain: one change at a time.
    Models,
}

/// What a database said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// SQLite refused.
    #[error("{source}{}", sqlite::hint(source))]
    Sqlite {
        /// What it said.
        #[from]
        source: rusqlite::Error,
    },
    /// PostgreSQL refused, or cannot be reached.
    #[cfg(feature = "postgres")]
    #[error("{}{}", postgres::text(source), postgres::hint(source))]
    Postgres {
        /// What it said.
        #[from]
        source: ::postgres::Error,
    },
    /// The URL names no database that this program knows.
    #[error("{problem}")]
    Url {
        /// What is wrong, with a hint.
        problem: String,
    },
}

impl DatabaseError {
    /// Whether the connection is to blame, and another one may do.
    fn is_of_connection(&self) -> bool {
        #[cfg(feature = "postgres")]
        if let Self::Postgres { source } = self {
            return postgres::was_cut(source);
        }
        false
    }
}

/// Why a reading or a change came to nothing: what the closures of [`Database`] fail with.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed.
    Database(DatabaseError),
    /// A row holds what nothing ever wrote there.
    Record(String),
    /// The change was refused.
    Refused(StoreError),
}

impl<E: Into<DatabaseError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<value::Mismatch> for Failure {
    fn from(mismatch: value::Mismatch) -> Self {
        Self::Record(mismatch.0)
    }
}

impl From<crate::DigestParseError> for Failure {
    fn from(error: crate::DigestParseError) -> Self {
        Self::Record(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Record(error.to_string())
    }
}

/// What a closure of [`Database`] returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Where the database is.
#[derive(Clone)]
enum Location {
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Server(Box<postgres::Server>),
}

/// A database that is open.
pub(crate) struct Database {
    location: Location,
    pool: pool::Pool,
    /// Writers of this process queue here rather than in SQLite, which lets waiters poll.
    writing: Mutex<()>,
}

/// One connection.
pub(crate) struct Connection {
    backend: Backend,
    /// What the transaction at work changes.
    scope: Scope,
}

enum Backend {
    Sqlite(sqlite::Connection),
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Connection>),
}

/// Says that this process lives, to whoever opens the same database.
#[derive(Debug)]
pub(crate) enum Life {
    /// By a locked file beside the database's.
    File(LifeLock),
    /// By a lock that a connection holds.
    #[cfg(feature = "postgres")]
    Session(postgres::Life),
}

impl Life {
    /// What records name this process by.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(lock) => lock.name(),
            #[cfg(feature = "postgres")]
            Self::Session(life) => life.name(),
        }
    }
}

impl Connection {
    /// Runs a statement; how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.execute(sql, parameters),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.execute(sql, parameters),
        }
    }

    /// Runs a query; all its rows.
    pub(crate) fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.query(sql, parameters),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.query(sql, parameters),
        }
    }

    /// Runs a query whose text is made for this once, so that it is not kept prepared.
    pub(crate) fn query_once(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.query_once(sql, parameters),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.query_once(sql, parameters),
        }
    }

    /// The first row of a query, if it has one.
    pub(crate) fn first(&mut self, sql: &str, parameters: &[Value]) -> Result<Option<Row>, DatabaseError> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// The only row of a query that always has one.
    pub(crate) fn one(&mut self, sql: &str, parameters: &[Value]) -> Outcome<Row> {
        let row = self.first(sql, parameters)?;
        row.ok_or_else(|| Failure::Record(format!("a query has no row: {sql}")))
    }

    /// Whether changes of models are let through one at a time now.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// The dialect, for the few statements that differ.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.backend, Backend::Sqlite(_))
    }

    /// Runs statements without parameters.
    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.batch(sql),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.batch(sql),
        }
    }

    /// Runs a statement that moves between transactions: as often as any other, so that SQLite
    /// keeps it prepared.
    fn moves(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.execute(sql, &[]).map(drop),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.batch(sql),
        }
    }

    /// A transaction that only reads: it sees one state of the database.
    fn begin_reading(&mut self) -> Result<(), DatabaseError> {
        self.moves(if self.is_sqlite() { "BEGIN" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" })
    }

    fn roll_back(&mut self) -> Result<(), DatabaseError> {
        self.moves("ROLLBACK")
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        self.moves("COMMIT")
    }

    fn begin(&mut self, scope: Scope) -> Result<(), DatabaseError> {
        self.scope = scope;
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.execute("BEGIN IMMEDIATE", &[]).map(drop),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.begin(scope),
        }
    }

    /// Whether it can be used again.
    fn is_usable(&self) -> bool {
        match &self.backend {
            Backend::Sqlite(connection) => connection.is_idle(),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => !connection.is_closed(),
        }
    }
}

impl Database {
    /// Opens a SQLite file, which is made if missing. Writes nothing to a database of today's format.
    pub(crate) fn open_file(path: PathBuf) -> Result<Self, StoreError> {
        own_file(&path).map_err(crate::error::io_error("open", &path))?;
        Self::open(Location::File(path))
    }

    /// Opens a PostgreSQL database by URL: `postgresql://user:password@host:port/database?sslmode=require`.
    #[cfg(feature = "postgres")]
    pub(crate) fn open_server(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let server = postgres::Server::parse(url, password);
        let server = server.map_err(|source| StoreError::Database {
            action: "understand the registry's URL",
            place: without_password(url),
            source,
        })?;
        Self::open(Location::Server(Box::new(server)))
    }

    fn open(location: Location) -> Result<Self, StoreError> {
        let database = Self { location, pool: pool::Pool::default(), writing: Mutex::default() };
        database.migrate()?;
        Ok(database)
    }

    /// What people know it by: a path, or a URL without its password.
    pub(crate) fn place(&self) -> String {
        match &self.location {
            Location::File(path) => path.display().to_string(),
            #[cfg(feature = "postgres")]
            Location::Server(server) => server.place(),
        }
    }

    /// Reads on a connection of its own, in one transaction: what is read belongs together.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        let work = || {
            let mut connection = self.begun(Connection::begin_reading)?;
            let result = query(&mut connection);
            if connection.roll_back().is_ok() {
                connection.keep();
            }
            result
        };
        work().map_err(|failure| self.error(action, failure))
    }

    /// Changes in a transaction: all of it is kept, so that it survives a loss of power, or, after an error, nothing.
    pub(crate) fn write<T>(
        &self,
        action: &'static str,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        let _queue = matches!(self.location, Location::File(_)).then(|| lock(&self.writing));
        let work = || {
            let mut connection = self.begun(|connection| connection.begin(scope))?;
            // After a panic the connection is closed, which rolls back.
            match change(&mut connection) {
                Ok(changed) => {
                    count_fsync();
                    connection.commit()?;
                    connection.keep();
                    Ok(changed)
                }
                Err(failure) => {
                    if connection.roll_back().is_ok() {
                        connection.keep();
                    }
                    Err(failure)
                }
            }
        };
        work().map_err(|failure| self.error(action, failure))
    }

    /// A life for this process; see [`Life`].
    pub(crate) fn begin_life(&self) -> Result<Life, StoreError> {
        match &self.location {
            Location::File(path) => Ok(Life::File(LifeLock::create(&life_directory(path)?)?)),
            #[cfg(feature = "postgres")]
            Location::Server(server) => {
                let life = postgres::Life::begin(server);
                life.map(Life::Session).map_err(|error| self.error("begin a session", error.into()))
            }
        }
    }

    /// Which of these processes have died. They stay marked until the function returned is called.
    pub(crate) fn dead(&self, owners: &[String]) -> Result<Vec<String>, StoreError> {
        match &self.location {
            Location::File(path) => {
                let directory = life_directory(path)?;
                let dead = crate::liveness::dead_locks(&directory)?;
                let is_dead = |owner: &&String| {
                    dead.iter().any(|lock| lock.name() == **owner) || crate::liveness::is_gone(&directory.join(owner))
                };
                let gone = owners.iter().filter(is_dead).cloned().collect();
                // A lock whose records somebody else cleans up at the same time is no loss: a record without one is dead.
                dead.into_iter().for_each(crate::liveness::DeadLock::remove);
                Ok(gone)
            }
            #[cfg(feature = "postgres")]
            Location::Server(_) => {
                self.read("look for abandoned runs", |connection| postgres::dead(connection, owners))
            }
        }
    }

    fn migrate(&self) -> Result<(), StoreError> {
        let found = self.read("read the format", migrations::format)?;
        if found == FORMAT {
            return Ok(());
        }
        if found > FORMAT {
            return Err(StoreError::TooNew { place: self.place(), found, known: FORMAT });
        }
        // Somebody else may be faster: the format is read again inside.
        let found = self.write("create the tables", Scope::Models, migrations::migrate)?;
        if found > FORMAT {
            return Err(StoreError::TooNew { place: self.place(), found, known: FORMAT });
        }
        Ok(())
    }

    fn error(&self, action: &'static str, failure: Failure) -> StoreError {
        match failure {
            Failure::Database(source) => StoreError::Database { action, place: self.place(), source },
            Failure::Record(problem) => StoreError::BadRecord { place: self.place(), problem },
            Failure::Refused(error) => error,
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("place", &self.place()).finish_non_exhaustive()
    }
}

/// Makes a database's file, which only its owner can read, if it is missing. A link would lead to another program's database.
fn own_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) => return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Where the life locks of processes with running runs are, beside a SQLite file.
fn life_directory(path: &Path) -> Result<PathBuf, StoreError> {
    let locks = path.with_extension("live");
    crate::files::create_private(&locks).map_err(crate::error::io_error("create", &locks))?;
    Ok(locks)
}

/// What is behind the locks of this module is whole after a panic: lists of connections, and nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
