//! Names of system calls and signals, for messages. Others are shown as numbers.

/// Returns the name of a system call that a jailed program is likely to try.
pub(super) fn name(call: u32) -> Option<&'static str> {
    macro_rules! names {
        ($($constant:ident $name:literal),* $(,)?) => {
            [$((libc::$constant, $name)),*].as_slice()
        };
    }
    let everywhere = names![
        SYS_accept4 "accept4", SYS_bind "bind", SYS_bpf "bpf", SYS_clone "clone", SYS_clone3 "clone3",
        SYS_close "close", SYS_connect "connect", SYS_dup "dup", SYS_execve "execve", SYS_execveat "execveat",
        SYS_fcntl "fcntl", SYS_ftruncate "ftruncate", SYS_getrandom "getrandom", SYS_io_uring_setup "io_uring_setup",
        SYS_ioctl "ioctl", SYS_keyctl "keyctl", SYS_kill "kill", SYS_memfd_create "memfd_create", SYS_mmap "mmap",
        SYS_mount "mount", SYS_mprotect "mprotect", SYS_openat "openat", SYS_openat2 "openat2",
        SYS_perf_event_open "perf_event_open", SYS_personality "personality", SYS_pidfd_getfd "pidfd_getfd",
        SYS_pidfd_open "pidfd_open", SYS_pkey_mprotect "pkey_mprotect", SYS_pread64 "pread64",
        SYS_prctl "prctl", SYS_prlimit64 "prlimit64", SYS_process_vm_readv "process_vm_readv",
        SYS_process_vm_writev "process_vm_writev", SYS_ptrace "ptrace", SYS_read "read",
        SYS_rt_sigaction "rt_sigaction", SYS_seccomp "seccomp", SYS_sendfile "sendfile", SYS_sendmsg "sendmsg",
        SYS_sendto "sendto", SYS_setns "setns", SYS_shmget "shmget", SYS_socket "socket", SYS_tgkill "tgkill",
        SYS_tkill "tkill", SYS_unshare "unshare", SYS_userfaultfd "userfaultfd", SYS_write "write",
        SYS_writev "writev",
    ];
    #[cfg(target_arch = "x86_64")]
    let here = names![SYS_fork "fork", SYS_open "open", SYS_vfork "vfork", SYS_arch_prctl "arch_prctl"];
    #[cfg(not(target_arch = "x86_64"))]
    let here: &[(libc::c_long, &str)] = &[];
    let mut all = everywhere.iter().chain(here);
    all.find_map(|(number, name)| (u64::try_from(*number) == Ok(u64::from(call))).then_some(*name))
}

/// Returns the name of a signal that ends a process.
pub(super) fn signal(number: i32) -> Option<&'static str> {
    Some(match number {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_or_numbered() {
        assert_eq!(name(libc::SYS_execve as u32), Some("execve"));
        assert_eq!(name(u32::MAX), None);
        assert_eq!(signal(libc::SIGSEGV), Some("SIGSEGV"));
        assert_eq!(signal(63), None);
    }
}
