//! A thread's CPU time, charged once.
//!
//! A stage's thread runs guests, and it works for the stage between two calls: it splits rows,
//! measures, renders. Whoever charges some of the thread's time says so here. So an outer account
//! leaves out what an inner one has charged already, to the same stage or to another one.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// Nanoseconds of this thread that were charged to somebody.
    static CHARGED: Cell<u64> = const { Cell::new(0) };
}

/// This thread's CPU time.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A moment of a thread from which its CPU time is to be charged. It means nothing on another
/// thread.
#[derive(Debug, Clone, Copy)]
pub struct CpuMark {
    cpu: Duration,
    charged: u64,
}

impl CpuMark {
    /// Now.
    pub fn now() -> Self {
        Self { cpu: thread_cpu(), charged: CHARGED.get() }
    }

    /// Takes the nanoseconds since the mark that nobody has charged, and moves the mark to now. The
    /// caller charges them.
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
