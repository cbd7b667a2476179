//! The database under the registry: SQLite in one file, or PostgreSQL by URL.
//!
//! Owns connections, transactions and the translation of what differs. There is one schema and one
//! set of statements, in the SQL that both understand, with SQLite's numbered parameters (`?1`).
//! Everything above speaks of records, not of databases.
//!
//! - [`Database::read`]: a query, in a transaction of its own
//! - [`Database::write`]: a transaction that waits for other writers instead of failing with
//!   "database is locked"; changes of runs that wait for each other share a commit
//! - [`Scope`]: what a transaction changes. Changes of models happen one after another, also on
//!   PostgreSQL, so that version numbers, aliases and the audit chain are consecutive. Runs are
//!   logged concurrently there.
//! - [`OwnerLock`]: shows other processes that this one lives
//! - [`Signal`]: wakes whoever follows what is committed
//!
//! Why not an ORM, or sqlx's `Any`? The registry's statements are few and must be the same on both.
//! They need three calls of a driver, and both drivers below are synchronous, as the registry's
//! callers are.

mod connection;
mod error;
mod failure;
mod newer_format;
mod owner;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod signal;
mod sqlite;
mod turns;
mod url;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::{StoreError, io_error};
#[cfg(feature = "postgres")]
use crate::fsyncs::count_fsync;

use connection::Address;
use pool::Pool;
use turns::Turns;

pub(crate) use connection::{Access, Connection, Scope};
pub use error::DatabaseError;
pub(crate) use failure::{Failure, Outcome};
pub(crate) use newer_format::NewerFormat;
pub(crate) use owner::OwnerLock;
#[cfg(feature = "postgres")]
pub use postgres::postgres_tls;
pub(crate) use signal::Signal;
pub(crate) use url::{is_url, without_password};
pub(crate) use value::{Row, Value, values};

/// An open database.
pub(crate) struct Database {
    pool: Pool,
    access: Access,
    /// The newer format for whose sake this is only read.
    newer: Option<NewerFormat>,
    /// Writers of this process queue here rather than in SQLite, where waiting is polling.
    turns: Turns,
}

impl Database {
    /// Opens a SQLite file, which is created if missing.
    pub(crate) fn open_file(path: PathBuf) -> Result<Self, StoreError> {
        create_file(&path).map_err(io_error("open", &path))?;
        Ok(Self::new(Address::File(path, Access::Write), Access::Write))
    }

    /// Opens a SQLite file that exists.
    pub(crate) fn open_existing_file(path: PathBuf, access: Access) -> Result<Self, StoreError> {
        match path.symlink_metadata() {
            Ok(found) if found.is_file() => Ok(Self::new(Address::File(path, access), access)),
            Ok(_) => Err(io_error("open", &path)(not_a_file())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::NoRegistry { place: path.display().to_string() })
            }
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    /// Opens a PostgreSQL database by URL:
    /// `postgresql://user:password@host:port/database?sslmode=require`.
    #[cfg(feature = "postgres")]
    pub(crate) fn open_server(url: &str, password: Option<&str>, access: Access) -> Result<Self, StoreError> {
        let server = postgres::Server::parse(url, password);
        let server = server.map_err(|source| StoreError::Database {
            action: "understand the registry's URL",
            place: without_password(url),
            source,
        })?;
        Ok(Self::new(Address::Server(Box::new(server)), access))
    }

    fn new(address: Address, access: Access) -> Self {
        Self { pool: Pool::new(address), access, newer: None, turns: Turns::default() }
    }

    /// Returns the same database, only to be read, because a newer program made its tables.
    pub(crate) fn only_reading(self, newer: NewerFormat) -> Self {
        let address = match self.pool.address().clone() {
            Address::File(path, _) => Address::File(path, Access::Read),
            #[cfg(feature = "postgres")]
            server @ Address::Server(_) => server,
        };
        Self { newer: Some(newer), ..Self::new(address, Access::Read) }
    }

    /// Returns where the database is: a path, or a URL without its password.
    pub(crate) fn place(&self) -> String {
        match self.pool.address() {
            Address::File(path, _) => path.display().to_string(),
            #[cfg(feature = "postgres")]
            Address::Server(server) => server.place(),
        }
    }

    /// Returns whether it may only be read.
    pub(crate) fn is_read_only(&self) -> bool {
        self.access == Access::Read
    }

    /// Begins to listen for what is committed from now on.
    pub(crate) fn signal(&self) -> Result<Signal, StoreError> {
        Signal::begin(self.pool.address()).map_err(|error| self.error("begin to listen", error.into()))
    }

    /// Waits until something was committed, or until `deadline`. Returns whether it was: true may
    /// also mean less than a commit that the caller cares about.
    pub(crate) fn wait(&self, signal: &mut Signal, deadline: Instant) -> Result<bool, StoreError> {
        signal.wait(deadline).map_err(|error| self.error("listen", error.into()))
    }

    /// Reads in one transaction, which sees one state of the database.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        let work = || {
            let mut connection = self.pool.begin(Connection::begin_reading)?;
            let result = query(&mut connection);
            if connection.roll_back().is_ok() {
                connection.keep();
            }
            result
        };
        work().map_err(|failure| self.error(action, failure))
    }

    /// Changes in one transaction. When it returns, all of the change is durable; after an error,
    /// nothing has changed.
    pub(crate) fn write<T>(
        &self,
        action: &'static str,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        self.check_writable()?;
        let work = || match self.pool.address() {
            Address::File(..) => self.turns.write(&self.pool, scope, change),
            #[cfg(feature = "postgres")]
            Address::Server(_) => self.write_alone(scope, change),
        };
        work().map_err(|failure| self.error(action, failure))
    }

    /// Changes in a transaction beside those of others.
    #[cfg(feature = "postgres")]
    fn write_alone<T>(&self, scope: Scope, change: impl FnOnce(&mut Connection) -> Outcome<T>) -> Outcome<T> {
        let mut connection = self.pool.begin(|connection| connection.begin_writing(scope))?;
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
    }

    /// Takes a lock that shows that this process lives.
    pub(crate) fn lock_owner(&self) -> Result<OwnerLock, StoreError> {
        self.check_writable()?;
        match self.pool.address() {
            Address::File(path, _) => OwnerLock::beside(path),
            #[cfg(feature = "postgres")]
            Address::Server(server) => {
                OwnerLock::on(server).map_err(|error| self.error("begin a session", error.into()))
            }
        }
    }

    /// Returns those of these owners whose processes have died.
    pub(crate) fn dead_owners(&self, owners: &[String]) -> Result<Vec<String>, StoreError> {
        match self.pool.address() {
            Address::File(path, _) => owner::dead_beside(path, owners),
            #[cfg(feature = "postgres")]
            Address::Server(_) => {
                self.read("look for abandoned runs", |connection| postgres::dead_owners(connection, owners))
            }
        }
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        match &self.newer {
            Some(NewerFormat { found, known, program }) => {
                let (found, known, program) = (*found, *known, program.clone());
                Err(StoreError::OnlyReadable { place: self.place(), found, known, program })
            }
            None if self.is_read_only() => Err(StoreError::ReadOnly { place: self.place() }),
            None => Ok(()),
        }
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

/// Creates a database's file if it is missing, readable by its owner alone. Refuses a link, which
/// could lead to another program's database.
fn create_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) => return Err(not_a_file()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn not_a_file() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file")
}
