//! The cancellation of a run, or of a part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A cancellation token. Clones share one state; any thread may cancel.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    /// The token that this one is a part of.
    above: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// Cancels the work. It stops at its next check.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Returns a token for a part of the work: cancelling it leaves the rest alone, and cancelling
    /// this one cancels it.
    #[must_use]
    pub fn of_a_part(&self) -> Self {
        Self { asked: Arc::default(), above: Some(self.asked.clone()) }
    }

    /// Whether this token, or the one that it is a part of, was cancelled.
    pub fn is_cancelled(&self) -> bool {
        let is_asked = |wish: &Arc<AtomicBool>| wish.load(Ordering::Relaxed);
        is_asked(&self.asked) || self.above.as_ref().is_some_and(is_asked)
    }
}
