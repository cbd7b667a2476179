//! The walls around a child.

use std::fmt;
use std::ops::BitOr;

/// The walls of a process. Which of them stood around a child is known once it tried, and is in its
/// [`Ending`](crate::Ending); which of them can be built is known before.
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

    /// Those that this system can build around a child of this process. The kernel is asked;
    /// nothing changes.
    #[cfg(any(feature = "child", feature = "parent"))]
    pub fn of_this_system() -> Self {
        let all = [
            (Self::SECCOMP, ARCHITECTURE_IS_KNOWN && filters_are_possible()),
            (Self::LANDLOCK, landlock_is_possible()),
            (Self::RLIMITS, limits_are_possible()),
        ];
        all.into_iter().filter(|(_, is_possible)| *is_possible).fold(Self::NONE, |walls, (wall, _)| walls | wall)
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

/// Whether a filter can be written for this processor.
#[cfg(any(feature = "child", feature = "parent"))]
const ARCHITECTURE_IS_KNOWN: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));

/// Whether the kernel can do what the filter asks for.
#[cfg(any(feature = "child", feature = "parent"))]
pub(crate) fn filters_are_possible() -> bool {
    let trap = libc::SECCOMP_RET_TRAP;
    // SAFETY: the kernel reads one number from where this one is, and changes nothing.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const trap) == 0 }
}

/// Whether Landlock is compiled into the kernel, and on.
#[cfg(any(feature = "child", feature = "parent"))]
fn landlock_is_possible() -> bool {
    /// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the version instead of making rules.
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel reads nothing, makes nothing and returns a number.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) >= 1 }
}

/// Whether limits may be set: one is, to what it is.
#[cfg(any(feature = "child", feature = "parent"))]
fn limits_are_possible() -> bool {
    use rustix::process::{Resource, getrlimit, setrlimit};
    setrlimit(Resource::Core, getrlimit(Resource::Core)).is_ok()
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
