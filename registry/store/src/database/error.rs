//! Errors of the databases' drivers, with hints.

use rusqlite::ErrorCode;

/// An error of a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// SQLite refused.
    #[error("{source}{}", sqlite_hint(source))]
    Sqlite {
        /// The driver's error.
        #[from]
        source: rusqlite::Error,
    },
    /// PostgreSQL refused, or cannot be reached.
    #[cfg(feature = "postgres")]
    #[error("{}{}", postgres::text(source), postgres::hint(source))]
    Postgres {
        /// The driver's error.
        #[from]
        source: ::postgres::Error,
    },
    /// The URL names no database that this program knows.
    #[error("{problem}")]
    Url {
        /// The problem, with a hint.
        problem: String,
    },
}

impl DatabaseError {
    /// Returns whether the same statement may succeed later, without anybody mending something: the
    /// database is away, busy, or short of something. What this program does not know is not.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Sqlite { source } => matches!(
                source.sqlite_error_code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::FileLockingProtocolFailed
                        | ErrorCode::OperationInterrupted
                        | ErrorCode::OutOfMemory
                        // Out of descriptors, or a disk that answers again.
                        | ErrorCode::CannotOpen
                        | ErrorCode::SystemIoFailure
                )
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres { source } => postgres::may_pass(source),
            Self::Url { .. } => false,
        }
    }

    /// Returns whether stored data are damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite { source } => {
                matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { source } => postgres::is_damage(source),
            Self::Url { .. } => false,
        }
    }

    /// Returns whether the connection is to blame, so that another one may do.
    pub(super) fn is_of_connection(&self) -> bool {
        #[cfg(feature = "postgres")]
        if let Self::Postgres { source } = self {
            return postgres::was_cut(source);
        }
        false
    }
}

/// Returns what to do about an error. SQLite reports a full disk as such only where it writes rows.
fn sqlite_hint(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "\nhint: free some space on that disk, or use another",
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
            "\nhint: see that the disk has free space and no errors, and that you may write there"
        }
        _ => "",
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::error::Error as _;

    use ::postgres::Error;
    use ::postgres::error::SqlState;

    const PASSWORD: &str = "\nhint: check the user and password of STAGEWRIGHT_REGISTRY, or set PGPASSWORD";

    /// Returns whether the server, or the network, ended the connection.
    pub(super) fn was_cut(error: &Error) -> bool {
        let ends = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_SESSION_TIMEOUT,
        ];
        error.code().is_none_or(|code| ends.contains(code))
    }

    /// The classes of states that pass: connection, transaction in a wrong state (a standby that
    /// becomes the primary), rolled back for another transaction, short of resources, not now,
    /// ended by an operator, failed system.
    const PASSING: [&str; 7] = ["08", "25", "40", "53", "55", "57", "58"];

    pub(super) fn may_pass(error: &Error) -> bool {
        // Without a state, the server was not reached, or did not answer to the end.
        error.code().is_none_or(|state| PASSING.iter().any(|class| state.code().starts_with(class)))
    }

    pub(super) fn is_damage(error: &Error) -> bool {
        [Some(&SqlState::DATA_CORRUPTED), Some(&SqlState::INDEX_CORRUPTED)].contains(&error.code())
    }

    /// Returns the server's words, where it has some: the driver's own text says only "db error".
    pub(super) fn text(error: &Error) -> String {
        match (error.as_db_error(), error.source()) {
            (Some(server), _) => server.to_string(),
            (None, Some(source)) => format!("{error}: {source}"),
            (None, None) => error.to_string(),
        }
    }

    pub(super) fn hint(error: &Error) -> &'static str {
        match error.code() {
            Some(code)
                if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
            {
                PASSWORD
            }
            Some(code) if *code == SqlState::INVALID_CATALOG_NAME => "\nhint: create the database first: createdb NAME",
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                "\nhint: the user must own the tables, or be granted everything on them"
            }
            Some(_) => "",
            // The driver has no code for a missing password, only this text.
            None if error.source().is_some_and(|source| source.to_string() == "password missing") => PASSWORD,
            None => {
                "\nhint: see that the server runs and that STAGEWRIGHT_REGISTRY names it: postgresql://user@host/database"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_busy_database_may_answer_later_and_a_damaged_or_unknown_one_will_not() {
        let error = |code| DatabaseError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_IOERR, ffi::SQLITE_CANTOPEN] {
            assert!(error(code).may_pass() && !error(code).is_damage(), "{code}");
        }
        for code in
            [ffi::SQLITE_READONLY, ffi::SQLITE_PERM, ffi::SQLITE_ERROR, ffi::SQLITE_CONSTRAINT, ffi::SQLITE_AUTH]
        {
            assert!(!error(code).may_pass() && !error(code).is_damage(), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(!error(code).may_pass() && error(code).is_damage(), "{code}");
        }
    }
}
