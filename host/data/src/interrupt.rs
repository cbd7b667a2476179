//! Stopping readers and charging their CPU time.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Tells a reader when to stop. Readers ask every few thousand rows or steps. Once set, it must
/// stay set. Cheap to clone.
#[derive(Clone)]
pub struct Interrupt {
    is_set: Arc<dyn Fn() -> bool + Send + Sync>,
    charge: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

impl Interrupt {
    /// Returns an interrupt that is never set.
    pub fn never() -> Self {
        Self::when(|| false)
    }

    /// Returns an interrupt that is set from a deadline on.
    pub fn at(deadline: Instant) -> Self {
        Self::when(move || Instant::now() >= deadline)
    }

    /// Returns an interrupt that `is_set` decides. It is called on the reader's thread and must
    /// return at once.
    pub fn when(is_set: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_set: Arc::new(is_set), charge: None }
    }

    /// Returns an interrupt that is set when either of the two is.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (first, second) = (self.is_set.clone(), other.is_set.clone());
        let charge = self.charge.clone().or_else(|| other.charge.clone());
        Self { is_set: Arc::new(move || first() || second()), charge }
    }

    /// Adds a callback for the CPU time that the reader's own threads use, in nanoseconds.
    #[must_use]
    pub fn charging(self, charge: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { charge: Some(Arc::new(charge)), ..self }
    }

    /// Returns whether to stop.
    pub fn is_set(&self) -> bool {
        (self.is_set)()
    }

    /// Charges the CPU time of one of the reader's own threads, in nanoseconds.
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
