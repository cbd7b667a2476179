//! How long things take. Nothing here fails because a machine is slow.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{command, generous, run};
use stagewright_jail::{Budget, Event, Limit, Why, spawn};
use stagewright_jail_tests::prisoner::monotonic;
use stagewright_jail_tests::{BULK, ECHO};

const ROUNDS: usize = 100;

/// Median and worst of some times in nanoseconds, as milliseconds.
fn show(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let milliseconds = |time: u64| time as f64 / 1e6;
    let (median, worst) = (milliseconds(times[times.len() / 2]), milliseconds(times[times.len() - 1]));
    println!("{what}: median {median:.2} ms, worst of {} {worst:.2} ms", times.len());
}

#[test]
#[ignore = "measures for some seconds"]
fn from_a_limit_to_gone() {
    const CPU: Duration = Duration::from_millis(50);
    let (mut late, mut over) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let budget = Arc::new(Budget::new(CPU, Duration::from_secs(120)));
        let (said, ending) = run(&command("spin", budget));
        let gone = monotonic();
        assert!(matches!(ending.why, Why::Limit { limit: Limit::Cpu, .. }), "{}", ending.why);
        // The limit cannot have been reached before: from here on it used at most all of the time.
        let (begin, used) = said[0].split_once(' ').expect("two figures");
        let (begin, used): (u64, u64) = (begin.parse().expect("a time"), used.parse().expect("a time"));
        let limit = CPU.as_nanos() as u64;
        late.push(gone.saturating_sub(begin + limit));
        over.push((ending.cpu.as_nanos() as u64).saturating_sub(used + limit));
    }
    show("limit of CPU time to gone, with what other processes took meanwhile", late);
    show("CPU time past the limit, until it was gone", over);
}

#[test]
#[ignore = "measures for some seconds"]
fn from_a_wish_to_gone() {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
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
    for _ in 0..ROUNDS {
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
