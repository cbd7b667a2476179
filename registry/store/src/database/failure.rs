//! Why a transaction failed.

use super::error::DatabaseError;
use super::value::Mismatch;
use crate::digest::DigestParseError;
use crate::error::StoreError;

/// The error of the closures that read or change a database.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed.
    Database(DatabaseError),
    /// A row holds what this program never writes.
    Record(String),
    /// The change was refused.
    Refused(StoreError),
}

/// The result of the closures that read or change a database.
pub(crate) type Outcome<T> = Result<T, Failure>;

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

impl From<Mismatch> for Failure {
    fn from(mismatch: Mismatch) -> Self {
        Self::Record(mismatch.0)
    }
}

impl From<DigestParseError> for Failure {
    fn from(error: DigestParseError) -> Self {
        Self::Record(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Record(error.to_string())
    }
}
