//! Files that are open to be sent to a client.

use std::io::{self, Read};

use crate::mlflow_error::{ErrorCode, MlflowError};

/// A file whose bytes can be read.
pub(super) struct Opened {
    pub(super) bytes: u64,
    pub(super) reader: Box<dyn Read + Send>,
}

/// Returns the error of a file of the store that cannot be read. The client may ask again.
pub(super) fn unreadable(error: io::Error) -> MlflowError {
    tracing::error!("a file that a pipeline made cannot be read: {error}");
    MlflowError::new(ErrorCode::TemporarilyUnavailable, "the server cannot read the file")
}
