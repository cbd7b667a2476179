//! The thread that starts, watches, kills and reaps children.
//!
//! One thread supervises all children and lives as long as the process, since the kernel kills a
//! child when the thread that started it ends. It is the only thread that reaps. Its own CPU time
//! is charged to the children's accounts: starting and reaping to the child's own, watching in
//! equal parts to all.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use rustix::time::Timespec;

use super::account::Account;
use super::ending::{self, Ending, Limit, MAX_STDERR, Why};
use crate::clock::{self, Clock};
use crate::report::{self, Report};
use crate::ring::Fault;
use crate::walls::Walls;

/// CPU time that a child may use beyond its limit before it is killed. Its own watchdog, which is
/// more accurate, acts first.
const GRACE: Duration = Duration::from_millis(12);

/// The longest pause between two checks of a child, which is also the delay of a cancellation.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// The shortest pause between two checks of a child.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);

/// The message of Rust's runtime when an allocation fails.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// The difference that is tolerated between the child's and the parent's count of CPU time.
const SLACK: Duration = Duration::from_millis(1);

/// A request to start a child.
pub(super) struct StartRequest {
    pub(super) process: Command,
    pub(super) wake: OwnedFd,
    pub(super) pipes: Pipes,
    pub(super) account: Arc<dyn Account>,
    pub(super) memory: u64,
    pub(super) reply: SyncSender<io::Result<Arc<Shared>>>,
}

/// The pipes from a child; `None` once closed.
pub(super) struct Pipes {
    pub(super) report: Option<File>,
    pub(super) stderr: Option<File>,
}

/// A handle to the thread.
pub(super) struct Supervisor {
    requests: Mutex<Sender<StartRequest>>,
    wake: OwnedFd,
}

/// Returns the supervisor of this process. The first call starts its thread.
pub(super) fn supervisor() -> io::Result<&'static Supervisor> {
    static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(supervisor) = SUPERVISOR.get() {
        return Ok(supervisor);
    }
    let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let (requests, receiver) = channel();
    let watch = Watch { requests: receiver, wake: wake.try_clone()?, children: Vec::new() };
    std::thread::Builder::new().name("jail".into()).spawn(move || watch.run())?;
    Ok(SUPERVISOR.get_or_init(|| Supervisor { requests: Mutex::new(requests), wake }))
}

impl Supervisor {
    /// Asks the thread to start a child. The result is sent to `reply`.
    pub(super) fn start(&self, request: StartRequest) -> io::Result<()> {
        let gone = |_| io::Error::other("the thread that starts children is gone");
        locked(&self.requests).send(request).map_err(gone)?;
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }
}

/// The state of a child, shared by its owner and the thread.
#[derive(Debug)]
pub(super) struct Shared {
    process: Pid,
    pidfd: OwnedFd,
    wake: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    walls: Option<Walls>,
    /// Why it is being killed.
    kill_reason: Option<Why>,
    ending: Option<Ending>,
}

impl Shared {
    pub(super) fn id(&self) -> u32 {
        self.process.as_raw_pid() as u32
    }

    pub(super) fn walls(&self) -> Option<Walls> {
        locked(&self.state).walls
    }

    pub(super) fn kill_reason(&self) -> Option<Why> {
        locked(&self.state).kill_reason.clone()
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        locked(&self.state).ending.clone()
    }

    /// Kills the child. The first reason is kept.
    pub(super) fn kill(&self, why: Why) {
        let mut state = locked(&self.state);
        if state.kill_reason.is_none() {
            state.kill_reason = Some(why);
        }
        if state.ending.is_none() {
            // The child may have ended. A pidfd never refers to another process with the same ID.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    fn ended(&self, ending: Ending) {
        locked(&self.state).ending = Some(ending);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave the guarded data inconsistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures the thread's own CPU time.
struct OwnTime(Duration);

impl OwnTime {
    fn start() -> Self {
        Self(clock::of_this_thread())
    }

    /// Returns the CPU time since the last call.
    fn lap(&mut self) -> Duration {
        let now = clock::of_this_thread();
        now.saturating_sub(std::mem::replace(&mut self.0, now))
    }
}

/// The thread's state.
struct Watch {
    requests: Receiver<StartRequest>,
    wake: OwnedFd,
    children: Vec<Watched>,
}

impl Watch {
    fn run(mut self) {
        let mut own = OwnTime::start();
        loop {
            self.start_children(&mut own);
            let many = self.children.len().max(1) as u32;
            let next = self.children.iter_mut().map(|child| child.check(many)).min();
            self.wait(next);
            let share = own.lap() / many;
            self.children.retain_mut(|child| {
                child.account.charge_watching(share);
                child.read();
                !child.reap(&mut own)
            });
        }
    }

    fn start_children(&mut self, own: &mut OwnTime) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        while let Ok(request) = self.requests.try_recv() {
            let StartRequest { process, wake, pipes, account, memory, reply } = request;
            let started = Watched::start(process, wake, pipes, Arc::clone(&account), memory);
            let shared = started.as_ref().map(|child| Arc::clone(&child.shared));
            // The requester waits for this reply.
            let _ = reply.send(shared.map_err(|reason| io::Error::new(reason.kind(), reason.to_string())));
            account.charge(own.lap());
            self.children.extend(started);
        }
    }

    /// Waits for an event, or until a child must be checked.
    fn wait(&self, next: Option<Duration>) {
        let mut ready = vec![PollFd::new(&self.wake, PollFlags::IN)];
        for child in &self.children {
            ready.push(PollFd::new(&child.shared.pidfd, PollFlags::IN));
            let pipes = [&child.pipes.report, &child.pipes.stderr];
            ready.extend(pipes.into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        }
        let next = next.and_then(|next| Timespec::try_from(next).ok());
        if poll(&mut ready, next.as_ref()).is_err() {
            // Interrupted or out of memory. The next iteration checks all children anyway.
            std::thread::sleep(SHORTEST_PAUSE);
        }
    }
}

/// A child that the thread watches.
struct Watched {
    shared: Arc<Shared>,
    clock: Clock,
    account: Arc<dyn Account>,
    memory: u64,
    begin: Instant,
    pipes: Pipes,
    /// CPU time that has been charged.
    charged: Duration,
    reports: usize,
    /// Its report on why it ends.
    last: Option<Report>,
    stderr: Vec<u8>,
}

impl Watched {
    fn start(
        mut process: Command,
        wake: OwnedFd,
        pipes: Pipes,
        account: Arc<dyn Account>,
        memory: u64,
    ) -> io::Result<Self> {
        let begin = Instant::now();
        let mut child = process.spawn()?;
        let process = Pid::from_child(&child);
        // Only this thread reaps children, so the process ID is still the child's.
        let pidfd = match rustix::process::pidfd_open(process, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(reason) => {
                // A child that cannot be watched must not run.
                let _ = child.kill();
                let _ = child.wait();
                return Err(reason.into());
            }
        };
        let shared = Arc::new(Shared { process, pidfd, wake, state: Mutex::default() });
        let (clock, stderr) = (Clock::of_process(process), Vec::new());
        let charged = Duration::ZERO;
        Ok(Self { shared, clock, account, memory, begin, pipes, charged, reports: 0, last: None, stderr })
    }

    /// Charges the child's CPU time and kills it if a limit is exceeded. Returns the time until the
    /// next check.
    fn check(&mut self, children: u32) -> Duration {
        self.charge();
        let (cpu, wall) = (self.account.cpu(), self.account.wall());
        if cpu.used >= cpu.allowed + GRACE {
            self.shared.kill(past(Limit::Cpu, cpu.used, cpu.allowed));
        } else if wall.used >= wall.allowed {
            self.shared.kill(past(Limit::Wall, wall.used, wall.allowed));
        } else if self.account.is_cancelled() {
            self.shared.kill(Why::Cancelled);
        }
        // Children may share an account and use it up together.
        let cpu = (cpu.left() + GRACE) / children;
        cpu.min(wall.left()).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    fn charge(&mut self) {
        if let Some(now) = self.clock.now() {
            self.account.charge(now.saturating_sub(self.charged));
            self.charged = self.charged.max(now);
        }
    }

    /// Reads a bounded amount from each pipe.
    fn read(&mut self) {
        let mut bytes = [0; report::LENGTH];
        let result = self.pipes.report.as_mut().map(|pipe| pipe.read(&mut bytes));
        match result {
            None => {}
            Some(Ok(report::LENGTH)) => self.reported(bytes),
            Some(Ok(0)) => self.pipes.report = None,
            Some(Ok(_)) => self.forged(Fault::Report("it is cut")),
            Some(Err(reason)) if is_pending(&reason) => {}
            Some(Err(_)) => self.pipes.report = None,
        }
        let mut bytes = [0; 4096];
        let result = self.pipes.stderr.as_mut().map(|pipe| pipe.read(&mut bytes));
        match result {
            None => {}
            Some(Ok(0)) => self.pipes.stderr = None,
            Some(Ok(length)) => {
                self.stderr.extend_from_slice(&bytes[..length]);
                if self.stderr.len() > MAX_STDERR {
                    let used = self.stderr.len() as u64;
                    self.pipes.stderr = None;
                    self.forged(Fault::Flood { of: "bytes on standard error", used, allowed: MAX_STDERR as u64 });
                }
            }
            Some(Err(reason)) if is_pending(&reason) => {}
            Some(Err(_)) => self.pipes.stderr = None,
        }
    }

    fn reported(&mut self, bytes: [u8; report::LENGTH]) {
        self.reports += 1;
        if self.reports > report::MOST {
            let (used, allowed) = (self.reports as u64, report::MOST as u64);
            return self.forged(Fault::Flood { of: "reports", used, allowed });
        }
        match Report::parse(bytes) {
            None => self.forged(Fault::Report("there is no such report")),
            Some(Report::Locked(walls)) => {
                if self.reports > 1 {
                    return self.forged(Fault::Report("it says that it is locked in the middle of its work"));
                }
                locked(&self.shared.state).walls = Some(walls);
            }
            Some(report) if self.last.is_none() => self.last = Some(report),
            Some(_) => self.forged(Fault::Report("it ends twice")),
        }
    }

    fn forged(&mut self, fault: Fault) {
        self.pipes.report = None;
        self.shared.kill(Why::Forged(fault));
    }

    /// Reaps the child if it has ended, and returns whether it has.
    fn reap(&mut self, own: &mut OwnTime) -> bool {
        let mut ready = [PollFd::new(&self.shared.pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(poll(&mut ready, Some(&now)), Ok(1)) {
            return false;
        }
        // The clock can be read until the child is reaped.
        self.charge();
        let status = rustix::process::waitid(WaitId::PidFd(self.shared.pidfd.as_fd()), WaitIdOptions::EXITED);
        // Everything that the child wrote has arrived.
        for _ in 0..=report::MOST + MAX_STDERR / 4096 {
            self.read();
        }
        let stderr = ending::shown(&self.stderr);
        // Charged before the end is published, after which the account may no longer be read.
        self.account.charge(own.lap());
        let why = self.why(status.ok().flatten().as_ref(), &stderr);
        let (cpu, wall, walls) = (self.charged, self.begin.elapsed(), self.shared.walls());
        self.shared.ended(Ending { why, stderr, cpu, wall, walls });
        true
    }

    fn why(&self, status: Option<&WaitIdStatus>, stderr: &str) -> Why {
        let signal = status.and_then(WaitIdStatus::terminating_signal);
        match self.shared.kill_reason() {
            Some(why @ Why::Forged(_)) => return why,
            // The signal confirms that the child had not ended by itself before.
            Some(why) if signal == Some(libc::SIGKILL) => return why,
            _ => {}
        }
        if let (Some(report), None) = (self.last, signal) {
            return self.reported_reason(report);
        }
        let cpu = self.account.cpu();
        match signal {
            None => Why::Exited(status.and_then(WaitIdStatus::exit_status).unwrap_or(-1)),
            Some(libc::SIGSYS) => Why::Refused(None),
            Some(libc::SIGXCPU) => past(Limit::Cpu, cpu.used, cpu.allowed),
            Some(libc::SIGABRT) if stderr.contains(OUT_OF_MEMORY) => {
                let (_, rest) = stderr.split_once(OUT_OF_MEMORY).unwrap_or_default();
                let requested: u64 = rest.split(' ').next().and_then(|bytes| bytes.parse().ok()).unwrap_or_default();
                Why::Limit { limit: Limit::Memory, used: self.memory.saturating_add(requested), allowed: self.memory }
            }
            Some(signal) => Why::Signal(signal),
        }
    }

    /// Returns the reason that the child reported, if it is plausible.
    fn reported_reason(&self, report: Report) -> Why {
        let cpu = self.account.cpu();
        match report {
            Report::Locked(walls) | Report::Missing(walls) => Why::Missing(walls),
            Report::Refused { call } => Why::Refused(u32::try_from(call).ok()),
            Report::Cpu { .. } if cpu.used + SLACK >= cpu.allowed => past(Limit::Cpu, cpu.used, cpu.allowed),
            Report::Cpu { .. } => Why::Forged(Fault::Report("its CPU time is not spent")),
        }
    }
}

/// A child that has not ended is dropped only if this thread fails, and is then killed by the
/// kernel. Its owner must not wait forever.
impl Drop for Watched {
    fn drop(&mut self) {
        if self.shared.ending().is_none() {
            self.shared.kill(Why::Stopped("the thread that watches it failed".into()));
            let (why, stderr) = (self.shared.kill_reason().unwrap_or(Why::Cancelled), String::new());
            let (cpu, wall, walls) = (self.charged, self.begin.elapsed(), self.shared.walls());
            self.shared.ended(Ending { why, stderr, cpu, wall, walls });
        }
    }
}

fn past(limit: Limit, used: Duration, allowed: Duration) -> Why {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Why::Limit { limit, used: nanoseconds(used).max(nanoseconds(allowed)), allowed: nanoseconds(allowed) }
}

/// Returns whether there is nothing to read yet.
fn is_pending(reason: &io::Error) -> bool {
    matches!(reason.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
