//! A child: the descriptors it gets, the messages it exchanges with its parent, its end.
#![cfg(target_os = "linux")]

mod common;

use std::io::BufRead as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{command, generous, program, run, serve};
use rustix::process::{Pid, Signal, kill_process};
use stagewright_jail::{Account, Child, Ending, Event, Limit, Spent, TimeBudget, Walls, Why, sealed, spawn};
use stagewright_jail_tests::prisoner::WITHOUT;
use stagewright_jail_tests::{BULK, ECHO};

fn locked(child: &Child) {
    while child.walls().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32).expect("a number")
}

/// Waits until a process is gone, or a zombie that its parent has to see off.
fn gone(process: u32) {
    let begin = Instant::now();
    let is_gone = || match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')),
        Err(_) => true,
    };
    while !is_gone() {
        assert!(begin.elapsed() < Duration::from_secs(60), "process `{process}` lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An account that remembers whether watching was charged to it.
#[derive(Default)]
struct Watched(AtomicBool);

impl Account for Watched {
    fn charge(&self, _: Duration) {}

    fn charge_watching(&self, cpu: Duration) {
        self.0.fetch_or(!cpu.is_zero(), Ordering::Relaxed);
    }

    fn cpu(&self) -> Spent {
        Spent { used: Duration::ZERO, allowed: Duration::from_secs(30) }
    }

    fn wall(&self) -> Spent {
        self.cpu()
    }
}

#[test]
fn watching_an_idle_child_is_charged_as_that() {
    let account = Arc::new(Watched::default());
    let child = spawn(&command("echo", account.clone())).expect("a child");
    locked(&child);
    let begin = Instant::now();
    while !account.0.load(Ordering::Relaxed) {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is charged for watching");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn messages_of_any_length_go_there_and_back() {
    let mut child = spawn(&command("echo", generous())).expect("a child");
    let mut bytes = Vec::new();
    for length in [1, 47, 48, 49, 4096, 1 << 20, (1 << 20) + 1, 3 << 20, 8 << 20, 5] {
        let sent: Vec<u8> = (0..length).map(|at: usize| (at % 253) as u8).collect();
        let (first, second) = sent.split_at(length / 2);
        child.send(BULK, &[first, &[], second]).expect("it lives");
        let Event::Message(ECHO) = child.receive(&mut bytes).expect("waiting") else { panic!("no answer to {length}") };
        assert!(bytes == sent, "{length} bytes come back as they went");
    }
    child.send(BULK, &[]).expect("it lives");
    let (_, ending) = serve(child);
    assert_eq!((ending.why, ending.walls), (Why::Exited(0), Some(Walls::ALL)));
}

// invariant: A jailed child has only what it was given. It refuses to start where its walls would
// not hold.
#[test]
fn a_child_finds_what_it_was_given_and_nothing_else() {
    // A descriptor that every child inherits, and a signal that is ignored.
    let leak = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 50).expect("a descriptor");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("inherited");
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    let (first, second) = (sealed("first", b"one ").expect("memory"), sealed("second", b"two").expect("memory"));
    let inputs = [first.as_fd(), second.as_fd()];
    let mut command = command("surroundings", generous());
    command.environment = &[("ONLY", "this")];
    command.inputs = &inputs;
    let (said, ending) = run(&command);
    assert_eq!(ending.why, Why::Exited(0), "{}", ending.stderr);
    let seen = &said[0];
    for expected in [
        r#"variables ["ONLY"="this"]"#,
        "inputs [one two]",
        "SigBlk: 0000000000000000",
        "NoNewPrivs: 1",
        "own session true",
        "other descriptors 0",
        "standard input /dev/null",
    ] {
        assert!(seen.contains(expected), "`{expected}` is not in `{seen}`");
    }
    let ignored = seen.split("SigIgn: ").nth(1).and_then(|rest| u64::from_str_radix(rest.split(' ').next()?, 16).ok());
    // The C library has two of its own, 32 and 33, which nobody can set through it.
    assert_eq!(ignored.map(|signals| signals & !(3 << 31)), Some(0), "{seen}");
    drop(leak);
}

#[test]
fn more_inputs_than_one_packet_holds_arrive() {
    let input = sealed("input", b"x").expect("memory");
    let inputs: Vec<BorrowedFd<'_>> = vec![input.as_fd(); 601];
    let mut command = command("surroundings", generous());
    command.inputs = &inputs;
    let (said, ending) = run(&command);
    assert_eq!(ending.why, Why::Exited(0), "{}", ending.stderr);
    assert!(said[0].contains(&format!("inputs [{}]", "x".repeat(601))), "{said:?}");
}

#[test]
fn what_computing_takes_is_allowed() {
    let (said, ending) = run(&command("allowed calls", generous()));
    assert_eq!((&ending.why, ending.stderr.as_str()), (&Why::Exited(0), "a word"));
    assert!(said[0].contains("memory 8388608") && !said[0].contains("false"), "{said:?}");
}

#[test]
fn a_child_of_another_version_or_another_program_does_nothing() {
    let mut other = command("echo", generous());
    other.version = "another";
    let (said, ending) = run(&other);
    assert_eq!((said.len(), &ending.why, ending.walls), (0, &Why::Exited(1), None));
    assert!(
        ending.stderr.contains("version `test`") && ending.stderr.contains("version `another`"),
        "{}",
        ending.stderr
    );

    let mut other = command("echo", generous());
    other.program = Path::new("/bin/true");
    let (said, ending) = run(&other);
    assert_eq!((said.len(), ending.why, ending.walls), (0, Why::Exited(0), None));

    other.program = Path::new("/no/such/program");
    assert_eq!(spawn(&other).expect_err("no program").kind(), std::io::ErrorKind::NotFound);
    other.ring = 1 << 20;
    assert_eq!(spawn(&other).expect_err("a ring that is too small").kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_child_that_is_started_by_hand_says_what_it_is() {
    let output = std::process::Command::new(program()).stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("is started by `stagewright` itself"), "{said}");
}

// invariant: as `a_child_finds_what_it_was_given_and_nothing_else`
// invariant: The walls that a host can build are known without starting a child. A required wall
// that is missing is an error with a remedy.
#[test]
fn walls_that_a_system_lacks_are_told_and_refused_where_they_are_required() {
    for (calls, missing) in [
        ("seccomp", Walls::SECCOMP),
        ("landlock", Walls::LANDLOCK),
        ("prlimit", Walls::RLIMITS),
        ("seccomp,landlock", Walls::SECCOMP | Walls::LANDLOCK),
    ] {
        let task = format!("{WITHOUT}{calls};walls");
        let (said, ending) = run(&command(&task, generous()));
        assert_eq!((said.len(), &ending.why, ending.walls), (0, &Why::Missing(missing), None), "{}", ending.stderr);
        assert!(ending.stderr.contains(&missing.to_string()), "{}", ending.stderr);
        let mut lenient = command(&task, generous());
        lenient.required = missing.missing(Walls::ALL);
        let (said, ending) = run(&lenient);
        assert_eq!((ending.why, ending.walls), (Why::Exited(0), Some(lenient.required)));
        // A process that does not lock itself in knows as much.
        assert_eq!(said, [lenient.required.to_string()]);
    }
    assert_eq!(Walls::of_this_system(), Walls::ALL);
}

// invariant: as `a_child_finds_what_it_was_given_and_nothing_else`
#[test]
fn a_child_in_which_walls_would_not_hold_is_not_locked() {
    for (task, why) in [("two threads", "`2` threads"), ("a writable descriptor", "not for reading alone")] {
        let (said, ending) = run(&command(task, generous()));
        assert_eq!((said.len(), &ending.why, ending.walls), (0, &Why::Exited(1), None));
        assert!(ending.stderr.contains(why), "{}", ending.stderr);
    }
}

#[test]
fn a_locked_child_shows_its_walls_to_everybody() {
    let child = spawn(&command("echo", generous())).expect("a child");
    locked(&child);
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).expect("it lives");
    let status = read("status");
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t", "Threads:\t2"] {
        assert!(status.contains(line), "`{line}` is not in {status}");
    }
    child.stop("it has been looked at");
    let (_, ending) = serve(child);
    assert_eq!(ending.why, Why::Stopped("it has been looked at".into()));
}

/// A parent in a process of its own, whose child spins and may use so much CPU time; and the child.
fn parent_and_child(milliseconds: u64) -> (std::process::Child, u32) {
    let mut parent = std::process::Command::new(program())
        .arg(milliseconds.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a parent");
    let mut line = String::new();
    std::io::BufReader::new(parent.stdout.take().expect("a pipe")).read_line(&mut line).expect("a number");
    let child: u32 = line.trim().parse().expect("a number");
    assert!(Path::new(&format!("/proc/{child}")).exists());
    (parent, child)
}

// invariant: A jailed child ends with its parent, not with the thread that started it. A stopped or
// silent child is ended, and nothing of it remains.
#[test]
fn a_child_ends_with_its_parent() {
    let (mut parent, child) = parent_and_child(600_000);
    parent.kill().expect("it lives");
    parent.wait().expect("it is gone");
    gone(child);
}

// invariant: as `a_child_ends_with_its_parent`
#[test]
fn a_child_of_a_parent_that_is_stopped_ends_at_its_limit_and_with_its_parent() {
    let stop = |parent: &std::process::Child| {
        let number = Pid::from_raw(parent.id() as i32).expect("a number");
        kill_process(number, Signal::STOP).expect("it lives");
    };
    // Nobody watches it but itself.
    let (mut parent, child) = parent_and_child(500);
    stop(&parent);
    gone(child);
    parent.kill().expect("it is stopped");
    parent.wait().expect("it is gone");
    let (mut parent, child) = parent_and_child(600_000);
    stop(&parent);
    parent.kill().expect("it is stopped");
    parent.wait().expect("it is gone");
    gone(child);
}

// invariant: as `a_child_ends_with_its_parent`
#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    let asks = || spawn(&command("echo", generous())).expect("a child");
    let mut child = std::thread::spawn(asks).join().expect("the thread ends");
    std::thread::sleep(Duration::from_millis(50));
    child.send(BULK, &[b"are you there"]).expect("it lives");
    assert!(matches!(child.receive(&mut Vec::new()), Ok(Event::Message(ECHO))));
}

#[test]
fn a_child_that_nobody_holds_any_more_ends() {
    let child = spawn(&command("echo", generous())).expect("a child");
    locked(&child);
    let process = child.id();
    drop(child);
    gone(process);
}

#[test]
fn a_cancelled_account_ends_all_its_children() {
    let budget = generous();
    let children: Vec<_> = ["spin", "echo", "sleep without end"]
        .map(|task| spawn(&command(task, Arc::clone(&budget) as Arc<dyn Account>)).expect("a child"))
        .into();
    children.iter().for_each(locked);
    budget.cancel();
    for child in children {
        assert_eq!(serve(child).1.why, Why::Cancelled);
    }
}

#[test]
fn children_that_share_an_account_share_its_time() {
    let budget = Arc::new(TimeBudget::new(Duration::from_millis(400), Duration::from_secs(120)));
    let children: Vec<_> =
        (0..2).map(|_| spawn(&command("spin", Arc::clone(&budget) as Arc<dyn Account>)).expect("a child")).collect();
    let mut together = Duration::ZERO;
    for child in children {
        let (_, ending) = serve(child);
        let Why::Limit { limit: Limit::Cpu, used, allowed: 400_000_000 } = ending.why else { panic!("{}", ending.why) };
        assert!(used >= 400_000_000);
        together += ending.cpu;
    }
    // The rest is the watching thread's, which works for them too.
    let charged = budget.cpu().used;
    assert!(charged > together && together >= Duration::from_millis(300), "{charged:?}, of which {together:?}");
}

// invariant: as `a_table_holds_what_it_says`
#[test]
fn the_watching_threads_time_is_in_the_account_of_the_child_for_which_it_works() {
    let (idle, busy) = (generous(), generous());
    let mut child = spawn(&command("echo", Arc::clone(&idle) as Arc<dyn Account>)).expect("a child");
    locked(&child);
    let before = idle.cpu().used;
    let mut own = Duration::ZERO;
    for _ in 0..40 {
        own += run(&command("time", Arc::clone(&busy) as Arc<dyn Account>)).1.cpu;
    }
    let for_the_busy = busy.cpu().used.saturating_sub(own);
    // Starting a program takes some tens of microseconds on any machine. What is not in the account
    // at all would make this zero.
    assert!(for_the_busy > Duration::from_micros(400), "{for_the_busy:?} for 40 children");
    child.send(BULK, &[]).expect("it lives");
    while !matches!(child.receive(&mut Vec::new()), Ok(Event::Ended(_))) {}
    let for_the_idle = idle.cpu().used.saturating_sub(before);
    assert!(for_the_idle < for_the_busy, "{for_the_idle:?} for one that waits, {for_the_busy:?} for those that start");
}

#[test]
fn what_a_parent_does_for_a_child_counts() {
    let budget = generous();
    let child = spawn(&command("echo", Arc::clone(&budget) as Arc<dyn Account>)).expect("a child");
    locked(&child);
    budget.charge(Duration::from_secs(31));
    let (_, ending) = serve(child);
    assert!(matches!(ending.why, Why::Limit { limit: Limit::Cpu, allowed: 30_000_000_000, .. }), "{}", ending.why);
}

// invariant: as `a_child_ends_with_its_parent`
#[test]
fn a_stopped_child_is_contained_and_a_continued_one_goes_on() {
    let budget = Arc::new(TimeBudget::new(Duration::from_secs(30), Duration::from_secs(2)));
    let child = spawn(&command("spin", budget)).expect("a child");
    locked(&child);
    kill_process(pid(&child), Signal::STOP).expect("it lives");
    let (_, ending) = serve(child);
    assert!(matches!(ending.why, Why::Limit { limit: Limit::Wall, allowed: 2_000_000_000, .. }), "{}", ending.why);

    let mut child = spawn(&command("echo", generous())).expect("a child");
    locked(&child);
    std::thread::sleep(Duration::from_millis(20));
    kill_process(pid(&child), Signal::STOP).expect("it lives");
    std::thread::sleep(Duration::from_millis(20));
    kill_process(pid(&child), Signal::CONT).expect("it lives");
    child.send(BULK, &[b"go on"]).expect("it lives");
    assert!(matches!(child.receive(&mut Vec::new()), Ok(Event::Message(ECHO))));
}

// invariant: A child that another process killed is reported as such and is not retried.
#[test]
fn a_child_that_somebody_else_kills_is_told_as_that() {
    for (signal, text) in [(Signal::KILL, "`SIGKILL`"), (Signal::TERM, "`SIGTERM`")] {
        let child = spawn(&command("echo", generous())).expect("a child");
        locked(&child);
        kill_process(pid(&child), signal).expect("it lives");
        let (_, ending) = serve(child);
        assert_eq!(ending.why, Why::Signal(signal.as_raw()));
        assert!(ending.why.to_string().contains(text), "{}", ending.why);
        assert_eq!(ending.from_outside().as_deref(), Some(text.trim_matches('`')));
        // Without the filter it could have been the child itself.
        let walls = ending.walls.map(|walls| walls.missing(Walls::SECCOMP));
        assert_eq!(Ending { walls, ..ending }.from_outside(), None);
    }
}

#[test]
fn what_a_child_sent_before_its_end_is_received() {
    let (said, ending) = run(&command("die after messages", generous()));
    assert_eq!((said.join(" ").as_str(), ending.why), ("0 1 2 3 4", Why::Exited(0)));
    // In the middle of a message: what is not whole is not received.
    let (said, ending) = run(&command("an end in the middle of a message", generous()));
    assert_eq!((said.len(), ending.why), (0, Why::Exited(0)));
}

#[test]
fn a_child_that_is_gone_is_sent_nothing() {
    let mut child = spawn(&command("time", generous())).expect("a child");
    gone(child.id());
    let mut bytes = Vec::new();
    assert!(matches!(child.receive(&mut bytes), Ok(Event::Message(_))));
    let Ok(Event::Ended(ending)) = child.receive(&mut bytes) else { panic!("it has ended") };
    assert_eq!(ending.why, Why::Exited(0));
    assert!(child.send(BULK, &[b"too late"]).is_err());
    assert!(matches!(child.receive(&mut bytes), Ok(Event::Ended(_))), "as often as it is asked");
}

#[test]
fn many_children_at_once_are_told_apart() {
    let all: Vec<_> = (0..24)
        .map(|number| {
            let task = ["time", "a panic", "an abort", "openat", "a flood of words", "echo"][number % 6];
            (number % 6, spawn(&command(task, generous())).expect("a child"))
        })
        .collect();
    for (what, mut child) in all {
        if what == 5 {
            child.send(BULK, &[]).expect("it lives");
        }
        let (_, ending) = serve(child);
        let right = match ending.why {
            Why::Exited(0) => what == 0 || what == 5,
            Why::Exited(101) => what == 1,
            Why::Signal(libc::SIGABRT) => what == 2,
            Why::Refused(Some(_)) => what == 3,
            Why::Forged(_) => what == 4,
            _ => false,
        };
        assert!(right, "{what}: {}", ending.why);
        assert!(what != 1 || ending.stderr.contains("this is why"), "{}", ending.stderr);
    }
}

#[test]
fn sealed_bytes_are_final() {
    let file = sealed("final", b"bytes").expect("memory");
    assert!(rustix::io::pwrite(&file, b"other", 0).is_err());
    assert!(rustix::fs::ftruncate(&file, 0).is_err());
    assert!(file.as_raw_fd() > 2);
}
