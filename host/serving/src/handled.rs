//! The facts about an answer that its route tells the server, for metrics, log and headers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::response::{IntoResponse, Response};

use crate::arm::Arm;
use crate::prediction_log::{LoggedRequest, LoggedRows};
use crate::protocol::Protocol;
use crate::request_id::RequestId;
use crate::served_version::ServedVersion;
use crate::service::{Answer, Failure};

/// The facts about an answer, for metrics and the log. They come through the router as an extension
/// of the response. An answer without them counts as one that no version gave.
#[derive(Debug, Clone)]
pub struct Handled {
    /// The identifier that the answer has.
    pub id: RequestId,
    /// The interface.
    pub protocol: Protocol,
    /// The version that answered or failed, if the request came so far.
    pub version: Option<Arc<ServedVersion>>,
    /// The arm of that version.
    pub arm: Arm,
    /// The rows that were predicted.
    pub rows: u64,
    /// The word for programs, if the request failed.
    pub error: Option<&'static str>,
    /// The rows and predictions, if the prediction log takes them.
    pub logged: Option<Arc<LoggedRows>>,
}

impl Handled {
    /// Returns what there is to tell about an answer.
    pub(crate) fn answered(answer: Answer, protocol: Protocol) -> Self {
        let Answer { version, arm, id, values, logged } = answer;
        let rows = (values.len() / version.contents.width().max(1)) as u64;
        Self { id, protocol, version: Some(version), arm, rows, error: None, logged }
    }

    /// Returns what there is to tell about a request that failed, perhaps after its version was
    /// chosen.
    pub(crate) fn of_failure<F>(failure: &Failure<F>, protocol: Protocol, error: &'static str) -> Self {
        let Failure { id, version, arm, logged, .. } = failure;
        Self {
            id: id.clone(),
            protocol,
            version: version.clone(),
            arm: *arm,
            rows: 0,
            error: Some(error),
            logged: logged.clone(),
        }
    }

    /// Returns what there is to tell about a request that failed before a version was chosen.
    pub(crate) fn failed(id: RequestId, protocol: Protocol, error: &'static str) -> Self {
        Self { protocol, error: Some(error), ..Self::unserved(id) }
    }

    /// Returns what there is to tell about a request that no version has answered.
    pub(crate) fn unserved(id: RequestId) -> Self {
        Self { id, protocol: Protocol::Other, version: None, arm: Arm::Only, rows: 0, error: None, logged: None }
    }

    /// Hands the request to the log of its version, if that takes it: it was chosen, or it failed.
    pub(crate) fn log(self, client_request_id: Option<&str>, status: u16, latency: Duration) {
        let Some(log) = self.version.as_ref().and_then(|version| version.log.as_ref()) else { return };
        let is_failure = status >= 400;
        if self.logged.is_none() && !is_failure {
            return;
        }
        let now = SystemTime::now();
        log.write(LoggedRequest {
            request_id: self.id.into(),
            client_request_id: client_request_id.map(str::to_owned),
            at: now.checked_sub(latency).unwrap_or(now),
            arm: self.arm.name(),
            status,
            latency,
            error: self.error,
            rows: self.logged,
        });
    }
}

/// An answer, and the facts about it.
pub(crate) struct HandledResponse {
    pub(crate) response: Response,
    pub(crate) handled: Handled,
}

impl From<Response> for HandledResponse {
    /// Takes the facts out of the extensions.
    fn from(mut response: Response) -> Self {
        let handled = response.extensions_mut().remove();
        let handled = handled.unwrap_or_else(|| Handled::unserved(RequestId::unanswered()));
        Self { response, handled }
    }
}

impl IntoResponse for HandledResponse {
    /// Puts the facts among the extensions.
    fn into_response(self) -> Response {
        let Self { mut response, handled } = self;
        response.extensions_mut().insert(handled);
        response
    }
}
