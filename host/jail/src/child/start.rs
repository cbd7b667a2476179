//! The start of a child, before it is locked.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::process::{Resource, Rlimit, Signal};

use super::checkpoint;
use crate::hello::{self, Descriptors, Hello};

/// Why a child cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was not started by a parent of this crate.
    #[error("this program is started by `stagewright` itself: {0}")]
    NotAChild(io::Error),
    /// Parent and child have different versions.
    #[error("this program is of version `{own}` and was started by version `{parents}`")]
    Version {
        /// The child's version.
        own: String,
        /// The parent's version.
        parents: String,
    },
    /// Its parent ended before the child could arrange to end with it.
    #[error("its parent is gone")]
    Orphan,
    /// The system refused something.
    #[error("cannot {what}: {reason}")]
    System {
        /// The action that failed.
        what: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
}

/// A child that has its task and is not locked yet.
#[derive(Debug)]
pub struct Started {
    pub(crate) hello: Hello,
    pub(crate) task: Vec<u8>,
    pub(crate) inputs: Vec<OwnedFd>,
    pub(crate) own: Own,
}

/// The descriptors that the jail itself needs.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) up: OwnedFd,
    pub(crate) down: OwnedFd,
    pub(crate) wake: OwnedFd,
    pub(crate) report: OwnedFd,
}

impl Started {
    /// Returns the task, in a form that the two programs agree on.
    pub fn task(&self) -> &[u8] {
        &self.task
    }

    /// Returns the inputs in the parent's order. They must be mapped before the lock, which closes
    /// them.
    pub fn inputs(&self) -> &[OwnedFd] {
        &self.inputs
    }

    /// Returns the limit on private memory in addition to that at the lock, in bytes.
    pub fn memory(&self) -> u64 {
        self.hello.memory
    }

    /// Returns the limit on CPU time in nanoseconds.
    pub fn cpu(&self) -> u64 {
        self.hello.cpu
    }
}

/// Receives what the parent sends.
///
/// Afterwards, the child ends with its parent's thread, gains no privileges by executing a program,
/// and has its own session.
///
/// # Errors
/// The process was not started by a parent of this version.
///
/// # Safety
/// This closes every descriptor above 2, since the parent may have passed on descriptors that it
/// had inherited itself. So nothing in this process may own one: call this first in `main`, before
/// a thread is started or a file is opened.
pub unsafe fn start(version: &str) -> Result<Started, StartError> {
    // SAFETY: the caller guarantees that nothing owns these descriptors. Before Linux 5.9, this
    // closes nothing, and the lock checks what is open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    restore_signals();
    // Fails for the leader of a process group, which needs no new session.
    let _ = rustix::process::setsid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(system("ask to end with the parent"))?;
    let (hello, descriptors) = hello::receive(io::stdin()).map_err(StartError::NotAChild)?;
    // The parent may have ended before the call above.
    if rustix::process::getppid().map(|parent| parent.as_raw_pid() as u32) != Some(hello.parent) {
        return Err(StartError::Orphan);
    }
    if hello.version != version {
        return Err(StartError::Version { own: version.into(), parents: hello.version });
    }
    rustix::thread::set_no_new_privs(true).map_err(system("give up new privileges"))?;
    limit(Resource::Core, 0).map_err(system("give up core dumps"))?;
    // If the system runs out of memory, this process is killed first. Some systems do not allow
    // this.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    close_standard_input().map_err(system("open `/dev/null`"))?;
    if hello.restores {
        checkpoint::prepare();
    }
    let Descriptors { task: file, up, down, wake, report, inputs } = descriptors;
    let (mut task, mut file) = (Vec::new(), File::from(file));
    file.rewind().and_then(|()| file.read_to_end(&mut task)).map_err(system("read its task"))?;
    Ok(Started { hello, task, inputs, own: Own { up, down, wake, report } })
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> StartError {
    move |reason| StartError::System { what, reason: reason.into() }
}

/// Restores the default of signals that an ancestor process ignored.
fn restore_signals() {
    for signal in 1..=64 {
        // SAFETY: reads the disposition of a signal and sets the default; installs no handler.
        // Zeroes are a valid `sigaction`. The calls fail for numbers that are not signals or cannot
        // be changed.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// Replaces the socket, which is no longer needed, by `/dev/null`.
fn close_standard_input() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    // SAFETY: replaces descriptor 0, which stays open and which nothing in this process owns.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process at once. Destructors and exit handlers do not run, since they would need
/// system calls that are refused.
pub fn end(code: u8) -> ! {
    // SAFETY: ends the process without accessing memory.
    unsafe { libc::_exit(code.into()) }
}

/// Sets a limit of the kernel permanently.
pub(crate) fn limit(resource: Resource, most: u64) -> io::Result<()> {
    // A lower limit that is inherited cannot be raised.
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}
