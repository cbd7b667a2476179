//! How a child ended.

use std::fmt;
use std::time::Duration;

use stagewright_text::Untrusted;

use super::calls;
use crate::ring::Fault;
use crate::wall::Walls;

/// The most bytes of a child's standard error. An honest child writes there why it crashes, and
/// nothing else.
pub(super) const SAID: usize = 16 << 10;

/// The most of them that a text for people shows.
const SHOWN: usize = 2 << 10;

/// How a child ended, and what it had used.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Why.
    pub why: Why,
    /// The text that it wrote on standard error: cut, and escaped so that it can be shown.
    pub said: String,
    /// CPU time of all its threads, from its start.
    pub cpu: Duration,
    /// From its start until it was gone.
    pub wall: Duration,
    /// The walls that stood around it; `None` if it ended before it was locked.
    pub walls: Option<Walls>,
}

impl Ending {
    /// The signal by which somebody else ended it: another program, or the system, for want of
    /// memory above all. Behind the filter a child has no way to send itself such a signal; where
    /// the filter did not stand, nobody can tell.
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
        // Before it is locked it runs nothing of anybody else's.
        let is_filtered = self.walls.is_none_or(|walls| walls.contains(Walls::SECCOMP));
        let name = || calls::signal(signal).map_or_else(|| signal.to_string(), str::to_owned);
        (is_filtered && !is_possible_inside).then(name)
    }
}

/// Why a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// By itself, with this code.
    Exited(i32),
    /// It was past a limit.
    Limit {
        /// Which.
        limit: Limit,
        /// Used: nanoseconds or bytes.
        used: u64,
        /// Allowed: nanoseconds or bytes.
        allowed: u64,
    },
    /// Its account was cancelled.
    Cancelled,
    /// It tried what a wall refuses; the system call's number where it is known.
    Refused(Option<u32>),
    /// It crashed, or somebody else killed it: the signal's number.
    Signal(i32),
    /// It broke the rules of the ring.
    Forged(Fault),
    /// Walls that were required could not be built. It did none of its work.
    Missing(Walls),
    /// Its parent wanted it to: the reason that it gave.
    Stopped(String),
}

/// The limits that the jail sets a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// CPU time in nanoseconds.
    Cpu,
    /// Time on the wall in nanoseconds.
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
            Self::Refused(Some(call)) => match calls::name(*call) {
                Some(name) => write!(f, "it tried the system call `{name}`, which is refused to it"),
                None => write!(f, "it tried the system call `{call}`, which is refused to it"),
            },
            Self::Refused(None) => f.write_str("it tried a system call that is refused to it"),
            Self::Signal(signal) => match calls::signal(*signal) {
                Some(name) => write!(f, "it ended by the signal `{name}`"),
                None => write!(f, "it ended by the signal `{signal}`"),
            },
            Self::Forged(fault) => write!(f, "it sent what no stage's process sends: {fault}"),
            Self::Missing(walls) => write!(f, "walls that are required cannot be built on this system: {walls}"),
            Self::Stopped(reason) => write!(f, "it was stopped: {reason}"),
        }
    }
}

/// A text of a child, fit to be shown.
pub(super) fn said(bytes: &[u8]) -> String {
    Untrusted::lines(String::from_utf8_lossy(bytes).trim_end()).cut(SHOWN).to_string()
}
