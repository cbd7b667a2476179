//! Clocks of CPU time: a thread's, and another process's.

use std::time::Duration;

/// A clock of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock(libc::clockid_t);

impl Clock {
    /// The clock of all threads of a process, which every process may read until it is reaped.
    /// Layout of the number: `man 2 clock_getres`.
    #[cfg(feature = "parent")]
    pub(crate) fn of_process(process: rustix::process::Pid) -> Self {
        Self((!process.as_raw_pid() << 3) | 2)
    }

    /// The clock of the thread that asks, for all threads of its process.
    #[cfg(feature = "child")]
    pub(crate) fn of_this_thread() -> Self {
        Self((!rustix::thread::gettid().as_raw_pid() << 3) | 6)
    }

    /// Its number, as an argument of a system call.
    #[cfg(feature = "child")]
    pub(crate) fn number(self) -> u64 {
        u64::from(self.0 as u32)
    }

    /// Its time; nothing where there is no such process or thread any more.
    pub(crate) fn now(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes one `timespec` to where this one is.
        let read = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        (read == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// CPU time of the thread that asks, and of no other.
#[cfg(feature = "parent")]
pub(crate) fn of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
