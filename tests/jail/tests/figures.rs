//! Measures times and prints them. No assertion depends on the machine's speed.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{command, generous, run, serve};
use stagewright_jail::{Event, Limit, TimeBudget, Why, spawn};
use stagewright_jail_tests::prisoner::{LIMIT, monotonic};
use stagewright_jail_tests::restoring::RESTORING;
use stagewright_jail_tests::{BULK, ECHO};

/// Returns how often each time is measured: often enough to see that the measurement works, or as
/// `STAGEWRIGHT_JAIL_ROUNDS` says.
fn rounds() -> usize {
    let named = std::env::var("STAGEWRIGHT_JAIL_ROUNDS").ok();
    named.map_or(20, |rounds| rounds.parse().expect("a number of rounds"))
}

/// Prints median and maximum of times in nanoseconds as milliseconds.
fn show(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let milliseconds = |time: u64| time as f64 / 1e6;
    let (median, worst) = (milliseconds(times[times.len() / 2]), milliseconds(times[times.len() - 1]));
    println!("{what}: median {median:.2} ms, worst of {} {worst:.2} ms", times.len());
}

/// Threads that keep every core busy until this is dropped.
struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    /// Starts two threads per core.
    fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..2 * cores).map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        });
        Self { threads: threads.collect(), over }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Measures how late children end that reach their CPU limit.
fn at_the_cpu_limit(machine: &str) {
    let (mut late, mut over) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let budget = Arc::new(TimeBudget::new(LIMIT, Duration::from_secs(120)));
        let (said, ending) = run(&command("spin past a limit", budget));
        let gone = monotonic();
        assert!(matches!(ending.why, Why::Limit { limit: Limit::Cpu, .. }), "{}", ending.why);
        // The account counts from just before the lock, and the child's own watchdog from within
        // it, so the message comes a moment before the limit. A child that ended before its message
        // was not late.
        late.push(said.first().map_or(0, |then| gone - then.parse::<u64>().expect("a time")));
        over.push((ending.cpu.saturating_sub(LIMIT)).as_nanos() as u64);
    }
    show(&format!("limit of CPU time to gone, {machine}"), late);
    show(&format!("CPU time past the limit, with that of starting, {machine}"), over);
}

#[test]
#[ignore = "measures for some seconds"]
fn from_a_limit_to_gone() {
    at_the_cpu_limit("the machine as it is");
    let busy = Busy::begin();
    at_the_cpu_limit("two busy threads beside it for each core");
    drop(busy);
}

#[test]
#[ignore = "measures for some seconds"]
fn from_a_limit_to_gone_of_a_child_that_is_stopped() {
    let wall = Duration::from_millis(100);
    let late = (0..rounds()).map(|_| {
        let begin = monotonic();
        let budget = Arc::new(TimeBudget::new(Duration::from_secs(30), wall));
        let child = spawn(&command("spin", budget)).expect("a child");
        let number = rustix::process::Pid::from_raw(child.id() as i32).expect("a number");
        rustix::process::kill_process(number, rustix::process::Signal::STOP).expect("it lives");
        let (_, ending) = serve(child);
        assert!(matches!(ending.why, Why::Limit { limit: Limit::Wall, .. }), "{}", ending.why);
        monotonic().saturating_sub(begin + wall.as_nanos() as u64)
    });
    show("limit on the wall to gone, of a child that is stopped", late.collect());
}

#[test]
#[ignore = "measures for some seconds"]
fn from_a_wish_to_gone() {
    let mut times = Vec::new();
    for _ in 0..rounds() {
        let mut child = spawn(&command("spin", generous())).expect("a child");
        let mut bytes = Vec::new();
        assert!(matches!(child.receive(&mut bytes), Ok(Event::Message(_))));
        let begin = Instant::now();
        child.stop("it is measured");
        assert!(matches!(child.receive(&mut bytes), Ok(Event::Ended(_))));
        times.push(begin.elapsed().as_nanos() as u64);
    }
    show("wish to gone", times);
}

#[test]
#[ignore = "measures for some seconds"]
fn from_start_to_locked() {
    let (mut locked, mut gone, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let begin = monotonic();
        let (said, ending) = run(&command("time", generous()));
        let there: u64 = said[0].parse().expect("a time");
        locked.push(there - begin);
        gone.push(monotonic() - begin);
        cpu.push(ending.cpu.as_nanos() as u64);
    }
    show("spawn to the first instruction behind the walls", locked);
    show("spawn to gone", gone);
    show("its CPU time", cpu);
}

#[test]
#[ignore = "measures for some seconds"]
fn through_the_ring() {
    let mut child = spawn(&command("echo", generous())).expect("a child");
    let mut bytes = Vec::new();
    let mut times = Vec::new();
    for _ in 0..1000 {
        let begin = Instant::now();
        child.send(BULK, &[b"8 bytes."]).expect("it lives");
        assert!(matches!(child.receive(&mut bytes), Ok(Event::Message(ECHO))));
        times.push(begin.elapsed().as_nanos() as u64);
    }
    show("a question and its answer", times);
    let much = vec![7; 1 << 20];
    let begin = Instant::now();
    let rounds: u32 = 40;
    for _ in 0..rounds {
        child.send(BULK, &[&much]).expect("it lives");
        assert!(matches!(child.receive(&mut bytes), Ok(Event::Message(ECHO))));
    }
    let rate = f64::from(2 * rounds) * much.len() as f64 / begin.elapsed().as_secs_f64() / 1e9;
    println!("there and back, in turn, 1 MiB each: {rate:.2} GB/s");
}

#[test]
#[ignore = "measures for some seconds"]
fn of_a_checkpoint() {
    // The questions write statics, thread-local values, 200 entries of a map, and pages of a table.
    for (task, name) in [("remembering", "nothing restored"), (RESTORING, "memory restored")] {
        for length in [15, 100, 1000] {
            let mut command = command(task, generous());
            command.restores = task == RESTORING;
            command.memory = 1 << 30;
            let mut child = spawn(&command).expect("a child");
            let (mut bytes, mut times) = (Vec::new(), Vec::new());
            let question = format!("quick {}", "?".repeat(length));
            for _ in 0..2000 {
                let begin = Instant::now();
                child.send(BULK, &[question.as_bytes()]).expect("it lives");
                assert!(matches!(child.receive(&mut bytes), Ok(Event::Message(_))));
                times.push(begin.elapsed().as_nanos() as u64);
                // So that restoring is not in the next question's time, but in the child's.
            }
            child.stop("it is measured");
            let (_, ending) = serve(child);
            println!("CPU time for each question: {:.1} us", ending.cpu.as_secs_f64() * 1e6 / 2000.0);
            show(&format!("a question that writes {} pages of a table, {name}", 4 * question.len()), times);
        }
    }
}
