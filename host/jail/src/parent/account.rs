//! The time that children may use. Children may share an account.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An amount of time used, and the amount allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// The time used so far.
    pub used: Duration,
    /// The time allowed in total.
    pub allowed: Duration,
}

impl Spent {
    pub(crate) fn left(self) -> Duration {
        self.allowed.saturating_sub(self.used)
    }
}

/// The time that children may use.
///
/// The thread that watches the children calls these methods up to some hundred times a second, so
/// they must not block.
pub trait Account: Send + Sync {
    /// Adds CPU time that a child used, or that the watching thread used to start or end it.
    fn charge(&self, cpu: Duration);

    /// Adds CPU time that the watching thread used to watch a child, as it does while the child is
    /// idle. An account whose limit counts per call may leave that time out.
    fn charge_watching(&self, cpu: Duration) {
        self.charge(cpu);
    }

    /// Returns the CPU time: that of the children, that of the watching thread for them, and
    /// whatever else the caller counts.
    fn cpu(&self) -> Spent;

    /// Returns the wall time. The caller may stop it at times.
    fn wall(&self) -> Spent;

    /// Returns whether the children must end.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An account with fixed limits, whose wall time starts at its creation.
#[derive(Debug)]
pub struct TimeBudget {
    cpu: Duration,
    wall: Duration,
    begin: Instant,
    used: AtomicU64,
    cancelled: AtomicBool,
}

impl TimeBudget {
    /// Creates an account with limits on CPU time and on wall time, which starts now.
    pub fn new(cpu: Duration, wall: Duration) -> Self {
        Self { cpu, wall, begin: Instant::now(), used: AtomicU64::new(0), cancelled: AtomicBool::new(false) }
    }

    /// Ends all children of this account, within some hundredths of a second.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Account for TimeBudget {
    fn charge(&self, cpu: Duration) {
        self.used.fetch_add(cpu.as_nanos() as u64, Ordering::Relaxed);
    }

    fn cpu(&self) -> Spent {
        Spent { used: Duration::from_nanos(self.used.load(Ordering::Relaxed)), allowed: self.cpu }
    }

    fn wall(&self) -> Spent {
        Spent { used: self.begin.elapsed(), allowed: self.wall }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
