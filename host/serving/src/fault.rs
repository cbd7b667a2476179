//! Why a request was not answered, and the status that says so.

use std::time::Duration;

use axum::http::StatusCode;
use stagewright_data::RequestFault;
pub use stagewright_data::RowError;
use stagewright_lifecycle::fault::{LimitKind, StageFault};

use crate::pool::PoolFault;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum PredictFault {
    /// There is no model of this name.
    #[error("no model `{}` is served", stagewright_text::Untrusted::new(_0).cut(200))]
    NoModel(String),
    /// The body cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The body's content type is not supported.
    #[error("the content type `{0}` is not supported")]
    ContentType(String),
    /// Values do not fit the signature.
    #[error("{} values do not fit the signature", errors.len())]
    Rows {
        /// The values, in the order of rows.
        errors: Vec<RowError>,
        /// Whether there are more.
        is_cut: bool,
    },
    /// The body has too many rows or bytes.
    #[error("{0}")]
    TooLarge(String),
    /// Too many requests wait.
    #[error("too many requests wait")]
    Overloaded,
    /// The server is shutting down, or the model has no session.
    #[error("the model cannot answer now")]
    Unavailable,
    /// The model passed a limit of time.
    #[error("the model took too long")]
    TooSlow(StageFault),
    /// The request waited and was predicted for longer than its deadline.
    #[error("the request was not predicted in time")]
    Deadline,
    /// The model failed.
    #[error("the model failed")]
    Model(StageFault),
    /// The server failed.
    #[error("the server failed")]
    Host(String),
}

impl PredictFault {
    /// Returns the status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoModel(_) => StatusCode::NOT_FOUND,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Rows { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow(_) | Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::Model(_) | Self::Host(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoModel(_) => "no_model",
            Self::Unreadable(_) => "unreadable_body",
            Self::ContentType(_) => "unsupported_content_type",
            Self::Rows { .. } => "invalid_rows",
            Self::TooLarge(_) => "too_large",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::TooSlow(_) => "timeout",
            Self::Deadline => "deadline",
            Self::Model(_) => "model_failed",
            Self::Host(_) => "internal",
        }
    }

    /// Returns what a client can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoModel(_) => Some("`GET /health` lists the models"),
            Self::ContentType(_) => Some("send application/json, text/csv or application/vnd.apache.arrow.stream"),
            Self::TooLarge(_) => Some("send fewer rows in a request"),
            Self::Overloaded | Self::Unavailable | Self::Deadline => Some("try again after a while"),
            Self::TooSlow(_) => Some("send fewer rows in a request; the operator sets the limits of a call"),
            Self::Unreadable(_) | Self::Rows { .. } | Self::Model(_) | Self::Host(_) => None,
        }
    }

    /// Returns the fault for the log: what a client must not see, such as a component's own words.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::TooSlow(fault) | Self::Model(fault) => Some(fault.to_string()),
            Self::Host(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Returns how long a client should wait before it tries again, if that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Overloaded | Self::Unavailable | Self::Deadline).then_some(Duration::from_secs(1))
    }
}

impl From<RequestFault> for PredictFault {
    fn from(fault: RequestFault) -> Self {
        match fault {
            RequestFault::Unreadable { message } => Self::Unreadable(message),
            RequestFault::Rows { errors, is_cut } => Self::Rows { errors, is_cut },
            fault @ (RequestFault::TooManyRows { .. } | RequestFault::TooLarge { .. }) => {
                Self::TooLarge(fault.to_string())
            }
            RequestFault::Host(reason) => Self::Host(reason),
        }
    }
}

impl From<PoolFault> for PredictFault {
    fn from(fault: PoolFault) -> Self {
        match fault {
            PoolFault::Overloaded(_) => Self::Overloaded,
            PoolFault::Unavailable => Self::Unavailable,
            PoolFault::Model(fault @ StageFault::Limit { kind: LimitKind::Cpu | LimitKind::Wall, .. }) => {
                Self::TooSlow(fault)
            }
            PoolFault::Model(fault) => Self::Model(fault),
        }
    }
}
