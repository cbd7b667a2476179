//! Counts of the spans that were exported, and the reason why some were not.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock, PoisonError};

use opentelemetry::trace::TraceId;

/// The outcome of the export so far.
#[derive(Debug, Default)]
pub(super) struct ExportOutcome {
    /// The trace of the first span.
    pub(super) trace: OnceLock<TraceId>,
    /// Spans that ended and are to be sent.
    pub(super) ended: AtomicU64,
    /// Spans in requests that the collector accepted.
    pub(super) taken: AtomicU64,
    /// Spans that the collector says it rejected, although it accepted the request.
    pub(super) rejected: AtomicU64,
    /// The latest reason why spans were not sent.
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
