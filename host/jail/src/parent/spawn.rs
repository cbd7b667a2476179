//! Starting a child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc;

use rustix::event::EventfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::account::Account;
use super::channel::Child;
use super::memory_file::sealed;
use super::watch::{Begin, Pipes, warden};
use crate::hello::{self, Descriptors, Hello};
use crate::ring::{self, Memory, RING, Reader, Rules, SMALLEST_RING, Writer};
use crate::wall::Walls;

/// The program to start, and all that it may have. It has nothing else: no variable, no descriptor,
/// no argument.
pub struct Command<'a> {
    /// The executable, which calls [`start`](crate::start) first of all.
    pub program: &'a Path,
    /// Its arguments. Every user of the machine can read them.
    pub arguments: &'a [&'a str],
    /// Its environment.
    pub environment: &'a [(&'a str, &'a str)],
    /// The product's version, which the child compares with its own: at most 64 bytes.
    pub version: &'a str,
    /// The task, in words of the two programs.
    pub task: &'a [u8],
    /// The inputs, for reading: [`sealed`] bytes, or files that nobody changes.
    pub inputs: &'a [BorrowedFd<'a>],
    /// Bytes of private memory that it may take beyond what it has when it is locked.
    pub memory: u64,
    /// Time that it may use.
    pub account: Arc<dyn Account>,
    /// The messages that it may send.
    pub rules: Rules,
    /// Walls without which it must not work.
    pub required: Walls,
    /// Bytes of each of the two rings, a power of two; [`RING`] as a rule.
    pub ring: usize,
}

impl<'a> Command<'a> {
    /// A child that requires all walls, with nothing to do.
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
            rules,
            required: Walls::ALL,
            ring: RING,
        }
    }
}

/// Starts a child. It begins at once, is watched until it is gone, and ends at the latest with this
/// process.
///
/// It is started by a thread that lives as long as the process, whichever thread calls this: the
/// kernel ends a child with the *thread* that started it.
///
/// # Errors
/// The program cannot be started, or the system has no room for what a child needs.
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
    let (said, said_end) = io::pipe()?;
    let (ours, theirs) = socket()?;
    let task = sealed("task", command.task)?;
    let hello = Hello {
        version: command.version.into(),
        parent: std::process::id(),
        required: command.required,
        cpu: u64::try_from(command.account.cpu().left().as_nanos()).unwrap_or(u64::MAX),
        memory: command.memory,
    };
    let descriptors = Descriptors {
        task: task.as_fd(),
        up: up.as_fd(),
        down: down.as_fd(),
        wake: wake.as_fd(),
        report: report_end.as_fd(),
        inputs: command.inputs.to_vec(),
    };
    // Before there is a child: the socket keeps it.
    hello::send(&ours, &hello, &descriptors)?;
    let mut process = std::process::Command::new(command.program);
    process.args(command.arguments).env_clear().envs(command.environment.iter().copied());
    process.stdin(theirs).stdout(Stdio::null()).stderr(said_end);
    let (reply, started) = mpsc::sync_channel(1);
    let begin = Begin {
        process,
        wake: wake.try_clone()?,
        pipes: Pipes { report: Some(pipe(report)?), said: Some(pipe(said)?) },
        account: Arc::clone(&command.account),
        memory: command.memory,
        reply,
    };
    warden()?.begin(begin)?;
    let shared = started.recv().map_err(|_| io::Error::other("the thread that starts children is gone"))??;
    Ok(Child::new(reader, writer, wake, shared))
}

/// A pair of sockets that keep packets apart.
fn socket() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The end of a pipe that is read without waiting.
fn pipe(end: io::PipeReader) -> io::Result<File> {
    rustix::fs::fcntl_setfl(&end, rustix::fs::OFlags::NONBLOCK)?;
    Ok(OwnedFd::from(end).into())
}
