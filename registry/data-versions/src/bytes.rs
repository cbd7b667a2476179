//! The bytes of a version, which may be on another machine that shares the registry.

use stagewright_store::{DataVersionRecord, Home, StoreError, Table};

use crate::error::DataVersionsError;

/// Opens the table of a version.
///
/// # Errors
/// [`DataVersionsError::NotHere`]; those of the store.
pub fn open_table(home: &Home, record: &DataVersionRecord) -> Result<Table, DataVersionsError> {
    home.artifacts.open_table(&record.digest).map_err(|error| not_here(error, record))
}

/// Says of a missing artifact which version it belongs to.
pub(crate) fn not_here(error: StoreError, record: &DataVersionRecord) -> DataVersionsError {
    match error {
        StoreError::Missing { .. } | StoreError::MissingEverywhere { .. } => {
            DataVersionsError::NotHere { reference: record.reference() }
        }
        error => error.into(),
    }
}
