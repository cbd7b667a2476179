//! The end of a child.

use std::fmt;
use std::time::Duration;

use stagewright_text::Untrusted;

use super::syscall_names;
use crate::ring::Fault;
use crate::walls::Walls;

/// The most bytes of a child's standard error. A correct child only writes there why it crashes.
pub(super) const MAX_STDERR: usize = 16 << 10;

/// The most bytes of it that are shown to people.
const SHOWN: usize = 2 << 10;

/// The end of a child, and what it used.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Why it ended.
    pub why: Why,
    /// Its standard error, cut and escaped so that it can be shown.
    pub stderr: String,
    /// The CPU time of all its threads.
    pub cpu: Duration,
    /// The wall time from its start to its end.
    pub wall: Duration,
    /// The walls around it; `None` if it ended before it was locked.
    pub walls: Option<Walls>,
}

impl Ending {
    /// Returns the signal by which another program or the kernel ended it, most often for lack of
    /// memory.
    ///
    /// Behind the filter, a child cannot send itself such a signal. Without the filter, the origin
    /// is unknown, and this returns `None`.
    pub fn from_outside(&self) -> Option<String> {
        let Why::Signal(signal) = self.why else { return None };
        let is_possible_inside = [
            libc::SIGABRT,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGSEGV,
            libc::SIGSYS,
            libc::SIGTRAP,
            libc::SIGXCPU,
            libc::SIGXFSZ,
        ]
        .contains(&signal);
        // Before the lock, a child runs no untrusted code.
        let is_filtered = self.walls.is_none_or(|walls| walls.contains(Walls::SECCOMP));
        let name = || syscall_names::signal(signal).map_or_else(|| signal.to_string(), str::to_owned);
        (is_filtered && !is_possible_inside).then(name)
    }
}

/// Why a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It exited with this code.
    Exited(i32),
    /// It exceeded a limit.
    Limit {
        /// The limit.
        limit: Limit,
        /// The amount used, in nanoseconds or bytes.
        used: u64,
        /// The amount allowed, in nanoseconds or bytes.
        allowed: u64,
    },
    /// Its account was cancelled.
    Cancelled,
    /// It made a system call that a wall refuses: the number of the call, where known.
    Refused(Option<u32>),
    /// It crashed or was killed by someone else: the number of the signal.
    Signal(i32),
    /// It broke the rules of the ring.
    Forged(Fault),
    /// Required walls could not be built, so it did no work.
    Missing(Walls),
    /// Its parent stopped it, for this reason.
    Stopped(String),
}

/// A limit on a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// CPU time in nanoseconds.
    Cpu,
    /// Wall time in nanoseconds.
    Wall,
    /// Private memory in bytes.
    Memory,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "it ended by itself with code `{code}`"),
            Self::Limit { limit: Limit::Memory, used, allowed } => {
                write!(f, "it ran past its limit of memory: it needs {} of {} bytes", used, allowed)
            }
            Self::Limit { limit, used, allowed } => {
                let name = if *limit == Limit::Cpu { "CPU time" } else { "time on the wall" };
                let seconds = |nanoseconds: &u64| Duration::from_nanos(*nanoseconds).as_secs_f64();
                write!(f, "it ran past its limit of {name}: {:.3} s of {:.3} s", seconds(used), seconds(allowed))
            }
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::Refused(Some(call)) => match syscall_names::name(*call) {
                Some(name) => write!(f, "it tried the system call `{name}`, which is refused to it"),
                None => write!(f, "it tried the system call `{call}`, which is refused to it"),
            },
            Self::Refused(None) => f.write_str("it tried a system call that is refused to it"),
            Self::Signal(signal) => match syscall_names::signal(*signal) {
                Some(name) => write!(f, "it ended by the signal `{name}`"),
                None => write!(f, "it ended by the signal `{signal}`"),
            },
            Self::Forged(fault) => write!(f, "it sent what no stage's process sends: {fault}"),
            Self::Missing(walls) => write!(f, "walls that are required cannot be built on this system: {walls}"),
            Self::Stopped(reason) => write!(f, "it was stopped: {reason}"),
        }
    }
}

/// Cuts and escapes a child's text so that it can be shown.
pub(super) fn shown(bytes: &[u8]) -> String {
    Untrusted::lines(String::from_utf8_lossy(bytes).trim_end()).cut(SHOWN).to_string()
}
