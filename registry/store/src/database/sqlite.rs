//! SQLite: one file in WAL mode with full synchronisation, so that a committed record survives a
//! loss of power.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags};

use super::error::DatabaseError;
use super::value::{Row, Value};

/// How long a writer waits for others: longer than any queue of live writers.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two attempts of a writer. SQLite's own grows to 100 ms; then a process that
/// writes all the time, and lets go of the file for moments only, would hold others up for minutes.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// The most prepared statements that a connection keeps: more than this crate has.
const MAX_STATEMENTS: usize = 128;

/// The length of the log, in pages of 4 KiB, at which a commit moves it into the database: 32 MiB.
/// SQLite's 4 MiB are two batches of 1,000 metrics, so that every other one waited for the disk
/// twice more, and pages that are written again and again moved each time.
const PAGES_OF_LOG: u32 = 8192;

/// A connection to a file.
pub(super) struct Connection(rusqlite::Connection);

impl Connection {
    pub(super) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let mut connection = rusqlite::Connection::open(path)?;
        connection.busy_handler(Some(wait_for_others))?;
        let began = Instant::now();
        loop {
            // The one statement that SQLite does not always queue, if another process makes the
            // same change.
            let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
            match mode {
                Ok(_) => break,
                Err(error) if is_busy(&error) && began.elapsed() < BUSY_TIMEOUT => thread::sleep(BUSY_PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", PAGES_OF_LOG)?;
        // The log is durable by itself. Moving it into the database at every exit would wait for
        // the disk twice more.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Self::with_statements(connection)
    }

    /// Opens a file that exists and is never changed through this connection.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Self::with_statements(connection)
    }

    fn with_statements(connection: rusqlite::Connection) -> Result<Self, DatabaseError> {
        connection.set_prepared_statement_cache_capacity(MAX_STATEMENTS);
        stay_prepared(&connection, true)?;
        Ok(Self(connection))
    }

    /// Returns a number that differs from that of an earlier call if another connection has
    /// committed since, of this process or of another. Leaves no transaction open.
    pub(super) fn commits_of_others(&self) -> Result<i64, DatabaseError> {
        Ok(self.0.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    pub(super) fn execute(&self, sql: &str, parameters: &[Value]) -> Result<u64, DatabaseError> {
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(parameters))? as u64)
    }

    pub(super) fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        rows(&mut *self.0.prepare_cached(sql)?, parameters)
    }

    /// Runs a query once. A query with a pattern is planned for its parameters, because the
    /// beginning of the pattern decides whether an index answers it.
    pub(super) fn query_once(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let once = || rows(&mut self.0.prepare(sql)?, parameters);
        if !sql.contains(" GLOB ") && !sql.contains(" LIKE ") {
            return once();
        }
        // SQLite prepares all statements again after each change of this setting.
        stay_prepared(&self.0, false)?;
        let found = once();
        stay_prepared(&self.0, true)?;
        found
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), DatabaseError> {
        Ok(self.0.execute_batch(sql)?)
    }

    /// Begins to write, with savepoints that need no temporary file: a host may have no folder for
    /// one.
    pub(super) fn begin_writing_parts(&self) -> Result<(), DatabaseError> {
        // As the transaction begins, SQLite decides where it will keep what savepoints replace.
        // What it sorts may be larger, and is not kept in memory.
        self.batch("PRAGMA temp_store = memory")?;
        let begun = self.execute("BEGIN IMMEDIATE", &[]);
        self.batch("PRAGMA temp_store = default")?;
        begun.map(drop)
    }

    /// Returns whether no transaction is open on it.
    pub(super) fn is_idle(&self) -> bool {
        self.0.is_autocommit()
    }
}

/// Waits before another attempt to write. Returns whether there is to be one.
fn wait_for_others(attempts: i32) -> bool {
    thread::sleep(BUSY_PAUSE);
    BUSY_PAUSE * attempts.unsigned_abs() < BUSY_TIMEOUT
}

/// Sets whether statements keep their plan whatever their parameters are. Otherwise SQLite prepares
/// a statement again at every use if parameters could change its plan, which takes longer than most
/// statements run.
fn stay_prepared(connection: &rusqlite::Connection, stay: bool) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, stay).map(drop)
}

fn rows(statement: &mut rusqlite::Statement<'_>, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|index| Ok(value(row.get_ref(index)?)));
        found.push(Row(values.collect::<Result<_, rusqlite::Error>>()?));
    }
    Ok(found)
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        // This program wrote it, as UTF-8.
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Real(real) => ValueRef::Real(*real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_prepared_once_whatever_its_parameters_are_and_a_pattern_has_its_own_plan() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(&folder.path().join("file.db")).expect("a file");
        let tables = "CREATE TABLE stages (id INTEGER PRIMARY KEY, name TEXT, key TEXT) STRICT;
                      CREATE INDEX stages_by_name ON stages (name);
                      CREATE INDEX stages_by_key ON stages (key) WHERE key IS NOT NULL;
                      INSERT INTO stages (key) VALUES ('abc'), ('x'), (NULL)";
        connection.batch(tables).expect("tables");
        // The partial index answers it. SQLite looks at the parameter to decide that.
        let query = "SELECT id FROM stages WHERE key = ?1 AND id > 0 ORDER BY id DESC LIMIT ?2";
        for key in ["abc", "x", "abc", "none"] {
            let found = connection.query(query, &[key.into(), 1_i64.into()]).expect("rows");
            assert_eq!(found.len(), usize::from(key != "none"));
        }
        let statement = connection.0.prepare_cached(query).expect("the statement of before");
        assert_eq!(statement.get_status(StatementStatus::Run), 4);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        let explained = "EXPLAIN QUERY PLAN SELECT id FROM stages WHERE name GLOB ?1";
        let plan: String =
            connection.query_once(explained, &["ab*".into()]).expect("a plan")[0].get(3).expect("a text");
        assert!(plan.contains("stages_by_name (name>? AND name<?)"), "{plan}");
    }
}
