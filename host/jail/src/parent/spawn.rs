//! Starts a child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::EventfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::account::Account;
use super::channel::Child;
use super::memory_file::sealed;
use super::supervisor::{Pipes, StartRequest, supervisor};
use crate::hello::{self, Descriptors, Hello};
use crate::ring::{self, Memory, RING, Reader, Rules, SMALLEST_RING, Writer};
use crate::walls::Walls;

/// The variable, and its value, by which the C library keeps the kernel from writing to the memory
/// of a thread by itself (restartable sequences), which a checkpoint could not restore.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// The program to start and everything that it gets. It inherits nothing else: no environment
/// variables, descriptors or arguments.
pub struct Command<'a> {
    /// The executable, which calls [`start`](crate::start) first of all.
    pub program: &'a Path,
    /// Its arguments, which every user of the machine can read.
    pub arguments: &'a [&'a str],
    /// Its environment.
    pub environment: &'a [(&'a str, &'a str)],
    /// The version of the parent's program, which the child compares with its own. At most 64
    /// bytes.
    pub version: &'a str,
    /// The task, in a form that the two programs agree on.
    pub task: &'a [u8],
    /// The inputs, opened for reading: [`sealed`] bytes, or files that do not change.
    pub inputs: &'a [BorrowedFd<'a>],
    /// The limit on private memory in addition to that at the lock, in bytes.
    pub memory: u64,
    /// The time that it may use.
    pub account: Arc<dyn Account>,
    /// The CPU time after which it ends itself; `None` is what the account has left. The account's
    /// limit may count per message, and then only the parent can enforce it.
    pub lifetime_cpu: Option<Duration>,
    /// The limits on its messages.
    pub rules: Rules,
    /// The walls without which it must not run.
    pub required: Walls,
    /// Whether it may return its memory to a checkpoint. The copies of the pages that it writes
    /// count as its memory.
    pub restores: bool,
    /// The size of each of the two rings in bytes, a power of two. The default is [`RING`].
    pub ring: usize,
}

impl<'a> Command<'a> {
    /// Creates a command with an empty task that requires all walls.
    pub fn new(program: &'a Path, version: &'a str, account: Arc<dyn Account>, rules: Rules) -> Self {
        Self {
            program,
            arguments: &[],
            environment: &[],
            version,
            task: &[],
            inputs: &[],
            memory: 64 << 20,
            account,
            lifetime_cpu: None,
            rules,
            required: Walls::ALL,
            restores: false,
            ring: RING,
        }
    }
}

/// Starts a child. It is watched until it ends, and ends with this process at the latest.
///
/// The kernel kills a child when the *thread* that started it ends. So children are started by a
/// thread that lives as long as the process, whichever thread calls this function.
///
/// # Errors
/// The program cannot be started, or the system lacks the resources for a child.
pub fn spawn(command: &Command<'_>) -> io::Result<Child> {
    if command.ring < SMALLEST_RING {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a ring of {} bytes; the smallest has {SMALLEST_RING}", command.ring),
        ));
    }
    let (up, down) = (ring::create(command.ring)?, ring::create(command.ring)?);
    let reader = Reader::new(Memory::map(&up)?, command.rules);
    let writer = Writer::new(Memory::map(&down)?);
    let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let (report, report_end) = io::pipe()?;
    let (stderr, stderr_end) = io::pipe()?;
    let (ours, theirs) = socket()?;
    let task = sealed("task", command.task)?;
    let cpu = command.lifetime_cpu.unwrap_or_else(|| command.account.cpu().left());
    let hello = Hello {
        version: command.version.into(),
        parent: std::process::id(),
        required: command.required,
        cpu: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
        memory: command.memory,
        restores: command.restores,
    };
    let descriptors = Descriptors {
        task: task.as_fd(),
        up: up.as_fd(),
        down: down.as_fd(),
        wake: wake.as_fd(),
        report: report_end.as_fd(),
        inputs: command.inputs.to_vec(),
    };
    // Sent before the child exists; the socket buffers it.
    hello::send(&ours, &hello, &descriptors)?;
    let mut process = std::process::Command::new(command.program);
    process.args(command.arguments).env_clear().envs(command.environment.iter().copied());
    if command.restores {
        process.env(TUNABLES.0, TUNABLES.1);
    }
    process.stdin(theirs).stdout(Stdio::null()).stderr(stderr_end);
    let (reply, started) = mpsc::sync_channel(1);
    let request = StartRequest {
        process,
        wake: wake.try_clone()?,
        pipes: Pipes { report: Some(pipe(report)?), stderr: Some(pipe(stderr)?) },
        account: Arc::clone(&command.account),
        memory: command.memory,
        reply,
    };
    supervisor()?.start(request)?;
    let shared = started.recv().map_err(|_| io::Error::other("the thread that starts children is gone"))??;
    Ok(Child::new(reader, writer, wake, shared))
}

/// Creates a pair of sockets that preserve message boundaries.
fn socket() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Makes the reading end of a pipe non-blocking.
fn pipe(end: io::PipeReader) -> io::Result<File> {
    rustix::fs::fcntl_setfl(&end, rustix::fs::OFlags::NONBLOCK)?;
    Ok(OwnedFd::from(end).into())
}
