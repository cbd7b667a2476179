//! Locks the process in: after that, it can only compute and communicate with its parent.
//!
//! The order matters. Landlock binds the calling thread and the threads that it starts later, so it
//! comes before the watchdog. The watchdog must be in its loop before the filter, which refuses
//! what starting a thread needs. The limits come after everything that they would forbid. The
//! filter is last.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::channel::Channel;
use super::checkpoint::Checkpoint;
use super::memory_figures::MemoryFigures;
use super::start::{Own, Started, limit};
use super::{reporting, syscall_filter, watchdog};
use crate::clock::Clock;
use crate::report::Report;
use crate::ring::Memory;
use crate::walls::{Walls, filters_are_possible};

/// Address space in addition to that at the lock and the memory limit, in bytes. Allocators reserve
/// address space in large pieces.
const RESERVE: u64 = 2 << 30;

/// Seconds of CPU time beyond the limit after which the kernel kills the child, as a last resort.
const LAST_RESORT: u64 = 2;

/// A locked child.
#[derive(Debug)]
pub struct Locked {
    /// The walls around it.
    pub walls: Walls,
    /// Its only connection.
    pub channel: Channel,
    /// The means to return to a checkpoint, if the parent's command asks for them.
    pub checkpoint: Option<Checkpoint>,
}

/// Why a child cannot be locked. It must end without doing any work.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Walls that the parent requires cannot be built here.
    #[error("these walls are required and cannot be built on this system: {0}")]
    Missing(Walls),
    /// The process has several threads, and Landlock would not bind the others.
    #[error("it has `{0}` threads; only one can be locked")]
    Threads(u64),
    /// A writable descriptor is open.
    #[error("descriptor `{0}` is open and not for reading alone")]
    Descriptor(RawFd),
    /// The system refused something that the lock needs.
    #[error("cannot {what}: {reason}")]
    System {
        /// The action that failed.
        what: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> LockError {
    move |reason| LockError::System { what, reason: reason.into() }
}

impl Started {
    /// Locks this process in permanently. The CPU time of the calling thread is limited.
    ///
    /// Call this after everything that will run or be read is loaded and mapped, since executable
    /// memory cannot be created afterwards. All open descriptors must be read-only. Afterwards, no
    /// descriptor may be dropped, since closing is refused; the process must end by
    /// [`end`](super::end).
    ///
    /// # Errors
    /// A required wall cannot be built, or the state of the process would make a wall ineffective.
    /// The process must then end.
    pub fn lock(self) -> Result<Locked, LockError> {
        let Self { hello, inputs, own: Own { up, down, wake, report }, .. } = self;
        // Leaked, since closing is refused later.
        let (wake, report): (&'static OwnedFd, &'static OwnedFd) =
            (Box::leak(Box::new(wake)), Box::leak(Box::new(report)));
        reporting::set_pipe(report);
        let channel = Channel::new(
            Memory::map(&up).map_err(system("map its ring"))?,
            Memory::map(&down).map_err(system("map its parent's ring"))?,
            wake,
        );
        let channel = channel.map_err(system("map its connection"))?;
        drop((up, down, inputs));
        let memory = MemoryFigures::open().map_err(system("read `/proc/self/statm`"))?;
        let checkpoint = hello.restores.then(Checkpoint::open).transpose();
        let mut checkpoint = checkpoint.map_err(system("prepare to restore its memory"))?;
        let threads = threads().map_err(system("count its threads"))?;
        if threads != 1 {
            return Err(LockError::Threads(threads));
        }
        only_for_reading(&[report.as_raw_fd(), wake.as_raw_fd()])?;
        // Hash maps get their keys from the system, once for each thread, so do it now.
        std::hint::black_box(std::collections::hash_map::RandomState::new());

        let mut walls = if landlock() { Walls::LANDLOCK } else { Walls::NONE };
        let clock = Clock::of_this_thread();
        let watchdogs =
            watchdog::start(clock, Duration::from_nanos(hello.cpu)).map_err(system("start its watchdog"))?;
        if let Some(checkpoint) = &mut checkpoint {
            checkpoint.exclude(watchdogs);
        }
        if limits(hello.cpu, hello.memory, memory).is_ok() {
            walls = walls | Walls::RLIMITS;
        }
        give_up_privileges().map_err(system("give up its privileges"))?;
        reporting::handle_panics();
        reporting::handle_refused_calls().map_err(system("handle refused calls"))?;
        let readable = checkpoint.iter().flat_map(Checkpoint::descriptors).collect::<Vec<_>>();
        let program = syscall_filter::program(clock, [report, wake], &readable).ok().filter(|_| filters_are_possible());
        // Checked before the filter, behind which the process cannot exit in an orderly way.
        require(walls | if program.is_some() { Walls::SECCOMP } else { Walls::NONE }, hello.required)?;
        if program.is_some_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok()) {
            walls = walls | Walls::SECCOMP;
        }
        require(walls, hello.required)?;
        reporting::send(Report::Locked(walls));
        Ok(Locked { walls, channel, checkpoint })
    }
}

/// Fails and reports if a required wall is missing.
fn require(walls: Walls, required: Walls) -> Result<(), LockError> {
    let missing = walls.missing(required);
    if missing == Walls::NONE {
        return Ok(());
    }
    reporting::send(Report::Missing(missing));
    Err(LockError::Missing(missing))
}

/// Returns the number of threads of this process, which is the number of folders of its tasks.
fn threads() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

/// Fails if a writable descriptor is open. Read-only descriptors of inputs may be open, since
/// wasmtime keeps the files open that it maps.
fn only_for_reading(own: &[RawFd]) -> Result<(), LockError> {
    let failed = system("look at its descriptors");
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && !own.contains(descriptor)) {
        // SAFETY: only reads the flags of a descriptor, which may be invalid.
        match unsafe { libc::fcntl(descriptor, libc::F_GETFL) } {
            // This was the descriptor of the folder listing.
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EBADF) => {}
            flags if flags >= 0 && flags & libc::O_ACCMODE == libc::O_RDONLY => {}
            _ => return Err(LockError::Descriptor(descriptor)),
        }
    }
    Ok(())
}

/// Applies Landlock without any permission. Returns whether the kernel enforces any of it.
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

/// Sets the kernel's limits. `RLIMIT_DATA` counts private writable memory, so it is set to the
/// current amount plus the allowance. `RLIMIT_AS` bounds page tables, which no other limit counts.
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

/// Drops all capabilities from all sets, and denies other processes of this user access to the
/// memory.
fn give_up_privileges() -> io::Result<()> {
    for capability in 0..64 {
        // Fails without capabilities, and for numbers beyond the last capability.
        if rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability))
            .is_err()
        {
            break;
        }
    }
    // Kernels before 4.3 have no ambient set.
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
