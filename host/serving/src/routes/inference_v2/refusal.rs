//! Why a request was refused.

use crate::fault::PredictFault;
use crate::routes::sentence::sentence;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The request breaks the protocol.
    #[error("{0}")]
    Invalid(String),
    /// There is no such version.
    #[error("version {version} of `{model}` is not served: {served} is")]
    NoVersion { model: String, version: String, served: u32 },
    /// It failed as a request of any protocol may.
    #[error("{}", sentence(.0))]
    Failed(#[from] PredictFault),
}

impl From<stagewright_data::RequestFault> for Refusal {
    fn from(fault: stagewright_data::RequestFault) -> Self {
        Self::Failed(fault.into())
    }
}
