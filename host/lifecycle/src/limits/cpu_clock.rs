//! The CPU time of a thread, charged once.
//!
//! A stage's thread runs guests, and between two calls it works for the stage: it splits rows,
//! measures and renders. Each charge is noted per thread. An outer [`CpuMark`] therefore leaves out
//! the time that an inner one has charged, to the same stage or another one.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// The nanoseconds of this thread that were charged.
    static CHARGED: Cell<u64> = const { Cell::new(0) };
}

/// Returns this thread's CPU time.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A point in a thread's CPU time, from which time is charged. It is only valid on its thread.
#[derive(Debug, Clone, Copy)]
pub struct CpuMark {
    cpu: Duration,
    charged: u64,
}

impl CpuMark {
    /// Returns a mark at this moment.
    pub fn now() -> Self {
        Self { cpu: thread_cpu(), charged: CHARGED.get() }
    }

    /// Returns the nanoseconds since the mark that were not charged, notes them as charged, and
    /// moves the mark to this moment. The caller adds them to an account.
    pub fn take(&mut self) -> u64 {
        let now = Self::now();
        let passed = now.cpu.saturating_sub(self.cpu).as_nanos() as u64;
        let due = passed.saturating_sub(now.charged - self.charged);
        CHARGED.set(now.charged + due);
        *self = Self { cpu: now.cpu, charged: now.charged + due };
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> u64 {
        let begin = thread_cpu();
        while thread_cpu() - begin < Duration::from_millis(20) {}
        (thread_cpu() - begin).as_nanos() as u64
    }

    // invariant: as `a_table_holds_what_it_says`
    #[test]
    fn time_is_charged_once() {
        let mut outer = CpuMark::now();
        let own = work();
        let mut inner = CpuMark::now();
        work();
        assert!(inner.take() >= 20_000_000);
        let due = outer.take();
        assert!(due >= own && due < own + 15_000_000, "{due} of {own}: the inner account has the rest");
        assert!(outer.take() < 5_000_000);
    }
}
