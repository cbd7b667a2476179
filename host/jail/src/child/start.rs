//! The begin of a child's life, while it may still do everything.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::process::{Resource, Rlimit, Signal};

use crate::hello::{self, Descriptors, Hello};

/// Why a child cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was started by hand, or by something else.
    #[error("this program is started by `stagewright` itself: {0}")]
    NotAChild(io::Error),
    /// Parent and child are not of one build.
    #[error("this program is of version `{own}` and was started by version `{parents}`")]
    Version {
        /// The child's.
        own: String,
        /// The parent's.
        parents: String,
    },
    /// Its parent ended before it could ask to end with it.
    #[error("its parent is gone")]
    Orphan,
    /// The system refused something.
    #[error("cannot {what}: {reason}")]
    System {
        /// What.
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

/// Descriptors that the jail itself needs.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) up: OwnedFd,
    pub(crate) down: OwnedFd,
    pub(crate) wake: OwnedFd,
    pub(crate) report: OwnedFd,
}

impl Started {
    /// The task, in words of the two programs.
    pub fn task(&self) -> &[u8] {
        &self.task
    }

    /// The inputs, in the order in which the parent gave them. To be mapped before the lock, which
    /// closes them.
    pub fn inputs(&self) -> &[OwnedFd] {
        &self.inputs
    }

    /// Bytes of private memory that this process may take beyond what it has at the lock.
    pub fn memory(&self) -> u64 {
        self.hello.memory
    }

    /// CPU time that it may use, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        self.hello.cpu
    }
}

/// Takes over what the parent sends: the first thing that a child does.
///
/// From here on it ends with its parent's thread, gains no privileges by starting a program, and
/// has a session of its own.
///
/// # Errors
/// It was not started by a parent of this version.
///
/// # Safety
/// Closes every descriptor above 2, since the parent may have inherited some that nobody meant for
/// this process. So nothing in this process may own one: call it at the begin of `main`, before any
/// thread is started or file is opened.
pub unsafe fn start(version: &str) -> Result<Started, StartError> {
    // SAFETY: the caller says that nobody uses what this closes. It closes nothing where the kernel
    // is older than 5.9; what is open then is seen at the lock.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    hear_signals();
    // Fails for a leader of a process group, which has what this is for.
    let _ = rustix::process::setsid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(system("ask to end with the parent"))?;
    let (hello, descriptors) = hello::receive(io::stdin()).map_err(StartError::NotAChild)?;
    // The parent may have ended before the request above.
    if rustix::process::getppid().map(|parent| parent.as_raw_pid() as u32) != Some(hello.parent) {
        return Err(StartError::Orphan);
    }
    if hello.version != version {
        return Err(StartError::Version { own: version.into(), parents: hello.version });
    }
    rustix::thread::set_no_new_privs(true).map_err(system("give up new privileges"))?;
    limit(Resource::Core, 0).map_err(system("give up core dumps"))?;
    // Where memory runs out, this process goes first. Not every system lets one say so.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    close_standard_input().map_err(system("open `/dev/null`"))?;
    let Descriptors { task: file, up, down, wake, report, inputs } = descriptors;
    let (mut task, mut file) = (Vec::new(), File::from(file));
    file.rewind().and_then(|()| file.read_to_end(&mut task)).map_err(system("read its task"))?;
    Ok(Started { hello, task, inputs, own: Own { up, down, wake, report } })
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> StartError {
    move |reason| StartError::System { what, reason: reason.into() }
}

/// Signals that somebody above wanted to be ignored do again what they do.
fn hear_signals() {
    for signal in 1..=64 {
        // SAFETY: reads how a signal is handled and sets the kernel's own way; no handler is
        // installed. Zeroes are a valid `sigaction`. For a number that is no signal, or one that
        // cannot be changed, the calls fail.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// The socket has served: nothing stands in its place.
fn close_standard_input() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    // SAFETY: replaces descriptor 0, which stays open and which nobody in this process owns.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process at once: no destructor and no handler runs, which would need system calls that
/// are refused.
pub fn end(code: u8) -> ! {
    // SAFETY: ends the process and touches nothing of it.
    unsafe { libc::_exit(code.into()) }
}

/// Sets one of the kernel's limits for good.
pub(crate) fn limit(resource: Resource, most: u64) -> io::Result<()> {
    // What the parent's own parent set lower cannot be raised.
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}
