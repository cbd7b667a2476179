//! The facts about an answer that its route tells the server, for metrics, log and headers.

use std::sync::Arc;

use crate::arm::Arm;
use crate::protocol::Protocol;
use crate::request_id::RequestId;
use crate::served_version::ServedVersion;
use crate::service::{Answer, Failure};

/// The facts about an answer, as an extension of the response, for metrics and the log. An answer
/// without it counts as one that no version gave.
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
}

impl Handled {
    /// Returns what there is to tell about an answer.
    pub(crate) fn answered(answer: &Answer, protocol: Protocol) -> Self {
        let Answer { version, arm, id, values } = answer;
        let rows = (values.len() / version.contents.width().max(1)) as u64;
        Self { id: id.clone(), protocol, version: Some(version.clone()), arm: *arm, rows, error: None }
    }

    /// Returns what there is to tell about a request that failed, perhaps after its version was
    /// chosen.
    pub(crate) fn of_failure<F>(failure: &Failure<F>, protocol: Protocol, error: &'static str) -> Self {
        let Failure { id, version, arm, .. } = failure;
        Self { id: id.clone(), protocol, version: version.clone(), arm: *arm, rows: 0, error: Some(error) }
    }

    /// Returns what there is to tell about a request that failed before a version was chosen.
    pub(crate) fn failed(id: RequestId, protocol: Protocol, error: &'static str) -> Self {
        Self { protocol, error: Some(error), ..Self::unserved(id) }
    }

    /// Returns what there is to tell about a request that no version has answered.
    pub(crate) fn unserved(id: RequestId) -> Self {
        Self { id, protocol: Protocol::Other, version: None, arm: Arm::Only, rows: 0, error: None }
    }
}
