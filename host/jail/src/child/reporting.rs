//! Reports why a child ends: over the report pipe, where the message must be short and safe in a
//! signal handler, and on standard error for people.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::start::end;
use crate::report::Report;

/// The exit code after a report. The parent uses the report, not the code.
const REPORTED: u8 = 120;

/// The exit code of a Rust program that panicked.
const PANICKED: u8 = 101;

/// The descriptor of the pipe. A signal handler can only access statics.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Sets the pipe for reports.
pub(super) fn set_pipe(pipe: &'static OwnedFd) {
    PIPE.store(pipe.as_raw_fd(), Ordering::Relaxed);
}

/// Sends a report. Neither allocates nor blocks, so it may be called in a signal handler.
pub(super) fn send(report: Report) {
    let bytes = report.bytes();
    // SAFETY: writes local bytes to a descriptor that stays open until the process ends, or to the
    // invalid descriptor -1.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), bytes.as_ptr().cast(), bytes.len()) };
}

/// Sends a report and ends the process.
pub(super) fn send_and_end(report: Report) -> ! {
    send(report);
    end(REPORTED)
}

/// Installs a hook that ends the process after a panic's message. Unwinding or an orderly exit
/// would run handlers whose system calls are refused, which would look like an attempt to escape.
pub(super) fn handle_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        end(PANICKED)
    }));
}

/// The kernel's `siginfo_t` for `SIGSYS`, with the fields of a refused call that libc leaves out.
#[repr(C)]
struct Refusal {
    signal: libc::c_int,
    error: libc::c_int,
    code: libc::c_int,
    address: *const libc::c_void,
    call: libc::c_int,
}

/// The code of signals from the filter, from the kernel's headers (`asm-generic/siginfo.h`).
const SYS_SECCOMP: libc::c_int = 1;

/// Installs a handler that reports a call that the filter refuses.
///
/// # Errors
/// The system refuses the handler.
pub(super) fn handle_refused_calls() -> std::io::Result<()> {
    // SAFETY: zeroes are a valid `sigaction`, and the handler below has the type that `SA_SIGINFO`
    // requires.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = refused as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

extern "C" fn refused(_: libc::c_int, information: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: the kernel passes a `siginfo_t`, which starts with the fields of `Refusal` and is
    // larger. The fields are plain numbers, whatever the origin of the signal.
    let refusal = unsafe { &*information.cast::<Refusal>() };
    if refusal.code == SYS_SECCOMP {
        send_and_end(Report::Refused { call: u64::from(refusal.call as u32) });
    }
    end(REPORTED)
}
