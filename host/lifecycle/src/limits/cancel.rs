//! A request to stop, which every part of the work looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops everything that runs under it, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    /// A wish to stop more than what this one stops.
    above: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// Asks everything to stop at the next safe point.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// A wish that stops a part of what this one stops.
    #[must_use]
    pub fn of_a_part(&self) -> Self {
        Self { asked: Arc::default(), above: Some(self.asked.clone()) }
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        let is_asked = |wish: &Arc<AtomicBool>| wish.load(Ordering::Relaxed);
        is_asked(&self.asked) || self.above.as_ref().is_some_and(is_asked)
    }
}
