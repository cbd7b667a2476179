//! A connection to either database.

use std::path::PathBuf;

use super::error::DatabaseError;
use super::failure::{Failure, Outcome};
#[cfg(feature = "postgres")]
use super::postgres;
use super::sqlite;
use super::value::{Row, Value};

/// The records that a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Runs and what is logged of them.
    Runs,
    /// Models, versions, aliases, the audit chain: one transaction at a time.
    Models,
}

/// The use that a process makes of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It reads and writes.
    Write,
    /// It only reads. Neither the database nor a file beside it is changed.
    Read,
}

/// Where a database is.
#[derive(Clone)]
pub(super) enum Address {
    File(PathBuf, Access),
    #[cfg(feature = "postgres")]
    Server(Box<postgres::Server>),
}

impl Address {
    pub(super) fn connect(&self) -> Result<Connection, DatabaseError> {
        let backend = match self {
            Self::File(path, Access::Write) => Backend::Sqlite(sqlite::Connection::open(path)?),
            Self::File(path, Access::Read) => Backend::Sqlite(sqlite::Connection::open_to_read(path)?),
            #[cfg(feature = "postgres")]
            Self::Server(server) => Backend::Postgres(Box::new(server.connect()?)),
        };
        Ok(Connection { backend, scope: Scope::Runs })
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(..))
    }
}

/// One connection.
pub(crate) struct Connection {
    backend: Backend,
    /// The scope of the current transaction.
    scope: Scope,
}

enum Backend {
    Sqlite(sqlite::Connection),
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Connection>),
}

impl Connection {
    /// Runs a statement. Returns how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.execute(sql, parameters),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.execute(sql, parameters),
        }
    }

    /// Runs a query. Returns all its rows.
    pub(crate) fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.query(sql, parameters),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.query(sql, parameters),
        }
    }

    /// Runs a query whose text is used only once, so that its statement is not kept prepared.
    pub(crate) fn query_once(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.query_once(sql, parameters),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.query_once(sql, parameters),
        }
    }

    /// Runs a statement of PostgreSQL whose parameters are `shared`, and then lists. Returns how
    /// many rows it changed.
    pub(crate) fn execute_lists(
        &mut self,
        sql: &str,
        shared: &[Value],
        lists: &[Vec<Value>],
    ) -> Result<u64, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(_) => {
                let _ = (sql, shared, lists);
                Err(no_lists())
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.execute_lists(sql, shared, lists),
        }
    }

    /// As [`Connection::execute_lists`]. Returns the rows of the statement.
    pub(crate) fn query_lists(
        &mut self,
        sql: &str,
        shared: &[Value],
        lists: &[Vec<Value>],
    ) -> Result<Vec<Row>, DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(_) => {
                let _ = (sql, shared, lists);
                Err(no_lists())
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.query_lists(sql, shared, lists),
        }
    }

    /// Returns the first row of a query, if it has one.
    pub(crate) fn first(&mut self, sql: &str, parameters: &[Value]) -> Result<Option<Row>, DatabaseError> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// Returns the only row of a query that always has one.
    pub(crate) fn one(&mut self, sql: &str, parameters: &[Value]) -> Outcome<Row> {
        let row = self.first(sql, parameters)?;
        row.ok_or_else(|| Failure::Record(format!("a query has no row: {sql}")))
    }

    /// Runs statements without parameters.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.batch(sql),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.batch(sql),
        }
    }

    /// Returns what the current transaction changes.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns the dialect, for the few statements that differ.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.backend, Backend::Sqlite(_))
    }

    /// Begins a transaction that only reads, and sees one state of the database.
    pub(super) fn begin_reading(&mut self) -> Result<(), DatabaseError> {
        self.transaction_statement(if self.is_sqlite() {
            "BEGIN"
        } else {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        })
    }

    /// Begins a transaction that changes what `scope` says.
    pub(super) fn begin_writing(&mut self, scope: Scope) -> Result<(), DatabaseError> {
        self.scope = scope;
        match &mut self.backend {
            Backend::Sqlite(connection) => match scope {
                Scope::Runs => connection.begin_writing_parts(),
                Scope::Models => connection.execute("BEGIN IMMEDIATE", &[]).map(drop),
            },
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => match scope {
                Scope::Runs => connection.begin_writing(),
                Scope::Models => connection.begin_writing_models(),
            },
        }
    }

    pub(super) fn commit(&mut self) -> Result<(), DatabaseError> {
        self.transaction_statement("COMMIT")
    }

    pub(super) fn roll_back(&mut self) -> Result<(), DatabaseError> {
        self.transaction_statement("ROLLBACK")
    }

    /// Begins a part of a transaction of SQLite, which changes what `scope` says and can be taken
    /// back alone.
    pub(super) fn set_savepoint(&mut self, scope: Scope) -> Result<(), DatabaseError> {
        self.scope = scope;
        self.transaction_statement("SAVEPOINT part")
    }

    /// Ends the part, whose changes stay.
    pub(super) fn release_savepoint(&mut self) -> Result<(), DatabaseError> {
        self.transaction_statement("RELEASE part")
    }

    /// Takes the part back.
    pub(super) fn roll_back_to_savepoint(&mut self) -> Result<(), DatabaseError> {
        self.transaction_statement("ROLLBACK TO part")?;
        self.release_savepoint()
    }

    /// Returns whether a transaction is open. SQLite ends one after some errors.
    pub(super) fn is_in_transaction(&self) -> bool {
        match &self.backend {
            Backend::Sqlite(connection) => !connection.is_idle(),
            #[cfg(feature = "postgres")]
            Backend::Postgres(_) => true,
        }
    }

    /// Returns whether another transaction can use the connection.
    pub(super) fn is_usable(&self) -> bool {
        match &self.backend {
            Backend::Sqlite(connection) => connection.is_idle(),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => !connection.is_closed(),
        }
    }

    /// Runs a statement that begins or ends a transaction. SQLite keeps it prepared, since it is as
    /// frequent as any other.
    fn transaction_statement(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match &mut self.backend {
            Backend::Sqlite(connection) => connection.execute(sql, &[]).map(drop),
            #[cfg(feature = "postgres")]
            Backend::Postgres(connection) => connection.batch(sql),
        }
    }
}

/// SQLite has no type for a list.
fn no_lists() -> DatabaseError {
    DatabaseError::Sqlite { source: rusqlite::Error::InvalidQuery }
}
