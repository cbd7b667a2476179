//! Why a child ends, told by itself: over the pipe where it must be short and safe at any moment,
//! on standard error where a person reads it.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::start::end;
use crate::report::Report;

/// Exit codes after a report. The parent goes by the report.
const REPORTED: u8 = 120;

/// Exit code of a Rust program that panicked.
const PANICKED: u8 = 101;

/// The pipe's descriptor: a signal handler finds nothing else.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Reports go there from now on, until the process ends.
pub(super) fn over(pipe: &'static OwnedFd) {
    PIPE.store(pipe.as_raw_fd(), Ordering::Relaxed);
}

/// Reports. Allocates nothing, waits for nothing, and may be called in a signal handler.
pub(super) fn say(report: Report) {
    let bytes = report.bytes();
    // SAFETY: writes bytes of this function to a descriptor that stays open until the process ends,
    // or to none.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), bytes.as_ptr().cast(), bytes.len()) };
}

/// Reports, and ends.
pub(super) fn say_and_end(report: Report) -> ! {
    say(report);
    end(REPORTED)
}

/// A panic is told on standard error and ends the process there: an orderly end runs handlers whose
/// system calls are refused, and would look like an escape.
pub(super) fn of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        end(PANICKED)
    }));
}

/// The record that the kernel gives a handler of `SIGSYS`: `siginfo_t` with the fields of a refused
/// call, which libc leaves out.
#[repr(C)]
struct Refusal {
    signal: libc::c_int,
    error: libc::c_int,
    code: libc::c_int,
    address: *const libc::c_void,
    call: libc::c_int,
}

/// From the kernel's headers (`asm-generic/siginfo.h`): the signal comes from the filter.
const SYS_SECCOMP: libc::c_int = 1;

/// Names the call that the filter refuses.
///
/// # Errors
/// The system refuses the handler.
pub(super) fn of_refused_calls() -> std::io::Result<()> {
    // SAFETY: zeroes are a valid `sigaction`, and the handler below is of the type that
    // `SA_SIGINFO` asks for.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = refused as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

extern "C" fn refused(_: libc::c_int, information: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: the kernel hands over a `siginfo_t`, which is larger than a `Refusal` and begins like
    // one; its fields are plain numbers, whatever the signal's origin.
    let refusal = unsafe { &*information.cast::<Refusal>() };
    if refusal.code == SYS_SECCOMP {
        say_and_end(Report::Refused { call: u64::from(refusal.call as u32) });
    }
    end(REPORTED)
}
