//! The walls around a child.

use std::fmt;
use std::ops::BitOr;

/// A set of walls around a process.
///
/// [`Walls::of_this_system`] tells in advance which walls can be built. Which of them stood around
/// a child is in its [`Ending`](crate::Ending).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Walls(u8);

impl Walls {
    /// No wall.
    pub const NONE: Self = Self(0);
    /// A filter that allows only the system calls that computing needs: no files, sockets,
    /// processes or executable memory.
    pub const SECCOMP: Self = Self(1);
    /// Landlock without any permission: no paths, network addresses, signals or abstract sockets,
    /// even for system calls that the filter might allow. Older kernels restrict fewer of these,
    /// but always files.
    pub const LANDLOCK: Self = Self(2);
    /// Resource limits of the kernel: memory, address space and CPU time; no files, processes,
    /// descriptors or core dumps.
    pub const RLIMITS: Self = Self(4);
    /// All walls.
    pub const ALL: Self = Self(7);

    /// Returns their names, always in the same order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [(Self::SECCOMP, "seccomp"), (Self::LANDLOCK, "landlock"), (Self::RLIMITS, "rlimits")];
        all.into_iter().filter_map(move |(wall, name)| self.contains(wall).then_some(name))
    }

    /// Asks the kernel which walls can be built around a child of this process. Changes nothing.
    #[cfg(any(feature = "child", feature = "parent"))]
    pub fn of_this_system() -> Self {
        let all = [
            (Self::SECCOMP, ARCHITECTURE_IS_KNOWN && filters_are_possible()),
            (Self::LANDLOCK, landlock_is_possible()),
            (Self::RLIMITS, limits_are_possible()),
        ];
        all.into_iter().filter(|(_, is_possible)| *is_possible).fold(Self::NONE, |walls, (wall, _)| walls | wall)
    }

    /// Returns whether this set contains all of `walls`.
    pub fn contains(self, walls: Self) -> bool {
        self.0 & walls.0 == walls.0
    }

    /// Returns those of `walls` that this set does not contain.
    pub fn missing(self, walls: Self) -> Self {
        Self(walls.0 & !self.0)
    }

    #[cfg(any(feature = "child", feature = "parent"))]
    pub(crate) fn bits(self) -> u64 {
        self.0.into()
    }

    /// Returns `None` if a bit is not a wall.
    #[cfg(any(feature = "child", feature = "parent"))]
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        u8::try_from(bits).ok().filter(|bits| bits & !Self::ALL.0 == 0).map(Self)
    }
}

/// Whether the filter supports this processor architecture.
#[cfg(any(feature = "child", feature = "parent"))]
const ARCHITECTURE_IS_KNOWN: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));

/// Returns whether the kernel supports the filter's actions.
#[cfg(any(feature = "child", feature = "parent"))]
pub(crate) fn filters_are_possible() -> bool {
    let trap = libc::SECCOMP_RET_TRAP;
    // SAFETY: the kernel reads one number through the pointer, and changes nothing.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const trap) == 0 }
}

/// Returns whether Landlock is enabled in the kernel.
#[cfg(any(feature = "child", feature = "parent"))]
fn landlock_is_possible() -> bool {
    /// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the version instead of creating a ruleset.
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag, the kernel accesses no memory, creates nothing, and returns a number.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) >= 1 }
}

/// Returns whether resource limits may be set, by setting one to its current value.
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

/// Formats the names separated by commas, or `none`.
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
    fn walls_are_named_in_one_order() {
        let some = Walls::RLIMITS | Walls::SECCOMP;
        assert_eq!(some.to_string(), "seccomp, rlimits");
        assert_eq!(some.missing(Walls::ALL), Walls::LANDLOCK);
        assert_eq!(Walls::NONE.to_string(), "none");
        assert_eq!((Walls::from_bits(7), Walls::from_bits(8)), (Some(Walls::ALL), None));
    }
}
