//! A version that takes part in a deployment.

use std::sync::Arc;

use stagewright_data::{RequestDecoder, RequestOptions};
use stagewright_deployment::Key;

use super::counter::Counter;
use crate::arm::Arm;
use crate::served_version::ServedVersion;

/// A version that takes part in a deployment.
#[derive(Clone)]
pub(crate) struct LiveArm {
    /// The arm in the metrics and in identifiers of requests.
    pub(crate) label: Arm,
    pub(crate) version: Arc<ServedVersion>,
    /// Decodes requests by the version's signature, with the field that is the key.
    pub(crate) decoder: RequestDecoder,
    /// Whether its decoder makes the same of every request as that of the first arm.
    pub(crate) reads_as_first: bool,
    pub(crate) counter: Arc<Counter>,
}

impl LiveArm {
    /// Creates an arm. `first` is the version of the first arm, and `key` the part of a request
    /// that decides which arm answers.
    pub(super) fn new(
        label: Arm,
        version: &Arc<ServedVersion>,
        first: &ServedVersion,
        key: Option<&Key>,
        counter: Arc<Counter>,
    ) -> Self {
        let decoder = match key {
            Some(Key::Field(field)) => {
                let options = RequestOptions { key: Some(field.clone()), ..version.request.clone() };
                RequestDecoder::new(&version.contents.signature, options)
            }
            _ => version.decoder.clone(),
        };
        Self { label, version: version.clone(), decoder, reads_as_first: first.reads_as(version), counter }
    }
}
