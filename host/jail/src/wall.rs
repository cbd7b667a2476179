//! The walls around a child.

use std::fmt;
use std::ops::BitOr;

/// The walls of a process. Which of them a system can build is known once a child tried, and is in
/// its [`Ending`](crate::Ending).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Walls(u8);

impl Walls {
    /// None.
    pub const NONE: Self = Self(0);
    /// A filter that refuses every system call but those that computing takes: no file, no socket,
    /// no process, no executable memory.
    pub const SECCOMP: Self = Self(1);
    /// No path, no address, no other process's signals and sockets, even for a system call that the
    /// filter would let through; as much of that as the kernel's version of Landlock knows, files
    /// at least.
    pub const LANDLOCK: Self = Self(2);
    /// The kernel's own limits: memory, address space, CPU; no file, process, descriptor or core
    /// dump.
    pub const RLIMITS: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// Their names, in the order in which they are always told.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [(Self::SECCOMP, "seccomp"), (Self::LANDLOCK, "landlock"), (Self::RLIMITS, "rlimits")];
        all.into_iter().filter_map(move |(wall, name)| self.contains(wall).then_some(name))
    }

    /// Whether all of those stand.
    pub fn contains(self, walls: Self) -> bool {
        self.0 & walls.0 == walls.0
    }

    /// Those of these that do not stand.
    pub fn missing(self, walls: Self) -> Self {
        Self(walls.0 & !self.0)
    }

    #[cfg(any(feature = "child", feature = "parent"))]
    pub(crate) fn bits(self) -> u64 {
        self.0.into()
    }

    /// `None` for bits that are no wall.
    #[cfg(any(feature = "child", feature = "parent"))]
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        u8::try_from(bits).ok().filter(|bits| bits & !Self::ALL.0 == 0).map(Self)
    }
}

impl BitOr for Walls {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The names with commas between them; `none` where there is none.
impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("none");
        }
        for (at, name) in self.names().enumerate() {
            write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "parent"))]
mod tests {
    use super::*;

    #[test]
    fn walls_are_told_in_one_order() {
        let some = Walls::RLIMITS | Walls::SECCOMP;
        assert_eq!(some.to_string(), "seccomp, rlimits");
        assert_eq!(some.missing(Walls::ALL), Walls::LANDLOCK);
        assert_eq!(Walls::NONE.to_string(), "none");
        assert_eq!((Walls::from_bits(7), Walls::from_bits(8)), (Some(Walls::ALL), None));
    }
}
