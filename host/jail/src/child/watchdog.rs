//! A thread that ends the process when its CPU time is used up, and reports that.
//!
//! It sleeps until the earliest time at which the limit can be reached, so it costs nothing and
//! acts in time. The parent watches too, in case this thread does not run.

use std::io;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use rustix::thread::{ClockId, clock_nanosleep_relative};
use rustix::time::Timespec;

use super::reporting::send_and_end;
use crate::clock::Clock;
use crate::report::Report;

/// The shortest sleep. Checking more often would use up the remaining time.
const SHORTEST: Duration = Duration::from_micros(200);

/// The stack of the thread in bytes, which only reads a clock. The usual 2 MiB would count as
/// memory of the child.
const STACK: usize = 64 << 10;

/// Starts the watchdog for the thread of this clock. Returns when the watchdog is in its loop,
/// since the filter refuses what a thread does at its start.
///
/// # Errors
/// The system starts no thread.
pub(super) fn start(clock: Clock, allowed: Duration) -> io::Result<()> {
    let started = Arc::new(Barrier::new(2));
    let there = Arc::clone(&started);
    let begin = clock.now().unwrap_or_default();
    let watch = move || {
        there.wait();
        drop(there);
        loop {
            let used = clock.now().unwrap_or(Duration::MAX).saturating_sub(begin);
            if used >= allowed {
                send_and_end(Report::Cpu { used: nanoseconds(used), allowed: nanoseconds(allowed) });
            }
            // A thread uses at most one second of CPU time per second.
            let left = (allowed - used).max(SHORTEST);
            if let Ok(left) = Timespec::try_from(left) {
                let _ = clock_nanosleep_relative(ClockId::Monotonic, &left);
            }
        }
    };
    std::thread::Builder::new().stack_size(STACK).spawn(watch)?;
    started.wait();
    Ok(())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
