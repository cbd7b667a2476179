//! Why a run was not sent.

use stagewright_mlflow_client::ClientError;
use stagewright_store::StoreError;

/// The reason why a run was not sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The server did not take it.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The registry or an artifact cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The experiment of this name was deleted there.
    #[error(
        "the experiment `{name}` is deleted on the MLflow server at {address}, so that no run can be logged to it\nhint: restore it there, or name another `experiment` in the manifest"
    )]
    DeletedExperiment {
        /// The server.
        address: String,
        /// The experiment.
        name: String,
    },
}

impl ExportError {
    /// Returns whether the same may succeed later: the server did not answer, or failed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_passing())
    }
}
