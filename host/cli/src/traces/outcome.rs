//! Counts of the spans that were exported, and the reason why some were not.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock, PoisonError};

use opentelemetry::trace::TraceId;

/// The fate of the spans.
#[derive(Debug, Default)]
pub(super) struct ExportOutcome {
    /// The trace that the first span is of.
    pub(super) trace: OnceLock<TraceId>,
    /// Spans that were to be sent.
    pub(super) ended: AtomicU64,
    /// Spans of requests that the collector took.
    pub(super) taken: AtomicU64,
    /// Those among them that it did not keep, as it says.
    pub(super) rejected: AtomicU64,
    /// Why some were not.
    pub(super) fault: Mutex<Option<String>>,
}

impl ExportOutcome {
    pub(super) fn failed(&self, reason: impl fmt::Display) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
    }

    pub(super) fn failed_unless_known(&self, reason: impl fmt::Display) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert_with(|| reason.to_string());
    }
}
