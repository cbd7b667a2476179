//! Tables and queries of a SQLite database, read-only.
//!
//! The database is opened read-only. An authorizer allows nothing but reading and functions (no
//! `ATTACH`, no `PRAGMA`), and parameters are bound, never pasted. A progress handler checks the
//! interrupt, so that an endless query ends.
//!
//! An untrusted database may contain views, and views may call functions. One call on two long
//! texts may take hours, during which the progress handler is not called. So views may call only
//! functions that take time linear in their texts. A query comes from the manifest and may call any
//! function; its consumer waits no longer than the interrupt allows.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Statement, ToSql};
use stagewright_store::MAX_BATCH_BYTES;

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed, shown};
use crate::interrupt::Interrupt;
use crate::source::catch_panic::catch_panic;
use crate::source::{CellVisitor, Literal, Place, Source};

/// The longest wait for a writer that holds the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Virtual machine steps between two checks of the interrupt: well under a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;
/// The longest text, blob or row: as much as may be passed to a stage at once, and a header.
/// SQLite's default would let one function call allocate 1 GB.
const MAX_VALUE_BYTES: i32 = (MAX_BATCH_BYTES + (64 << 10)) as i32;
/// The longest pattern of `LIKE` and `GLOB`, whose time may grow with text times pattern.
const MAX_PATTERN_BYTES: i32 = 256;
/// The deepest expression, and the most parts of a compound `SELECT`.
const MAX_DEPTH: i32 = 200;
/// The longest statement, including a view's.
const MAX_SQL_BYTES: i32 = 1 << 20;
/// Bytes of memory that SQLite may use in this process, for sorting and recursion.
const MAX_HEAP_BYTES: i64 = 512 << 20;

/// The functions that a view may call: they take time linear in their texts and return no longer
/// ones. `trim` is missing, because its second argument may be as long as its text.
const OF_VIEWS: [&str; 53] = [
    "abs",
    "acos",
    "asin",
    "atan",
    "avg",
    "ceil",
    "ceiling",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "count",
    "cume_dist",
    "date",
    "datetime",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "glob",
    "ifnull",
    "iif",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "ln",
    "log",
    "lower",
    "max",
    "min",
    "mod",
    "nullif",
    "power",
    "rank",
    "round",
    "row_number",
    "sign",
    "sqrt",
    "strftime",
    "substr",
    "substring",
    "sum",
    "time",
    "timediff",
    "total",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "upper",
];

const LOG_HINT: &str =
    "copy the database anew, with its -wal, or have `sqlite3 FILE 'PRAGMA wal_checkpoint'` take it over";

const ONE_SELECT: &str = "a query is one SELECT statement; it cannot write, attach or set anything";

/// Passes the cells of a table or a query's result to the visitor.
pub(crate) fn visit(
    path: &Path,
    place: Place,
    table: Option<&str>,
    source: &Source,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    // Column names that are not UTF-8 make rusqlite panic.
    catch_panic(|| visit_database(path, place, table, source, interrupt, visitor)).unwrap_or_else(|panic| {
        let message = format!("its contents contradict each other ({panic})");
        Err(DataError::unreadable(path, message, "the database may be damaged: restore a copy"))
    })
}

fn visit_database(
    path: &Path,
    place: Place,
    table: Option<&str>,
    source: &Source,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let opened = match place {
        Place::Files => {
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        }
        Place::Memory(memory) => {
            let bytes = memory.database().map_err(|problem| DataError::unreadable(path, problem, LOG_HINT))?;
            in_memory(bytes)
        }
        Place::Stream(_) => return Err(Place::only_text()),
    };
    let connection = opened.and_then(|connection| confined(connection, source.query.is_some(), interrupt));
    let connection = connection.map_err(|error| in_words(error, path, None))?;
    let sql = statement_text(&connection, path, table, source)?;
    let asked = source.query.as_deref();
    let mut statement = connection.prepare(&sql).map_err(|error| in_words(error, path, asked))?;
    if !statement.readonly() || statement.column_count() == 0 || statement.is_explain() != 0 {
        return Err(refused(&sql, ONE_SELECT, ""));
    }
    let wanted = statement.parameter_count();
    if wanted != source.parameters.len() {
        let message = format!("it has {wanted} parameters, and {} are given", source.parameters.len());
        return Err(refused(&sql, &message, "give one value in `parameters` for each `?`"));
    }
    bind(&mut statement, &source.parameters).map_err(|error| in_words(error, path, asked))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let places = visitor.columns(&names)?;
    let mut rows = statement.raw_query();
    let mut number = 0;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(()),
            Err(error) => return Err(in_words(error, path, asked)),
        };
        for (column, &place) in places.iter().enumerate() {
            let value = row.get_ref(place).map_err(|error| in_words(error, path, asked))?;
            let cell =
                cell(value).map_err(|message| DataFault::new(message).in_column(&names[place]).in_row(number))?;
            visitor.cell(column, cell).map_err(DataError::Fault)?;
        }
        number += 1;
        if !visitor.end_rows(1)? {
            return Ok(());
        }
    }
}

fn is_of_views(function: &str) -> bool {
    OF_VIEWS.iter().any(|allowed| allowed.eq_ignore_ascii_case(function))
}

/// Opens a read-only database whose file is in memory.
fn in_memory(bytes: &'static [u8]) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_bytes(rusqlite::MAIN_DB, bytes)?;
    Ok(connection)
}

/// Makes SQLite load what it asks the system for once: its location, random numbers, the time zone.
/// Behind the walls of a process it cannot.
///
/// # Errors
/// SQLite cannot be started.
pub fn initialize_sqlite() -> Result<(), DataError> {
    let sql = "SELECT random(), datetime('now', 'localtime')";
    let asked = Connection::open_in_memory().and_then(|connection| connection.query_row(sql, [], |_| Ok(())));
    asked.map_err(|error| DataError::Host(format!("cannot start SQLite: {error}")))
}

/// Restricts a connection to reading.
fn confined(mut connection: Connection, has_query: bool, interrupt: &Interrupt) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, MAX_DEPTH),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, MAX_DEPTH),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    // Data that does not fit in memory would be written to temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "hard_heap_limit", MAX_HEAP_BYTES, |_| Ok(()))?;
    // An untrusted database may define views that call functions. And `"typo"` must be an error,
    // not a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.authorizer(Some(move |context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        // Functions that the query itself calls, not a view.
        AuthAction::Function { .. } if has_query && context.accessor.is_none() => Authorization::Allow,
        AuthAction::Function { function_name } if is_of_views(function_name) => Authorization::Allow,
        _ => Authorization::Deny,
    }))?;
    let interrupt = interrupt.clone();
    connection.progress_handler(STEPS_PER_LOOK, Some(move || interrupt.is_set()))?;
    Ok(connection)
}

/// Returns the statement that reads the source.
fn statement_text(
    connection: &Connection,
    path: &Path,
    table: Option<&str>,
    source: &Source,
) -> Result<String, DataError> {
    match (table, &source.query) {
        (None, Some(query)) => Ok(query.clone()),
        (Some(_), Some(_)) => Err(DataError::plan(
            format!("source `{}` names a table and has a query", source.uri),
            "write sqlite:PATH without #TABLE, or remove `query`",
        )),
        (None, None) => Err(DataError::plan(
            format!(
                "source `{}` names no table and has no query; the database has {}",
                source.uri,
                listed(&tables(connection, path)?)
            ),
            "write sqlite:PATH#TABLE",
        )),
        (Some(_), None) if !source.parameters.is_empty() => {
            Err(DataError::plan(format!("source `{}` has parameters but no query", source.uri), "remove `parameters`"))
        }
        (Some(table), None) => {
            let tables = tables(connection, path)?;
            if !tables.iter().any(|name| name == table) {
                let has = if tables.is_empty() { "no tables".to_owned() } else { listed(&tables) };
                let message = format!("it has no table `{}`; it has {has}", shown(table));
                return Err(DataError::unreadable(path, message, "table names are case-sensitive here"));
            }
            Ok(format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))
        }
    }
}

fn tables(connection: &Connection, path: &Path) -> Result<Vec<String>, DataError> {
    let read = || {
        let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let mut statement = connection.prepare(sql)?;
        let names: rusqlite::Result<Vec<String>> = statement.query_map([], |row| row.get(0))?.collect();
        names
    };
    read().map_err(|error| in_words(error, path, None))
}

fn bind(statement: &mut Statement<'_>, parameters: &[Literal]) -> rusqlite::Result<()> {
    for (index, literal) in parameters.iter().enumerate() {
        let value: &dyn ToSql = match literal {
            Literal::Boolean(value) => value,
            Literal::Integer(value) => value,
            Literal::Float(value) => value,
            Literal::Text(value) => value,
        };
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

fn cell(value: ValueRef<'_>) -> Result<Cell<'_>, &'static str> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Integer(number)),
        ValueRef::Real(number) => Ok(Cell::Float(number)),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Cell::Text).map_err(|_| "the text is not UTF-8"),
        ValueRef::Blob(_) => {
            Err("the value is a blob, which tables do not hold\nhint: leave the column out, or cast it in a query")
        }
    }
}

/// Returns whether the error is about a function, not a statement.
fn is_function(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("not authorized to use function") || text.contains("unsafe use of")
}

fn refused(query: &str, message: &str, hint: &str) -> DataError {
    DataError::Query { query: shown(query), message: message.to_owned(), hint: hint.to_owned() }
}

/// Turns an error of SQLite into one that says who can fix it.
fn in_words(error: Error, path: &Path, query: Option<&str>) -> DataError {
    let wal_hint = "a database in WAL mode needs its -wal and -shm files beside it, or a folder that may be written";
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => DataError::Interrupted,
        Some(ErrorCode::NotADatabase) => DataError::unreadable(path, "it is not a SQLite database", "check the path"),
        Some(ErrorCode::DatabaseCorrupt) => {
            DataError::unreadable(path, "the database is damaged", "try `sqlite3 FILE .recover`, or restore a copy")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => DataError::unreadable(path, error, wal_hint),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DataError::busy(path),
        _ if is_function(&error) => {
            let message = format!("a view of it may not be read: {error}");
            DataError::unreadable(path, message, "read its tables with a query of your own, in `query`")
        }
        Some(ErrorCode::AuthorizationForStatementDenied) => refused(query.unwrap_or_default(), ONE_SELECT, ""),
        Some(ErrorCode::TooBig) => {
            let message = format!("a value or a row has more than {MAX_BATCH_BYTES} bytes");
            DataError::unreadable(path, message, "leave the column out in a query, or shorten its texts")
        }
        Some(ErrorCode::OutOfMemory) => {
            let message = format!("SQLite would need more than {} MiB", MAX_HEAP_BYTES >> 20);
            DataError::unreadable(path, message, "sort and group less, or have the result written to a table first")
        }
        _ => match (error, query) {
            (Error::MultipleStatement, Some(query)) => refused(query, ONE_SELECT, ""),
            (error, Some(query)) => refused(query, &error.to_string(), ""),
            (error, None) => DataError::unreadable(path, error, ""),
        },
    }
}
