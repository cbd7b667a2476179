//! The lock: after it, a child computes and speaks to its parent, and can do nothing else.
//!
//! The order is part of it. Landlock binds the thread that asks and those that it starts, so it
//! comes before the watchdog's; the watchdog must be in its loop before the filter, which refuses
//! what starting a thread takes; the limits come after everything that they would forbid; the
//! filter is last.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::channel::Channel;
use super::start::{Own, Started, limit};
use super::{filter, last_words, watchdog};
use crate::clock::Clock;
use crate::report::Report;
use crate::ring::Memory;
use crate::wall::{Walls, filters_are_possible};

/// Address space beyond what there is at the lock and what may be used: allocators reserve some in
/// large pieces.
const RESERVE: u64 = 2 << 30;

/// Seconds beyond the budget after which the kernel ends a child that nobody else did.
const LAST_RESORT: u64 = 2;

/// A locked child.
#[derive(Debug)]
pub struct Locked {
    /// The walls around it.
    pub walls: Walls,
    /// Its only way to speak.
    pub channel: Channel,
}

/// Why a child cannot be locked. It must end, without having done any of its work.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Walls that the parent requires cannot be built here.
    #[error("these walls are required and cannot be built on this system: {0}")]
    Missing(Walls),
    /// Landlock would not bind the other threads.
    #[error("it has `{0}` threads; only one can be locked")]
    Threads(u64),
    /// A descriptor is open through which something could be written.
    #[error("descriptor `{0}` is open and not for reading alone")]
    Descriptor(RawFd),
    /// The system refused something that no wall can do without.
    #[error("cannot {what}: {reason}")]
    System {
        /// What.
        what: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> LockError {
    move |reason| LockError::System { what, reason: reason.into() }
}

impl Started {
    /// Locks this process in, for good. The calling thread is the one whose CPU time is limited.
    ///
    /// Before this, everything is loaded and mapped that will be run or read: executable memory
    /// cannot be made afterwards. Descriptors that are left open are for reading. After it, nothing
    /// may drop one, since closing is refused; the process ends by [`end`](super::end).
    ///
    /// # Errors
    /// A wall that the parent requires cannot be built, or the process is not in a state in which
    /// walls hold. It must then end.
    pub fn lock(self) -> Result<Locked, LockError> {
        let Self { hello, inputs, own: Own { up, down, wake, report }, .. } = self;
        // Never closed: closing is refused later.
        let (wake, report): (&'static OwnedFd, &'static OwnedFd) =
            (Box::leak(Box::new(wake)), Box::leak(Box::new(report)));
        last_words::over(report);
        let channel = Channel::new(
            Memory::map(&up).map_err(system("map its ring"))?,
            Memory::map(&down).map_err(system("map its parent's ring"))?,
            wake,
        );
        drop((up, down, inputs));
        let memory = MemoryFigures::open().map_err(system("read `/proc/self/statm`"))?;
        let threads = threads().map_err(system("count its threads"))?;
        if threads != 1 {
            return Err(LockError::Threads(threads));
        }
        only_for_reading(&[report.as_raw_fd(), wake.as_raw_fd()])?;
        // Maps that hash take their keys from the system, once a thread: now.
        std::hint::black_box(std::collections::hash_map::RandomState::new());

        let mut walls = if landlock() { Walls::LANDLOCK } else { Walls::NONE };
        let clock = Clock::of_this_thread();
        watchdog::start(clock, Duration::from_nanos(hello.cpu)).map_err(system("start its watchdog"))?;
        if limits(hello.cpu, hello.memory, memory).is_ok() {
            walls = walls | Walls::RLIMITS;
        }
        give_up_privileges().map_err(system("give up its privileges"))?;
        last_words::of_panics();
        last_words::of_refused_calls().map_err(system("handle refused calls"))?;
        let program = filter::program(clock, report, wake).ok().filter(|_| filters_are_possible());
        // Before the filter, behind which a process cannot end in an orderly way and say why.
        require(walls | if program.is_some() { Walls::SECCOMP } else { Walls::NONE }, hello.required)?;
        if program.is_some_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok()) {
            walls = walls | Walls::SECCOMP;
        }
        require(walls, hello.required)?;
        last_words::say(Report::Locked(walls));
        Ok(Locked { walls, channel })
    }
}

/// Reports walls that are missing.
fn require(walls: Walls, required: Walls) -> Result<(), LockError> {
    let missing = walls.missing(required);
    if missing == Walls::NONE {
        return Ok(());
    }
    last_words::say(Report::Missing(missing));
    Err(LockError::Missing(missing))
}

/// How many threads this process has: folders among its tasks.
fn threads() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Refuses to go on with a descriptor that somebody could write to. Those of inputs may be open:
/// what wasmtime maps it keeps open.
fn only_for_reading(own: &[RawFd]) -> Result<(), LockError> {
    let failed = system("look at its descriptors");
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && !own.contains(descriptor)) {
        // SAFETY: asks about a number, whatever it stands for, and keeps nothing of it.
        match unsafe { libc::fcntl(descriptor, libc::F_GETFL) } {
            // The one that listed the folder is gone.
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EBADF) => {}
            flags if flags >= 0 && flags & libc::O_ACCMODE == libc::O_RDONLY => {}
            _ => return Err(LockError::Descriptor(descriptor)),
        }
    }
    Ok(())
}

/// Landlock without a rule: every path, every port, every other process. Says whether the kernel
/// does any of it.
fn landlock() -> bool {
    use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
    let newest = ABI::V6;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(newest))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(newest)))
        .and_then(|rules| rules.scope(Scope::from_all(newest)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    restricted.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

/// The kernel's limits. `RLIMIT_DATA` counts what is private and writable, so it is what there is
/// plus the allowance; `RLIMIT_AS` bounds page tables, which no other limit sees.
fn limits(cpu: u64, allowance: u64, memory: MemoryFigures) -> io::Result<()> {
    limit(Resource::Cpu, (cpu / 1_000_000_000).saturating_add(LAST_RESORT))?;
    for resource in [Resource::Core, Resource::Fsize, Resource::Nproc, Resource::Memlock, Resource::Msgqueue] {
        limit(resource, 0)?;
    }
    let (private, reserved) = memory.private_and_reserved()?;
    drop(memory);
    limit(Resource::Nofile, 0)?;
    limit(Resource::Data, private.saturating_add(allowance))?;
    limit(Resource::As, reserved.saturating_add(allowance).saturating_add(RESERVE))
}

/// No capability, in no set, and no core or memory that another process of this user could look at.
fn give_up_privileges() -> io::Result<()> {
    for capability in 0..64 {
        // Refused to whoever has no capability, and past the last one that there is.
        if rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability))
            .is_err()
        {
            break;
        }
    }
    // Kernels before 4.3 have none.
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// `/proc/self/statm`, opened while it can be and read when it counts. It is the cheapest of the
/// files that say how much memory a process has.
struct MemoryFigures(File);

impl MemoryFigures {
    fn open() -> io::Result<Self> {
        File::open("/proc/self/statm").map(Self)
    }

    /// Bytes of private memory that can be written to, the stack's among them, and of all address
    /// space. `RLIMIT_DATA` does not count the stack, some hundred KiB here.
    fn private_and_reserved(&self) -> io::Result<(u64, u64)> {
        let mut bytes = [0; 256];
        let length = self.0.read_at(&mut bytes, 0)?;
        let text = std::str::from_utf8(&bytes[..length]).map_err(io::Error::other)?;
        let page = rustix::param::page_size() as u64;
        let figure = |place: usize| text.split_whitespace().nth(place).and_then(|pages| pages.parse::<u64>().ok());
        let figures = figure(5).zip(figure(0)).map(|(data, all)| (data.saturating_mul(page), all.saturating_mul(page)));
        figures.ok_or_else(|| io::Error::other("no figures of memory"))
    }
}
