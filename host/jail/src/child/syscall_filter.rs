//! The filter of system calls. It allows what computing needs; every other call ends the process.
//!
//! A refused call raises `SIGSYS`, whose handler reports the call to the parent and exits. This is
//! as strong as killing the process at once: the call is not executed, the handler cannot be
//! replaced (`rt_sigaction` is refused for it), and if the signal is blocked, the kernel kills the
//! process.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule,
};

use crate::clock::Clock;

/// `PR_SET_VMA`, with which allocators name their arenas. It only affects what `/proc` shows.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// `FUTEX_CLOCK_REALTIME`, a flag of futex operations.
const REALTIME: u64 = 256;

/// Returns the filter for this process, which allows writing to the jail's `own` pipe and counter,
/// reading the clock of the guest's thread, and reading `readable` descriptors, if there are any.
///
/// # Errors
/// The filter does not support the processor's architecture.
pub(super) fn program(guest: Clock, own: [&OwnedFd; 2], readable: &[RawFd]) -> Result<BpfProgram, BackendError> {
    let [report, wake] = own.map(|descriptor| descriptor.as_raw_fd() as u64);
    let mut rules = Vec::new();
    if !readable.is_empty() {
        let readable: Vec<u64> = readable.iter().map(|&descriptor| descriptor as u64).collect();
        rules.push((libc::SYS_pread64, one_of(0, &readable)?));
    }
    for (call, allowed) in [
        (libc::SYS_write, one_of(0, &[2, report, wake])?),
        // The C library writes its message on `abort` with this call.
        (libc::SYS_writev, one_of(0, &[2])?),
        (libc::SYS_futex, one_of(1, &futex_operations())?),
        (libc::SYS_mmap, vec![memory()?]),
        (libc::SYS_mprotect, vec![not_executable()?]),
        (libc::SYS_madvise, one_of(2, &advice())?),
        (libc::SYS_clock_gettime, one_of(0, &clocks(guest))?),
        (libc::SYS_clock_nanosleep, one_of(0, &[libc::CLOCK_MONOTONIC as u64])?),
        (libc::SYS_prctl, one_of(0, &[PR_SET_VMA])?),
        // For crashes: signal handlers restore the default and fault again, and `abort` raises a
        // signal. Without these, a crash would look like an attempt to escape.
        (libc::SYS_rt_sigaction, one_of(0, &crashes())?),
        (libc::SYS_tgkill, vec![abort()?]),
    ] {
        rules.push((call, allowed));
    }
    for call in [
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_restart_syscall, // after SIGSTOP and SIGCONT
        libc::SYS_sched_yield,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_gettid,
    ] {
        rules.push((call, Vec::new()));
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Trap, SeccompAction::Allow, architecture)?.try_into()
}

fn is(argument: u8, value: u64) -> Result<Condition, BackendError> {
    Condition::new(argument, Length::Dword, Compare::Eq, value)
}

fn without(argument: u8, bits: libc::c_int) -> Result<Condition, BackendError> {
    Condition::new(argument, Length::Dword, Compare::MaskedEq(bits as u64), 0)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<Rule>, BackendError> {
    values.iter().map(|&value| Rule::new(vec![is(argument, value)?])).collect()
}

fn not_executable() -> Result<Rule, BackendError> {
    Rule::new(vec![without(2, libc::PROT_EXEC)?])
}

/// `RLIMIT_DATA` does not count shared memory and memory that grows down when touched.
fn memory() -> Result<Rule, BackendError> {
    Rule::new(vec![without(2, libc::PROT_EXEC)?, without(3, libc::MAP_SHARED | libc::MAP_GROWSDOWN)?])
}

/// Raising `SIGABRT` in this process.
fn abort() -> Result<Rule, BackendError> {
    Rule::new(vec![is(0, std::process::id().into())?, is(2, libc::SIGABRT as u64)?])
}

/// Waiting and waking, private and shared.
fn futex_operations() -> [u64; 6] {
    let (wait, wake, bitset, private) =
        (libc::FUTEX_WAIT, libc::FUTEX_WAKE, libc::FUTEX_WAIT_BITSET, libc::FUTEX_PRIVATE_FLAG);
    let bitset = (bitset | private) as u64;
    [wait as u64, wake as u64, (wait | private) as u64, (wake | private) as u64, bitset, bitset | REALTIME]
}

fn advice() -> [u64; 4] {
    [libc::MADV_DONTNEED, libc::MADV_FREE, libc::MADV_HUGEPAGE, libc::MADV_NOHUGEPAGE].map(|advice| advice as u64)
}

fn clocks(guest: Clock) -> [u64; 4] {
    let own = [libc::CLOCK_MONOTONIC, libc::CLOCK_PROCESS_CPUTIME_ID, libc::CLOCK_THREAD_CPUTIME_ID];
    [guest.number(), own[0] as u64, own[1] as u64, own[2] as u64]
}

fn crashes() -> [u64; 5] {
    [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS, libc::SIGABRT].map(|signal| signal as u64)
}
