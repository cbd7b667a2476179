//! Ends the process when its budget of CPU time is spent, and says so.
//!
//! It is asleep until the budget can be spent at the earliest, so it costs nothing and is there in
//! time. The parent watches as well, for a child whose watchdog does not get that far.

use std::io;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use rustix::thread::{ClockId, clock_nanosleep_relative};
use rustix::time::Timespec;

use super::last_words::say_and_end;
use crate::clock::Clock;
use crate::report::Report;

/// The shortest sleep: where little is left, looking more often would use it up.
const SHORTEST: Duration = Duration::from_micros(200);

/// It looks at a clock; a thread's usual 2 MiB would count as memory of the child.
const STACK: usize = 64 << 10;

/// Starts it for the thread of this clock, and returns when it is in its loop: what a thread does
/// at its start is refused later.
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
                say_and_end(Report::Cpu { used: nanoseconds(used), allowed: nanoseconds(allowed) });
            }
            // One thread uses no more than one second of CPU time a second.
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
