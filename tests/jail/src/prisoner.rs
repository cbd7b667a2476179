//! The child's program.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use seccompiler::{SeccompAction, SeccompFilter};
use stagewright_jail::{Channel, Command, Rules, Started, TimeBudget, Walls, end, spawn};

use crate::attempts::{self, World};
use crate::restoring::{self, RESTORING};
use crate::{ECHO, SAID, VERSION, longest};

/// Starts a task that pretends to be on a system without these system calls, separated by commas
/// and ended by `;`.
pub const WITHOUT: &str = "without ";

/// Executes the task: an attempt's name or one of the words below.
pub fn serve(started: Started) -> ExitCode {
    let task = String::from_utf8_lossy(started.task()).into_owned();
    let task = match task.strip_prefix(WITHOUT).and_then(|rest| rest.split_once(';')) {
        Some((calls, task)) => {
            pretend(calls);
            task.to_owned()
        }
        None => task,
    };
    let name = task.strip_prefix(RESTORING).unwrap_or(&task);
    let attempt = attempts::all().into_iter().find(|attempt| attempt.name == name);
    let reserved = (task.starts_with(RESTORING) || task == "remembering").then(restoring::reserve);
    let mut world = World::look();
    let seen = surroundings(&started, &task);
    let possible = Walls::of_this_system();
    match task.as_str() {
        "two threads" => {
            std::thread::spawn(|| std::thread::sleep(Duration::from_secs(60)));
        }
        "a writable descriptor" => {
            Box::leak(Box::new(std::fs::File::create("/dev/null").expect("the file")));
        }
        _ => {}
    }
    let begin = cpu();
    let (mut channel, checkpoint) = match started.lock() {
        Ok(locked) => (locked.channel, locked.checkpoint),
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    match (reserved, checkpoint) {
        (Some(reserved), Some(checkpoint)) => restoring::serve(world, channel, checkpoint, attempt, reserved),
        (Some(reserved), None) if task == "remembering" => restoring::remember(world, channel, reserved),
        _ => {}
    }
    if let Some(attempt) = attempt {
        let said = attempt.make(&mut world, &mut channel);
        say(&mut channel, &said);
        end(0)
    }
    match task.as_str() {
        "echo" => echo(&mut channel),
        "surroundings" => say(&mut channel, &seen),
        "allowed calls" => say(&mut channel, &allowed(&world)),
        "die after messages" => {
            for number in 0_u32..5 {
                say(&mut channel, &number.to_string());
            }
        }
        "spin" => {
            let own = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            say(&mut channel, &format!("{} {}", monotonic(), own.tv_sec as u64 * 1_000_000_000 + own.tv_nsec as u64));
            loop {
                std::hint::spin_loop();
            }
        }
        "spin past a limit" => spin_past(&mut channel, begin),
        "walls" => say(&mut channel, &possible.to_string()),
        "time" => say(&mut channel, &monotonic().to_string()),
        _ => say(&mut channel, "no such task"),
    }
    end(0)
}

fn say(channel: &mut Channel, text: &str) {
    channel.send(SAID, &[&text.as_bytes()[..text.len().min(4 << 10)]]).expect("an honest parent");
}

/// Returns nanoseconds of the clock that all processes share.
pub fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The CPU time after which [`spin_past`] sends a message.
pub const LIMIT: Duration = Duration::from_millis(50);

/// Returns the CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Sends the time at which it had used so much CPU time since `begin`, and continues.
fn spin_past(channel: &mut Channel, begin: Duration) {
    while cpu() - begin < LIMIT {}
    say(channel, &monotonic().to_string());
    loop {
        std::hint::spin_loop();
    }
}

/// Sends back every message until an empty one.
fn echo(channel: &mut Channel) {
    let mut bytes = Vec::new();
    loop {
        channel.receive(&mut bytes).expect("an honest parent");
        if bytes.is_empty() {
            return;
        }
        let (first, second) = bytes.split_at(bytes.len() / 3);
        channel.send(ECHO, &[first, second]).expect("an honest parent");
    }
}

/// Makes these system calls fail as on a kernel without them.
fn pretend(calls: &str) {
    let numbers = calls.split(',').map(|call| match call {
        "seccomp" => libc::SYS_seccomp,
        "landlock" => libc::SYS_landlock_create_ruleset,
        "prlimit" => libc::SYS_prlimit64,
        other => panic!("{other}?"),
    });
    let filter = SeccompFilter::new(
        numbers.map(|number| (number, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        std::env::consts::ARCH.try_into().expect("an architecture that the filter knows"),
    );
    let program: seccompiler::BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    seccompiler::apply_filter(&program).expect("it is applied");
}

/// Describes the environment that a child finds when it starts.
fn surroundings(started: &Started, task: &str) -> String {
    if task != "surroundings" {
        return String::new();
    }
    let variables =
        std::env::vars_os().map(|(name, value)| format!("{name:?}={value:?}")).collect::<Vec<_>>().join(" ");
    let mut inputs = String::new();
    for input in started.inputs() {
        let mut bytes = [0; 64];
        let length = rustix::io::pread(input, &mut bytes, 0).unwrap_or_default();
        inputs.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines =
        status.lines().filter(|line| ["SigBlk:", "SigIgn:", "NoNewPrivs:"].iter().any(|name| line.starts_with(name)));
    let lines = lines.collect::<Vec<_>>().join(" ").replace('\t', " ");
    let own = std::process::id() as i32;
    let session = rustix::process::getsid(None).map(|session| session.as_raw_pid() == own).unwrap_or_default();
    let mut open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    open.sort_unstable();
    // Three standard descriptors, four of the jail, the inputs, and the one that lists them.
    let others = open.len() - 8 - started.inputs().len();
    let standard = std::fs::read_link("/proc/self/fd/0").unwrap_or_default();
    format!(
        "variables [{variables}] inputs [{inputs}] {lines} own session {session} other descriptors {others} standard input {}",
        standard.display()
    )
}

/// Uses what computing needs, which too narrow a filter would refuse.
fn allowed(world: &World) -> String {
    let mut said = Vec::new();
    let mut memory = vec![0_u8; 8 << 20];
    memory.resize(16 << 20, 1);
    said.push(format!("memory {}", memory.iter().map(|byte| u64::from(*byte)).sum::<u64>()));
    drop(memory);
    said.push(format!("a map {}", std::collections::HashMap::from([(1, 2)]).len()));
    said.push(format!("a clock {}", std::time::Instant::now().elapsed() < Duration::from_secs(60)));
    let thread = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    said.push(format!("its CPU time {}", thread.tv_sec < 60));
    let lock = std::sync::Mutex::new(1);
    said.push(format!("a lock {}", lock.lock().map(|value| *value).unwrap_or_default()));
    world.write(2, b"a word\n");
    said.push(format!("inputs mapped {}", world.page() != 0));
    said.join(", ")
}

/// A parent for tests of its death or stop: starts a child that spins under a limit of CPU time,
/// prints the child's number, and sleeps.
pub fn keeper(milliseconds: u64) -> ExitCode {
    let program = std::env::current_exe().expect("a program");
    let budget = Arc::new(TimeBudget::new(Duration::from_millis(milliseconds), Duration::from_secs(600)));
    let rules = Rules { longest, messages: 1, bytes: 100 };
    let mut command = Command::new(&program, VERSION, budget, rules);
    command.task = b"spin";
    command.required = stagewright_jail::Walls::NONE;
    let child = spawn(&command).expect("a child");
    while child.walls().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{}", child.id());
    std::io::stdout().flush().expect("somebody reads it");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
