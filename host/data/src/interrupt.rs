//! How a reader learns that it should stop.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Asked by readers every few thousand rows or steps; cheap to clone. Once it says stop, it must go on saying so.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Interrupt {
    /// Never stops.
    pub fn never() -> Self {
        Self::when(|| false)
    }

    /// Stops at a deadline.
    pub fn at(deadline: Instant) -> Self {
        Self::when(move || Instant::now() >= deadline)
    }

    /// Stops when `is_set` says so. It is called from the reader's thread and must return at once.
    pub fn when(is_set: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_set))
    }

    /// Stops when either of the two does.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (first, second) = (self.clone(), other.clone());
        Self::when(move || first.is_set() || second.is_set())
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.is_set()).finish()
    }
}
