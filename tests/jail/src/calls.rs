//! System calls that a jail refuses, with arguments that would have an effect where they are
//! permitted.

use libc::c_long;

use crate::attempts::World;

/// A system call to try.
#[derive(Debug)]
pub struct Call {
    /// Its name, with its effect if the call is tried in several ways.
    pub name: &'static str,
    /// Its number.
    pub number: c_long,
    /// Its arguments.
    pub arguments: fn(&World) -> [u64; 6],
    /// Whether it fails without the filter too, by Landlock, limits or missing privileges.
    pub fails_anyway: bool,
}

/// Returns a path as an argument.
fn path(path: &'static std::ffi::CStr) -> u64 {
    path.as_ptr() as u64
}

const HERE: u64 = libc::AT_FDCWD as u64;
const RDWR: u64 = libc::O_RDWR as u64;

macro_rules! calls {
    ($($number:ident $name:literal $arguments:expr, $anyway:literal;)*) => {
        [$(Call { name: $name, number: libc::$number, arguments: $arguments, fails_anyway: $anyway }),*]
    };
}

/// Returns all calls.
pub fn all() -> Vec<Call> {
    let mut all = Vec::new();
    all.extend(files());
    all.extend(sockets());
    all.extend(processes());
    all.extend(memory());
    all.extend(descriptors());
    all.extend(privileges());
    #[cfg(target_arch = "x86_64")]
    all.extend(of_this_processor());
    all
}

fn files() -> impl IntoIterator<Item = Call> {
    calls! {
        SYS_openat "openat" |_| [HERE, path(c"/etc/passwd"), 0, 0, 0, 0], true;
        SYS_openat "openat: its own memory" |_| [HERE, path(c"/proc/self/mem"), RDWR, 0, 0, 0], true;
        SYS_openat "openat: its parent's memory" |world| [HERE, world.parent_memory(), RDWR, 0, 0, 0], true;
        SYS_openat "openat: a new file" |_| [HERE, path(c"/tmp/escaped"), RDWR | libc::O_CREAT as u64, 0o600, 0, 0], true;
        SYS_openat2 "openat2" |world| [HERE, path(c"/etc/passwd"), world.zeroes(), 24, 0, 0], true;
        SYS_open_by_handle_at "open_by_handle_at" |world| [HERE, world.zeroes(), 0, 0, 0, 0], true;
        SYS_mkdirat "mkdirat" |_| [HERE, path(c"/tmp/escaped"), 0o700, 0, 0, 0], true;
        SYS_unlinkat "unlinkat" |_| [HERE, path(c"/etc/escaped"), 0, 0, 0, 0], true;
        SYS_renameat2 "renameat2" |_| [HERE, path(c"/etc/escaped"), HERE, path(c"/etc/away"), 0, 0], true;
        SYS_linkat "linkat" |_| [HERE, path(c"/etc/passwd"), HERE, path(c"/tmp/escaped"), 0, 0], true;
        SYS_symlinkat "symlinkat" |_| [path(c"/etc/passwd"), HERE, path(c"/tmp/escaped"), 0, 0, 0], true;
        SYS_mknodat "mknodat" |_| [HERE, path(c"/tmp/escaped"), libc::S_IFIFO as u64, 0, 0, 0], true;
        SYS_truncate "truncate" |_| [path(c"/tmp/escaped"), 0, 0, 0, 0, 0], true;
        SYS_fchmodat "fchmodat" |_| [HERE, path(c"/etc/escaped"), 0o777, 0, 0, 0], true;
        SYS_newfstatat "newfstatat" |world| [HERE, path(c"/etc/passwd"), world.scratch(), 0, 0, 0], false;
        SYS_statx "statx" |world| [HERE, path(c"/etc/passwd"), 0, 0xfff, world.scratch(), 0], false;
        SYS_readlinkat "readlinkat" |world| [HERE, path(c"/proc/self/exe"), world.scratch(), 64, 0, 0], false;
        SYS_getdents64 "getdents64" |world| [3, world.scratch(), 64, 0, 0, 0], true;
        SYS_chdir "chdir" |_| [path(c"/"), 0, 0, 0, 0, 0], false;
        SYS_chroot "chroot" |_| [path(c"/tmp"), 0, 0, 0, 0, 0], true;
        SYS_pivot_root "pivot_root" |_| [path(c"/tmp"), path(c"/tmp"), 0, 0, 0, 0], true;
        SYS_mount "mount" |_| [path(c"none"), path(c"/tmp"), path(c"tmpfs"), 0, 0, 0], true;
        SYS_umount2 "umount2" |_| [path(c"/tmp"), 0, 0, 0, 0, 0], true;
        SYS_fsopen "fsopen" |_| [path(c"tmpfs"), 0, 0, 0, 0, 0], true;
        SYS_open_tree "open_tree" |_| [HERE, path(c"/etc"), 0, 0, 0, 0], true;
        SYS_inotify_init1 "inotify_init1" |_| [0; 6], true;
        SYS_fanotify_init "fanotify_init" |_| [0; 6], true;
    }
}

fn sockets() -> impl IntoIterator<Item = Call> {
    const STREAM: u64 = libc::SOCK_STREAM as u64;
    calls! {
        SYS_socket "socket: internet" |_| [libc::AF_INET as u64, STREAM, 0, 0, 0, 0], true;
        SYS_socket "socket: local" |_| [libc::AF_UNIX as u64, STREAM, 0, 0, 0, 0], true;
        SYS_socket "socket: netlink" |_| [libc::AF_NETLINK as u64, libc::SOCK_RAW as u64, 0, 0, 0, 0], true;
        SYS_socket "socket: packets" |_| [libc::AF_PACKET as u64, libc::SOCK_RAW as u64, 0, 0, 0, 0], true;
        SYS_socket "socket: the kernel's ciphers" |_| [libc::AF_ALG as u64, libc::SOCK_SEQPACKET as u64, 0, 0, 0, 0], true;
        SYS_socket "socket: virtual machines" |_| [libc::AF_VSOCK as u64, STREAM, 0, 0, 0, 0], true;
        SYS_socketpair "socketpair" |world| [libc::AF_UNIX as u64, STREAM, 0, world.scratch(), 0, 0], true;
        SYS_connect "connect" |world| [0, world.zeroes(), 16, 0, 0, 0], true;
        SYS_bind "bind" |world| [0, world.zeroes(), 16, 0, 0, 0], true;
        SYS_listen "listen" |_| [0, 1, 0, 0, 0, 0], true;
        SYS_accept4 "accept4" |_| [0, 0, 0, 0, 0, 0], true;
        SYS_sendto "sendto" |world| [0, world.zeroes(), 8, 0, 0, 0], true;
        SYS_recvfrom "recvfrom" |world| [0, world.scratch(), 8, 0, 0, 0], true;
        SYS_sendmsg "sendmsg" |world| [0, world.zeroes(), 0, 0, 0, 0], true;
        SYS_recvmsg "recvmsg: descriptors" |world| [0, world.zeroes(), 0, 0, 0, 0], true;
        SYS_io_uring_setup "io_uring_setup" |world| [8, world.zeroes(), 0, 0, 0, 0], true;
        SYS_io_uring_enter "io_uring_enter" |_| [9, 1, 0, 0, 0, 0], true;
        SYS_io_uring_register "io_uring_register" |_| [9, 0, 0, 0, 0, 0], true;
        SYS_io_setup "io_setup" |world| [8, world.zeroes(), 0, 0, 0, 0], false;
    }
}

fn processes() -> impl IntoIterator<Item = Call> {
    const STOP: u64 = libc::SIGSTOP as u64;
    const ABORT: u64 = libc::SIGABRT as u64;
    calls! {
        SYS_clone "clone: a process" |_| [libc::SIGCHLD as u64, 0, 0, 0, 0, 0], false;
        SYS_clone "clone: a thread" |world| [(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64, world.scratch(), 0, 0, 0, 0], false;
        SYS_clone3 "clone3" |world| [world.zeroes(), 88, 0, 0, 0, 0], false;
        SYS_execve "execve" |world| [path(c"/bin/sh"), world.zeroes(), world.zeroes(), 0, 0, 0], true;
        SYS_execveat "execveat" |world| [HERE, path(c"/bin/sh"), world.zeroes(), world.zeroes(), 0, 0], true;
        SYS_wait4 "wait4" |_| [u64::MAX, 0, 0, 0, 0, 0], false;
        SYS_ptrace "ptrace: its parent" |world| [libc::PTRACE_SEIZE as u64, world.parent(), 0, 0, 0, 0], true;
        SYS_ptrace "ptrace: by whoever wants" |_| [0, 0, 0, 0, 0, 0], false;
        SYS_process_vm_readv "process_vm_readv" |world| [world.parent(), world.vector(), 1, world.vector(), 1, 0], true;
        SYS_process_vm_writev "process_vm_writev" |world| [world.parent(), world.vector(), 1, world.vector(), 1, 0], true;
        SYS_kill "kill: its parent" |world| [world.parent(), 9, 0, 0, 0, 0], false;
        SYS_kill "kill: everything" |_| [u64::MAX, 15, 0, 0, 0, 0], false;
        SYS_tgkill "tgkill: its parent" |world| [world.parent(), world.parent(), 9, 0, 0, 0], false;
        SYS_tgkill "tgkill: its parent, as if it aborted" |world| [world.parent(), world.parent(), ABORT, 0, 0, 0], false;
        SYS_tgkill "tgkill: stop itself" |world| [world.own(), world.own(), STOP, 0, 0, 0], false;
        SYS_tkill "tkill: stop itself" |world| [world.own(), STOP, 0, 0, 0, 0], false;
        SYS_rt_sigqueueinfo "rt_sigqueueinfo" |world| [world.parent(), 10, world.zeroes(), 0, 0, 0], false;
        SYS_pidfd_open "pidfd_open" |world| [world.parent(), 0, 0, 0, 0, 0], true;
        SYS_pidfd_getfd "pidfd_getfd" |_| [9, 0, 0, 0, 0, 0], true;
        SYS_pidfd_send_signal "pidfd_send_signal" |_| [9, 9, 0, 0, 0, 0], true;
        SYS_kcmp "kcmp" |world| [world.parent(), world.own(), 0, 0, 0, 0], false;
        SYS_process_madvise "process_madvise" |_| [9, 0, 0, 0, 0, 0], true;
        SYS_setpgid "setpgid" |_| [0, 0, 0, 0, 0, 0], false;
        SYS_setsid "setsid" |_| [0; 6], false;
    }
}

fn memory() -> impl IntoIterator<Item = Call> {
    const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    const SHARED: u64 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;
    const DOWN: u64 = PRIVATE | libc::MAP_GROWSDOWN as u64;
    const GIB: u64 = 1 << 30;
    const NOTHING: u64 = u64::MAX;
    calls! {
        SYS_mmap "mmap: executable" |_| [0, 4096, 7, PRIVATE, NOTHING, 0], false;
        SYS_mmap "mmap: for execution alone" |_| [0, 4096, 4, PRIVATE, NOTHING, 0], false;
        SYS_mmap "mmap: executable, of a descriptor" |_| [0, 4096, 5, libc::MAP_PRIVATE as u64, 8, 0], false;
        SYS_mmap "mmap: shared" |_| [0, GIB, 3, SHARED, NOTHING, 0], false;
        SYS_mmap "mmap: shared and validated" |_| [0, 4096, 3, (libc::MAP_SHARED_VALIDATE | libc::MAP_ANONYMOUS) as u64, NOTHING, 0], false;
        SYS_mmap "mmap: growing down" |_| [0, GIB, 3, DOWN, NOTHING, 0], false;
        SYS_mprotect "mprotect: executable" |world| [world.page(), 4096, 5, 0, 0, 0], false;
        SYS_mprotect "mprotect: its own code writable and executable" |world| [world.code(), 4096, 7, 0, 0, 0], false;
        SYS_pkey_mprotect "pkey_mprotect" |world| [world.page(), 4096, 7, NOTHING, 0, 0], false;
        SYS_remap_file_pages "remap_file_pages" |world| [world.page(), 4096, 0, 0, 0, 0], false;
        SYS_madvise "madvise: what a core dump has" |world| [world.page(), 4096, libc::MADV_DODUMP as u64, 0, 0, 0], false;
        SYS_memfd_create "memfd_create" |_| [path(c"x"), 0, 0, 0, 0, 0], true;
        SYS_memfd_secret "memfd_secret" |_| [0; 6], true;
        SYS_userfaultfd "userfaultfd" |_| [0; 6], true;
        SYS_shmget "shmget" |_| [0, 4096, 0o1600, 0, 0, 0], false;
        SYS_shmat "shmat: executable" |_| [0, 0, libc::SHM_EXEC as u64, 0, 0, 0], false;
        SYS_semget "semget" |_| [0, 1, 0o1600, 0, 0, 0], false;
        SYS_msgget "msgget" |_| [0, 0o1600, 0, 0, 0, 0], false;
        SYS_mq_open "mq_open" |_| [path(c"escaped"), RDWR | libc::O_CREAT as u64, 0o600, 0, 0, 0], true;
        SYS_mlock "mlock" |world| [world.page(), 4096, 0, 0, 0, 0], false;
        SYS_futex "futex: of an address, by priority" |world| [world.page(), libc::FUTEX_LOCK_PI as u64, 0, 0, 0, 0], false;
        SYS_futex "futex: moving waiters" |world| [world.page(), libc::FUTEX_CMP_REQUEUE as u64, 1, 1, world.page(), 0], false;
    }
}

fn descriptors() -> impl IntoIterator<Item = Call> {
    calls! {
        SYS_read "read: standard input" |world| [0, world.scratch(), 8, 0, 0, 0], false;
        SYS_read "read: its own waking" |world| [world.wake(), world.scratch(), 8, 0, 0, 0], false;
        SYS_read "read: its own reports" |world| [world.report(), world.scratch(), 8, 0, 0, 0], true;
        SYS_pread64 "pread64" |world| [9, world.scratch(), 8, 0, 0, 0], true;
        SYS_readv "readv" |world| [0, world.vector(), 1, 0, 0, 0], false;
        SYS_write "write: standard output" |world| [1, world.zeroes(), 8, 0, 0, 0], false;
        SYS_write "write: a descriptor that it may not have" |world| [9, world.zeroes(), 8, 0, 0, 0], true;
        SYS_writev "writev: its waking" |world| [world.wake(), world.vector(), 1, 0, 0, 0], false;
        SYS_pwrite64 "pwrite64" |world| [world.report(), world.zeroes(), 8, 0, 0, 0], true;
        SYS_dup "dup" |_| [2, 0, 0, 0, 0, 0], true;
        SYS_dup3 "dup3" |_| [2, 9, 0, 0, 0, 0], true;
        SYS_fcntl "fcntl: a copy" |_| [2, libc::F_DUPFD as u64, 0, 0, 0, 0], true;
        SYS_ioctl "ioctl: typing for a terminal" |world| [2, libc::TIOCSTI, world.zeroes(), 0, 0, 0], true;
        SYS_sendfile "sendfile" |world| [world.report(), 9, 0, 8, 0, 0], true;
        SYS_splice "splice" |world| [9, 0, world.report(), 0, 8, 0], true;
        SYS_tee "tee" |world| [9, world.report(), 8, 0, 0, 0], true;
        SYS_vmsplice "vmsplice" |world| [world.report(), world.vector(), 1, 0, 0, 0], false;
        SYS_copy_file_range "copy_file_range" |world| [9, 0, world.report(), 0, 8, 0], true;
        SYS_ftruncate "ftruncate: what was its ring" |_| [4, 0, 0, 0, 0, 0], true;
        SYS_fchmod "fchmod" |_| [2, 0o777, 0, 0, 0, 0], false;
        SYS_close "close" |_| [9, 0, 0, 0, 0, 0], true;
        SYS_pipe2 "pipe2" |world| [world.scratch(), 0, 0, 0, 0, 0], true;
        SYS_eventfd2 "eventfd2" |_| [0; 6], true;
        SYS_epoll_create1 "epoll_create1" |_| [0; 6], true;
        SYS_timerfd_create "timerfd_create" |_| [1, 0, 0, 0, 0, 0], true;
        SYS_signalfd4 "signalfd4" |world| [u64::MAX, world.zeroes(), 8, 0, 0, 0], true;
        SYS_ppoll "ppoll" |world| [world.zeroes(), 0, world.zeroes(), 0, 0, 0], false;
    }
}

fn privileges() -> impl IntoIterator<Item = Call> {
    const ME: u64 = 0;
    const DEATH: u64 = libc::PR_SET_PDEATHSIG as u64;
    /// `PR_SET_SYSCALL_USER_DISPATCH`.
    const DISPATCH: u64 = 59;
    calls! {
        SYS_prlimit64 "prlimit64: its memory" |world| [ME, libc::RLIMIT_DATA as u64, world.ones(), 0, 0, 0], true;
        SYS_prlimit64 "prlimit64: its descriptors" |world| [ME, libc::RLIMIT_NOFILE as u64, world.ones(), 0, 0, 0], true;
        SYS_prlimit64 "prlimit64: its parent's" |world| [world.parent(), libc::RLIMIT_CPU as u64, world.zeroes(), 0, 0, 0], false;
        SYS_seccomp "seccomp: once more" |world| [1, 0, world.zeroes(), 0, 0, 0], true;
        SYS_prctl "prctl: another filter" |world| [libc::PR_SET_SECCOMP as u64, 2, world.zeroes(), 0, 0, 0], true;
        SYS_prctl "prctl: living on without its parent" |_| [DEATH, 0, 0, 0, 0, 0], false;
        SYS_prctl "prctl: being looked at" |_| [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0, 0], false;
        SYS_prctl "prctl: a tracer" |_| [libc::PR_SET_PTRACER as u64, u64::MAX, 0, 0, 0, 0], false;
        SYS_prctl "prctl: no signal for refused calls" |_| [DISPATCH, 1, 0, 0, 0, 0], false;
        SYS_personality "personality" |_| [libc::READ_IMPLIES_EXEC as u64, 0, 0, 0, 0, 0], false;
        SYS_setuid "setuid" |_| [12345, 0, 0, 0, 0, 0], true;
        SYS_setgid "setgid" |_| [12345, 0, 0, 0, 0, 0], true;
        SYS_setgroups "setgroups" |_| [0; 6], true;
        SYS_capset "capset" |world| [world.capabilities(), world.ones(), 0, 0, 0, 0], true;
        SYS_unshare "unshare: users" |_| [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0], false;
        SYS_unshare "unshare: mounts" |_| [libc::CLONE_NEWNS as u64, 0, 0, 0, 0, 0], true;
        SYS_setns "setns" |_| [9, 0, 0, 0, 0, 0], true;
        SYS_keyctl "keyctl" |_| [0, (-3_i64) as u64, 0, 0, 0, 0], false;
        SYS_add_key "add_key" |world| [path(c"user"), path(c"x"), world.zeroes(), 8, (-3_i64) as u64, 0], false;
        SYS_request_key "request_key" |_| [path(c"user"), path(c"x"), 0, (-3_i64) as u64, 0, 0], false;
        SYS_bpf "bpf" |world| [0, world.zeroes(), 48, 0, 0, 0], true;
        SYS_perf_event_open "perf_event_open" |world| [world.zeroes(), 0, u64::MAX, u64::MAX, 0, 0], true;
        SYS_init_module "init_module" |world| [world.zeroes(), 8, path(c""), 0, 0, 0], true;
        SYS_finit_module "finit_module" |_| [9, path(c""), 0, 0, 0, 0], true;
        SYS_kexec_load "kexec_load" |_| [0; 6], true;
        SYS_reboot "reboot" |_| [0; 6], true;
        SYS_swapon "swapon" |_| [path(c"/tmp/escaped"), 0, 0, 0, 0, 0], true;
        SYS_acct "acct" |_| [path(c"/tmp/escaped"), 0, 0, 0, 0, 0], true;
        SYS_syslog "syslog" |world| [3, world.scratch(), 64, 0, 0, 0], false;
        SYS_sethostname "sethostname" |_| [path(c"x"), 1, 0, 0, 0, 0], true;
        SYS_clock_settime "clock_settime" |world| [0, world.zeroes(), 0, 0, 0, 0], true;
        SYS_clock_gettime "clock_gettime: the time of day" |world| [0, world.scratch(), 0, 0, 0, 0], false;
        SYS_sched_setaffinity "sched_setaffinity" |world| [0, 8, world.ones(), 0, 0, 0], false;
        SYS_sched_setscheduler "sched_setscheduler" |world| [0, 1, world.ones(), 0, 0, 0], true;
        SYS_setpriority "setpriority" |_| [0, 0, (-20_i64) as u64, 0, 0, 0], true;
        SYS_ioprio_set "ioprio_set" |_| [1, 0, 0, 0, 0, 0], false;
        SYS_timer_create "timer_create" |world| [1, 0, world.scratch(), 0, 0, 0], false;
        SYS_setitimer "setitimer" |world| [0, world.zeroes(), 0, 0, 0, 0], false;
        SYS_getrandom "getrandom" |world| [world.scratch(), 8, 0, 0, 0, 0], false;
        SYS_uname "uname" |world| [world.scratch(), 0, 0, 0, 0, 0], false;
        SYS_getuid "getuid" |_| [0; 6], false;
        SYS_sysinfo "sysinfo" |world| [world.scratch(), 0, 0, 0, 0, 0], false;
        SYS_landlock_create_ruleset "landlock_create_ruleset" |world| [world.ones(), 8, 0, 0, 0, 0], true;
        SYS_rt_sigaction "rt_sigaction: its own handler of refused calls" |world| [libc::SIGSYS as u64, world.zeroes(), 0, 8, 0, 0], false;
        SYS_rt_sigtimedwait "rt_sigtimedwait" |world| [world.ones(), 0, world.zeroes(), 8, 0, 0], false;
        SYS_sigaltstack "sigaltstack" |world| [world.zeroes(), 0, 0, 0, 0, 0], false;
        SYS_rseq "rseq" |_| [0; 6], false;
        SYS_membarrier "membarrier" |_| [0; 6], false;
        SYS_exit "exit: one thread alone" |_| [0; 6], false;
    }
}

#[cfg(target_arch = "x86_64")]
fn of_this_processor() -> impl IntoIterator<Item = Call> {
    /// Adds the bit of the x32 ABI, which a filter may forget.
    const SHORT: c_long = 0x4000_0000;
    let mut all = Vec::from(calls! {
        SYS_open "open" |_| [path(c"/etc/passwd"), 0, 0, 0, 0, 0], true;
        SYS_creat "creat" |_| [path(c"/tmp/escaped"), 0o600, 0, 0, 0, 0], true;
        SYS_fork "fork" |_| [0; 6], false;
        SYS_vfork "vfork" |_| [0; 6], false;
        SYS_dup2 "dup2" |_| [2, 9, 0, 0, 0, 0], true;
        SYS_arch_prctl "arch_prctl" |world| [0x1002, world.page(), 0, 0, 0, 0], false;
        SYS_modify_ldt "modify_ldt" |world| [1, world.zeroes(), 16, 0, 0, 0], false;
        SYS_iopl "iopl" |_| [3, 0, 0, 0, 0, 0], true;
        SYS_ioperm "ioperm" |_| [0x80, 1, 1, 0, 0, 0], true;
        SYS_uselib "uselib" |_| [path(c"/bin/sh"), 0, 0, 0, 0, 0], true;
    });
    let short =
        [("x32: open", libc::SYS_open), ("x32: write", libc::SYS_write), ("x32: exit_group", libc::SYS_exit_group)];
    all.extend(short.map(|(name, number)| Call {
        name,
        number: SHORT | number,
        arguments: |_| [path(c"/etc/passwd"), 0, 0, 0, 0, 0],
        fails_anyway: false,
    }));
    all
}
