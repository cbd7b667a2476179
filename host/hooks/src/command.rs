//! Telling a program: it is run with the event on its standard input.
//!
//! It has the rights of this process, so only the operator's file names it. It begins in `/`, with
//! the variables that the file names and the event's id. Its process group is its own, and is ended
//! after its time, or when the program has ended and left something behind.

use std::fs::File;
use std::io::{PipeReader, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, set_parent_process_death_signal, waitid,
};
use stagewright_manifest::HookCommand;
use stagewright_text::Untrusted;

use crate::event::Event;
use crate::failure::Failure;
use crate::secret::Variables;

/// The variable with the event's id.
const EVENT_ID: &str = "STAGEWRIGHT_EVENT_ID";

/// The bytes of output that are kept. A program that writes more is not held up.
const MOST_KEPT: usize = 4 << 10;

/// The bytes of output that are shown.
const MOST_SHOWN: usize = 300;

/// The time between two looks at a program.
const LOOK: Duration = Duration::from_millis(20);

/// How long a program that was killed may take to end. One with other rights than this process
/// (`sudo`), or one that the system does not let go, may never.
const ENDING: Duration = Duration::from_secs(5);

/// The end of a program.
enum End {
    /// By itself.
    Ended,
    /// Its time was over.
    OutOfTime,
    /// This process ends.
    Stopped,
}

/// Runs a program. Exit code 0 says that it took the event.
pub(crate) fn run(
    target: &HookCommand,
    event: &Event,
    body: &[u8],
    timeout: Duration,
    variables: &Variables,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let program = target.program.display();
    let cannot = |error: std::io::Error| Failure::NotHere(format!("{program} cannot be run: {error}"));
    let (mut child, mut output) = start(target, event, body, variables).map_err(cannot)?;
    let deadline = Instant::now() + timeout;
    let mut kept = Vec::new();
    let end = watch(&child, &mut output, &mut kept, deadline, stop).map_err(cannot);
    // Before the program is waited for: until then nobody else has the number of its group.
    let _ = kill_process_group(id(&child), Signal::KILL);
    // One that has left its group.
    let _ = child.kill();
    let Some(status) = ended(&mut child, ENDING).map_err(cannot)? else {
        // Whoever promotes or serves does not wait for it.
        let wait = move || drop(child.wait());
        let _ = std::thread::Builder::new().name("hook-end".into()).spawn(wait);
        return Err(Failure::refused(format!("{program} cannot be ended, and still runs")));
    };
    let end = end?;
    while kept.len() < MOST_KEPT && read(&mut output, &mut kept, Duration::ZERO).map_err(cannot)? {}
    let text = String::from_utf8_lossy(&kept);
    let text = Untrusted::new(text.trim()).cut(MOST_SHOWN).to_string();
    let said = if text.is_empty() { String::new() } else { format!(": {text}") };
    match (end, status.code()) {
        (End::Ended, Some(0)) => Ok(()),
        (End::Ended, Some(code)) => Err(Failure::refused(format!("{program} ended with exit code {code}{said}"))),
        (End::Ended, None) => Err(Failure::refused(format!("{program} was ended by a signal{said}"))),
        (End::OutOfTime, _) => Err(Failure::refused(format!("{program} was ended after {timeout:?}{said}"))),
        (End::Stopped, _) => Err(Failure::refused(format!("{program} was ended with the program that ran it"))),
    }
}

/// Starts the program, with the event in a file in memory: a program that does not read its input
/// holds nobody up, and no folder has to be writable.
fn start(
    target: &HookCommand,
    event: &Event,
    body: &[u8],
    variables: &Variables,
) -> std::io::Result<(Child, PipeReader)> {
    let mut input = File::from(memfd_create("event", MemfdFlags::CLOEXEC)?);
    input.write_all(body)?;
    input.rewind()?;
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(&target.program);
    command.args(&target.arguments).current_dir("/").env_clear();
    command.envs(target.variables.iter().filter_map(|name| Some((name, variables(name)?))));
    command.env(EVENT_ID, &event.id);
    command.stdin(input).stdout(writer.try_clone()?).stderr(Stdio::from(writer)).process_group(0);
    // SAFETY: between fork and exec, the closure makes two system calls and allocates nothing. The
    // program ends with the thread that started it, which waits for it.
    unsafe {
        command.pre_exec(|| {
            close_others();
            Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
        });
    }
    // The command holds the other end of the pipe, and goes here.
    Ok((command.spawn()?, reader))
}

/// Has the program start without the descriptors that this process was started with. A kernel
/// before 5.11 keeps them.
fn close_others() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: no memory is passed. The descriptors stay open here, and close with `exec`.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Waits for a program that ends. Returns `None` if it did not within a time.
fn ended(child: &mut Child, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + within;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}

/// Reads what the program writes, until it ends or has to.
fn watch(
    child: &Child,
    output: &mut PipeReader,
    kept: &mut Vec<u8>,
    deadline: Instant,
    stop: &AtomicBool,
) -> std::io::Result<End> {
    let mut is_open = true;
    loop {
        if is_open {
            is_open = read(output, kept, LOOK)? || !is_closed(output)?;
        } else {
            std::thread::sleep(LOOK);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(id(child)), options)?.is_some() {
            return Ok(End::Ended);
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(End::Stopped);
        }
        if Instant::now() >= deadline {
            return Ok(End::OutOfTime);
        }
    }
}

/// Reads output that is there or comes within a time. Returns whether there was any.
fn read(output: &mut PipeReader, kept: &mut Vec<u8>, within: Duration) -> std::io::Result<bool> {
    let within = Timespec { tv_sec: 0, tv_nsec: within.subsec_nanos().into() };
    let ready = poll(&mut [PollFd::new(&*output, PollFlags::IN)], Some(&within));
    if matches!(ready, Ok(0) | Err(rustix::io::Errno::INTR)) {
        return Ok(false);
    }
    ready?;
    let mut bytes = [0; 4096];
    let length = output.read(&mut bytes)?;
    let room = MOST_KEPT - kept.len().min(MOST_KEPT);
    kept.extend_from_slice(&bytes[..length.min(room)]);
    Ok(length > 0)
}

/// Returns whether nobody writes any more and all was read.
fn is_closed(output: &PipeReader) -> std::io::Result<bool> {
    let mut waiting = [PollFd::new(output, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut waiting, Some(&now)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {
            let found = waiting[0].revents();
            Ok(found.contains(PollFlags::HUP) && !found.contains(PollFlags::IN))
        }
        Err(error) => Err(error.into()),
    }
}

fn id(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: A program of a hook that cannot be ended holds up neither a promotion nor a
    // server.
    #[test]
    fn a_program_that_does_not_end_is_not_waited_for() {
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().expect("a program");
        assert!(ended(&mut child, Duration::from_millis(50)).expect("a look").is_none());
        child.kill().expect("a signal");
        assert!(ended(&mut child, Duration::from_secs(60)).expect("a look").is_some());
    }
}
