//! Clocks of CPU time of a thread or of another process.

use std::time::Duration;

/// A clock of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock(libc::clockid_t);

impl Clock {
    /// Returns the CPU clock of a process, which any process may read until the process is reaped.
    /// The number is described in `man 2 clock_getres`.
    #[cfg(feature = "parent")]
    pub(crate) fn of_process(process: rustix::process::Pid) -> Self {
        Self((!process.as_raw_pid() << 3) | 2)
    }

    /// Returns the CPU clock of the calling thread, which all threads of its process may read.
    #[cfg(feature = "child")]
    pub(crate) fn of_this_thread() -> Self {
        Self((!rustix::thread::gettid().as_raw_pid() << 3) | 6)
    }

    /// Returns the clock's number, as an argument of a system call.
    #[cfg(feature = "child")]
    pub(crate) fn number(self) -> u64 {
        u64::from(self.0 as u32)
    }

    /// Reads the clock. Returns `None` if the process or thread no longer exists.
    pub(crate) fn now(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes one `timespec` through the pointer.
        let read = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        (read == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// Returns the CPU time of the calling thread.
#[cfg(feature = "parent")]
pub(crate) fn of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
