//! How a reader learns that it should stop, and tells what it used.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Asked by readers every few thousand rows or steps; cheap to clone. Once it says stop, it must go on saying so.
#[derive(Clone)]
pub struct Interrupt {
    is_set: Arc<dyn Fn() -> bool + Send + Sync>,
    charge: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

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
        Self { is_set: Arc::new(is_set), charge: None }
    }

    /// Stops when either of the two does.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (first, second) = (self.is_set.clone(), other.is_set.clone());
        let charge = self.charge.clone().or_else(|| other.charge.clone());
        Self { is_set: Arc::new(move || first() || second()), charge }
    }

    /// The same, and `charge` is told the CPU time, in nanoseconds, that threads of the reader's own
    /// use.
    #[must_use]
    pub fn charging(self, charge: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { charge: Some(Arc::new(charge)), ..self }
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        (self.is_set)()
    }

    /// Tells how much CPU time a thread of the reader's own used, in nanoseconds.
    pub fn charge(&self, nanoseconds: u64) {
        if let Some(charge) = &self.charge {
            charge(nanoseconds);
        }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.is_set()).finish()
    }
}
