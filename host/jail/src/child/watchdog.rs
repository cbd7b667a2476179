//! A thread that ends the process when its CPU time is used up, and reports that.
//!
//! It sleeps until the earliest time at which the limit can be reached, so it costs nothing and
//! acts in time. The parent watches too, in case this thread does not run.

use std::io;
use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

use rustix::thread::{ClockId, clock_nanosleep_relative};
use rustix::time::Timespec;

use super::checkpoint::signal_stack;
use super::reporting::send_and_end;
use crate::clock::Clock;
use crate::report::Report;

/// The shortest sleep. Checking more often would use up the remaining time.
const SHORTEST: Duration = Duration::from_micros(200);

/// The stack of the thread in bytes, which only reads a clock. The usual 2 MiB would count as
/// memory of the child.
const STACK: usize = 64 << 10;

/// Starts the watchdog for the thread of this clock. Returns when the watchdog is in its loop,
/// since the filter refuses what a thread does at its start. Returns the memory that the watchdog
/// uses: its stack, with its thread-local values, and that of its signal handlers.
///
/// # Errors
/// The system starts no thread.
pub(super) fn start(clock: Clock, allowed: Duration) -> io::Result<[Range<usize>; 2]> {
    let (there, started) = mpsc::sync_channel(1);
    let begin = clock.now().unwrap_or_default();
    let watch = move || {
        let _ = there.send(stack().and_then(|stack| Ok([stack, signal_stack()?])));
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
    let memory = started.recv();
    // The thread has sent its last message when the other end is gone.
    let _ = started.recv();
    memory.map_err(|_| io::Error::other("the watchdog ended"))?
}

/// Returns the stack of the calling thread, without its guard.
fn stack() -> io::Result<Range<usize>> {
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the first call initialises the attributes, which the others read and release.
    let failed = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let mut failed = libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes);
        if failed == 0 {
            failed = libc::pthread_attr_getstack(&raw const attributes, &raw mut start, &raw mut size);
            libc::pthread_attr_destroy(&raw mut attributes);
        }
        failed
    };
    if failed != 0 { Err(io::Error::from_raw_os_error(failed)) } else { Ok(start as usize..start as usize + size) }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
