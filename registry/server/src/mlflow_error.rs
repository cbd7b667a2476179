//! Errors as MLflow's clients read them: a status, `error_code` and `message`.
//!
//! Clients repeat a request for minutes when they get 408, 429, 500, 502, 503 or 504. So these
//! statuses are for faults that pass. A fault that stays gets another one, even where a stock
//! server answers 500.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use stagewright_store::{AccountError, DatabaseError, StoreError, TrackingError, is_disk_full};
use stagewright_text::Untrusted;

/// A condition that a request ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    InvalidParameterValue,
    MalformedRequest,
    ResourceDoesNotExist,
    ResourceAlreadyExists,
    EndpointNotFound,
    PermissionDenied,
    /// The caller has not said who it is, or not truly.
    Unauthenticated,
    /// The caller asks too often.
    RequestLimitExceeded,
    /// A person must mend something before the server can do this.
    InvalidState,
    /// A body is larger than the server takes.
    MaxBlockSizeExceeded,
    /// The disk of the server is full.
    QuotaExceeded,
    /// Stored bytes or records are damaged.
    DataLoss,
    /// The client was too slow to send its body.
    RequestTimeout,
    TemporarilyUnavailable,
    /// MLflow has it, and this server does not.
    NotImplemented,
    InternalError,
}

impl ErrorCode {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::MalformedRequest => "MALFORMED_REQUEST",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Self::InvalidState => "INVALID_STATE",
            Self::MaxBlockSizeExceeded => "MAX_BLOCK_SIZE_EXCEEDED",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::DataLoss => "DATA_LOSS",
            Self::RequestTimeout => "DEADLINE_EXCEEDED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Returns the class that MLflow has since 3.17 beside some codes, with its SQLSTATE.
    fn class(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::InvalidParameterValue => Some(("INVALID_PARAMETER_VALUE", "KAM00")),
            Self::ResourceDoesNotExist | Self::EndpointNotFound => Some(("RESOURCE_NOT_FOUND", "KAM00")),
            Self::ResourceAlreadyExists => Some(("RESOURCE_ALREADY_EXISTS", "KAM00")),
            Self::PermissionDenied => Some(("PERMISSION_DENIED", "KAM00")),
            Self::InvalidState | Self::TemporarilyUnavailable | Self::InternalError => {
                Some(("CLIENT_INTERNAL_ERROR", "XXM00"))
            }
            _ => None,
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::InvalidParameterValue | Self::MalformedRequest | Self::ResourceAlreadyExists => {
                StatusCode::BAD_REQUEST
            }
            Self::ResourceDoesNotExist | Self::EndpointNotFound => StatusCode::NOT_FOUND,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::RequestLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::InvalidState => StatusCode::CONFLICT,
            Self::MaxBlockSizeExceeded => StatusCode::PAYLOAD_TOO_LARGE,
            Self::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
            Self::DataLoss => StatusCode::GONE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The error of a request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct MlflowError {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl MlflowError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceDoesNotExist, message)
    }

    /// No experiment has this name.
    pub(crate) fn no_experiment_named(name: &str) -> Self {
        Self::missing(format!("Could not find experiment with name '{}'", Untrusted::new(name).cut(600)))
    }

    /// The caller has signed in and may not do this.
    pub(crate) fn denied() -> Self {
        let message = "Permission denied. An administrator can grant it: `stagewright users --help`.";
        Self::new(ErrorCode::PermissionDenied, message)
    }

    /// The caller has to sign in.
    pub(crate) fn unauthenticated() -> Self {
        let message = "You are not authenticated. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
                       MLFLOW_TRACKING_TOKEN.";
        Self::new(ErrorCode::Unauthenticated, message)
    }

    /// The caller has said who they are, and that is not true.
    pub(crate) fn wrong_credentials() -> Self {
        let message = "You are not authenticated: user and password do not belong together, or the token is unknown, \
                       revoked or expired.";
        Self::new(ErrorCode::Unauthenticated, message)
    }

    /// Returns the answer to a program. It carries the error, of which a browser is shown a page.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut body = json!({ "error_code": self.code.name(), "message": self.message });
        if let Some((class, state)) = self.code.class() {
            body["error_class"] = class.into();
            body["sqlstate"] = state.into();
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.code == ErrorCode::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"stagewright\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for MlflowError {
    fn from(error: StoreError) -> Self {
        let code = code_of(&error);
        match code {
            ErrorCode::TemporarilyUnavailable
            | ErrorCode::InvalidState
            | ErrorCode::QuotaExceeded
            | ErrorCode::DataLoss => {
                tracing::error!("{error}");
            }
            _ => {}
        }
        // Hints of the registry name commands of this program, which a client on another machine
        // may not have.
        let text = error.to_string();
        let message = text.split("\nhint:").next().unwrap_or_default();
        let message = words_of_mlflow(&error).unwrap_or_else(|| message.to_owned());
        Self::new(code, message)
    }
}

/// Returns MLflow's own words for an error that programs may read, and ours for one whose text is
/// not for clients.
fn words_of_mlflow(error: &StoreError) -> Option<String> {
    let words = match error {
        StoreError::ParameterChanged { run, name, old, new } => format!(
            "Changing param values is not allowed. Param with key='{name}' was already logged with value='{old}' for \
             run ID='{run}'. Attempted logging new value '{new}'."
        ),
        StoreError::NoRun { id } | StoreError::BadRunId { text: id } => format!("Run with id={id} not found"),
        StoreError::NoExperiment { name } => format!("No Experiment with id={name} exists"),
        StoreError::ExperimentExists { name } => format!("Experiment(name={name}) already exists."),
        StoreError::ExperimentDeleted { name } => {
            format!("The experiment {name} must be in the 'active' state. Current state is deleted.")
        }
        StoreError::NoModel { model } => format!("Registered Model with name={model} not found"),
        StoreError::ModelExists { model } => format!("Registered Model (name={model}) already exists."),
        StoreError::NoVersion { model, version } => {
            format!("Model Version (name={model}, version={version}) not found")
        }
        StoreError::NoAlias { alias, .. } => format!("Registered model alias {alias} not found."),
        StoreError::ReservedAlias { alias } if alias.starts_with(['v', 'V']) => {
            format!("Version alias name '{alias}' is reserved.")
        }
        StoreError::ReservedAlias { alias } => format!("'{alias}' alias name (case insensitive) is reserved."),
        StoreError::Tracking(TrackingError::NoLoggedModel { model_id }) => {
            format!("Logged model with ID '{model_id}' not found.")
        }
        StoreError::IsChampion { .. } => {
            let text = error.to_string();
            let what = text.split("\nhint:").next().unwrap_or_default();
            format!("{what}. Move another version to the stage Production first.")
        }
        // The database's own words may name hosts and users, and a path is of no use to a client.
        StoreError::Database { action, .. } => format!("cannot {action}: the registry failed"),
        StoreError::Io { action, source, .. } => format!("the server cannot {action} a file: {source}"),
        _ => return None,
    };
    Some(words)
}

/// Returns the code of an error of the store. What is not listed is a fault of the request.
fn code_of(error: &StoreError) -> ErrorCode {
    use ErrorCode as Code;
    match error {
        StoreError::NoRun { .. }
        | StoreError::NoExperiment { .. }
        | StoreError::NoTag { .. }
        | StoreError::NoModel { .. }
        | StoreError::NoVersion { .. }
        | StoreError::BadRunId { .. }
        | StoreError::Account(AccountError::NoUser { .. } | AccountError::NoToken { .. })
        | StoreError::Tracking(
            TrackingError::NoFile { .. }
            | TrackingError::NoLoggedModel { .. }
            | TrackingError::NoWebhook { .. }
            | TrackingError::NoUpload,
        ) => Code::ResourceDoesNotExist,
        StoreError::ExperimentExists { .. }
        | StoreError::ModelExists { .. }
        | StoreError::RunExists { .. }
        | StoreError::Account(AccountError::UserExists { .. }) => Code::ResourceAlreadyExists,
        StoreError::Tracking(TrackingError::PartsTooLarge { .. }) => Code::MaxBlockSizeExceeded,
        StoreError::Tracking(TrackingError::UploadBusy) => Code::TemporarilyUnavailable,
        StoreError::Io { source, .. } if is_disk_full(source) => Code::QuotaExceeded,
        StoreError::Missing { .. }
        | StoreError::MissingEverywhere { .. }
        | StoreError::SharedDamaged { .. }
        | StoreError::Damaged { .. }
        | StoreError::DigestDiffers { .. }
        | StoreError::BadRecord { .. }
        | StoreError::Tampered { .. }
        | StoreError::Differs { .. } => Code::DataLoss,
        StoreError::ReadOnly { .. }
        | StoreError::OnlyReadable { .. }
        | StoreError::TooNew { .. }
        | StoreError::TooOld { .. } => Code::PermissionDenied,
        StoreError::Database { source, .. } if is_full(source) => Code::QuotaExceeded,
        StoreError::Database { source, .. } if source.is_damage() => Code::DataLoss,
        StoreError::Database { source, .. } if !source.may_pass() => Code::InvalidState,
        StoreError::Io { source, .. } if stays(source) => Code::InvalidState,
        StoreError::Database { .. }
        | StoreError::Io { .. }
        | StoreError::Shared { .. }
        | StoreError::RemovalUnfinished { .. }
        | StoreError::CollectionRunning { .. }
        | StoreError::Random { .. } => Code::TemporarilyUnavailable,
        _ => Code::InvalidParameterValue,
    }
}

/// Returns whether a fault of a file stays until a person mends something.
fn stays(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::Unsupported
    )
}

/// Returns whether a database's disk is full, by the words of SQLite and PostgreSQL.
fn is_full(error: &DatabaseError) -> bool {
    let text = error.to_string();
    text.contains("disk is full") || text.contains("No space left on device")
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: A fault that stays has no status for which clients repeat the request.
    #[test]
    fn only_faults_that_pass_have_a_status_that_clients_repeat() {
        use ErrorCode as Code;
        let repeated = |code: Code| [408, 429, 500, 502, 503, 504].contains(&code.status().as_u16());
        for code in [
            Code::InvalidParameterValue,
            Code::MalformedRequest,
            Code::ResourceDoesNotExist,
            Code::ResourceAlreadyExists,
            Code::EndpointNotFound,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::InvalidState,
            Code::MaxBlockSizeExceeded,
            Code::QuotaExceeded,
            Code::DataLoss,
        ] {
            assert!(!repeated(code), "{code:?}");
        }
        assert!(repeated(Code::TemporarilyUnavailable));
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = StoreError::Io { action: "write", path: "blob".into(), source: full };
        assert_eq!(MlflowError::from(full).code, Code::QuotaExceeded);
        let of_a_file = |kind| {
            let source = std::io::Error::from(kind);
            MlflowError::from(StoreError::Io { action: "write", path: "blob".into(), source }).code
        };
        assert_eq!(of_a_file(std::io::ErrorKind::PermissionDenied), Code::InvalidState);
        assert_eq!(of_a_file(std::io::ErrorKind::Interrupted), Code::TemporarilyUnavailable);
        let damaged = StoreError::Damaged { path: "blob".into(), problem: "cut off".into() };
        assert_eq!(MlflowError::from(damaged).code, Code::DataLoss);
    }

    #[test]
    fn messages_for_clients_have_no_hints_for_people_at_the_server() {
        let error = MlflowError::from(StoreError::NoRun { id: "0a".into() });
        let unknown = (error.code, error.message.as_str());
        assert_eq!(unknown, (ErrorCode::ResourceDoesNotExist, "Run with id=0a not found"));
        let champion = StoreError::IsChampion { model: "churn".into(), version: 2, action: "deleted" };
        let told = MlflowError::from(champion).message;
        assert!(told.contains("cannot be deleted. Move another version") && !told.contains("hint"), "{told}");
        let error = MlflowError::from(StoreError::BadName { what: "alias", name: "a b".into() });
        assert!(!error.message.contains("hint"), "{error}");
    }
}
