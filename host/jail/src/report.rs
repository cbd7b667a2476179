//! Reports of a child about itself, over a separate pipe. When there is something to report, the
//! ring may be in the middle of a message, and a signal handler can only write to a pipe.
//!
//! Reports are untrusted. They give details about what the parent can verify by itself.

use crate::walls::Walls;

/// The length of a report in bytes: three words. Such short writes to a pipe are atomic.
pub(crate) const LENGTH: usize = 24;

/// The most reports of a child: that it is locked, and why it ends.
#[cfg(feature = "parent")]
pub(crate) const MOST: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The child is locked behind these walls.
    Locked(Walls),
    /// These required walls cannot be built, so the child ends.
    Missing(Walls),
    /// The CPU time is used up: nanoseconds used and allowed.
    Cpu { used: u64, allowed: u64 },
    /// A system call was refused.
    Refused { call: u64 },
}

impl Report {
    #[cfg(feature = "child")]
    pub(crate) fn bytes(self) -> [u8; LENGTH] {
        let words = match self {
            Self::Locked(walls) => [1, walls.bits(), 0],
            Self::Missing(walls) => [2, walls.bits(), 0],
            Self::Cpu { used, allowed } => [3, used, allowed],
            Self::Refused { call } => [4, call, 0],
        };
        let mut bytes = [0; LENGTH];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[cfg(feature = "parent")]
    pub(crate) fn parse(bytes: [u8; LENGTH]) -> Option<Self> {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        match (word(0), word(8), word(16)) {
            (1, walls, 0) => Walls::from_bits(walls).map(Self::Locked),
            (2, walls, 0) => Walls::from_bits(walls).map(Self::Missing),
            (3, used, allowed) => Some(Self::Cpu { used, allowed }),
            (4, call, 0) => Some(Self::Refused { call }),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "child", feature = "parent"))]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_were_written_and_others_are_none() {
        let all = [
            Report::Locked(Walls::ALL),
            Report::Missing(Walls::SECCOMP),
            Report::Cpu { used: 5, allowed: u64::MAX },
            Report::Refused { call: 41 },
        ];
        for report in all {
            assert_eq!(Report::parse(report.bytes()), Some(report));
        }
        assert_eq!(Report::parse([0xff; LENGTH]), None);
        let mut unknown_wall = Report::Locked(Walls::ALL).bytes();
        unknown_wall[8] = 8;
        assert_eq!(Report::parse(unknown_wall), None);
    }
}
