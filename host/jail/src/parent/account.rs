//! The account of children. Children that share an account share what is in it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much of something is used, and how much may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Used so far.
    pub used: Duration,
    /// Allowed in all.
    pub allowed: Duration,
}

impl Spent {
    pub(crate) fn left(self) -> Duration {
        self.allowed.saturating_sub(self.used)
    }
}

/// Time that children may use. Asked by the thread that watches them, up to some hundred times a
/// second: an answer must not wait.
pub trait Account: Send + Sync {
    /// Adds CPU time that a child used, or that the thread which watches it used for it.
    fn charge(&self, cpu: Duration);

    /// CPU time: the children's, the watching thread's for them, and whatever else the caller
    /// counts.
    fn cpu(&self) -> Spent;

    /// Time on the wall. It may stand still, where the caller lets it.
    fn wall(&self) -> Spent;

    /// Whether somebody wants all of it to end.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An account of its own, whose time on the wall begins with it.
#[derive(Debug)]
pub struct TimeBudget {
    cpu: Duration,
    wall: Duration,
    begin: Instant,
    used: AtomicU64,
    cancelled: AtomicBool,
}

impl TimeBudget {
    /// So much CPU time, and so much on the wall from now on.
    pub fn new(cpu: Duration, wall: Duration) -> Self {
        Self { cpu, wall, begin: Instant::now(), used: AtomicU64::new(0), cancelled: AtomicBool::new(false) }
    }

    /// Ends every child that has this account, within some hundredths of a second.
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
