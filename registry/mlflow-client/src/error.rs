//! Why a call failed.

/// The reason why a call of an MLflow server failed. Texts of the server are cut and escaped; none
/// has credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke, or no answer came in time.
    #[error(
        "the MLflow server at {address} cannot be reached: {reason}\nhint: see that it runs (`curl {address}/health`) and that this machine may connect to it"
    )]
    Unreachable {
        /// The server.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The server refuses who asks.
    #[error(
        "the MLflow server at {address} refuses access (status {status}): {message}\nhint: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of an account that may do this"
    )]
    Denied {
        /// The server.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The server refuses what is asked.
    #[error("the MLflow server at {address} refuses `{operation}` ({code}): {message}")]
    Refused {
        /// The server.
        address: String,
        /// The operation.
        operation: String,
        /// MLflow's error code, such as `RESOURCE_DOES_NOT_EXIST`; the HTTP status if it has none.
        code: String,
        /// The server's words.
        message: String,
    },
    /// The server failed, in all attempts.
    #[error(
        "the MLflow server at {address} failed at `{operation}` (status {status}): {message}\nhint: look into its log, and try again"
    )]
    Failed {
        /// The server.
        address: String,
        /// The operation.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer is not one of MLflow: no JSON, a wrong form, too many bytes, pages without end.
    #[error(
        "{address} does not answer as an MLflow server at `{operation}`: {problem}\nhint: see that the address is that of the server itself (`curl {address}/version` answers with its version)"
    )]
    NotMlflow {
        /// The server.
        address: String,
        /// The operation.
        operation: String,
        /// The problem.
        problem: String,
    },
    /// The answer has too many bytes.
    #[error("{address} answers `{operation}` with more than {bytes} bytes, which are not read")]
    TooLarge {
        /// The server.
        address: String,
        /// The operation.
        operation: String,
        /// The most bytes that are read.
        bytes: u64,
    },
    /// A file here cannot be read or written.
    #[error("{0}")]
    File(String),
}

impl ClientError {
    /// Returns whether the server refused with this code of MLflow.
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }

    /// Returns whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if matches!(
            code.as_str(), "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" | "ENDPOINT_NOT_FOUND" | "404"
        ))
    }

    /// Returns whether the same call may succeed later: the server did not answer, or failed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failed { .. })
    }
}
