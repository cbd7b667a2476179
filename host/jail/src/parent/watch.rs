//! The thread that starts children, watches their clocks, ends them, and sees them off.
//!
//! One thread for all of them, as long as the process lives: the kernel ends a child with the
//! thread that started it. It is the only one that reaps. Its own time is in the accounts of those
//! for whom it works: starting and seeing off in that child's, watching in equal parts in those of
//! all that are there.

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
use super::ending::{self, Ending, Limit, SAID, Why};
use crate::clock::{self, Clock};
use crate::report::{self, Report};
use crate::ring::Fault;
use crate::wall::Walls;

/// How much CPU time a child may use past its limit before it is killed: its own watchdog comes
/// first, which knows the moment better.
const GRACE: Duration = Duration::from_millis(12);

/// The longest time between two looks at a child: how soon a cancelled one is gone.
const LONGEST: Duration = Duration::from_millis(10);

/// The shortest.
const SHORTEST: Duration = Duration::from_micros(200);

/// The words of Rust's runtime when an allocation fails.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// How far a child's clock and the parent's may differ in what they count.
const SLACK: Duration = Duration::from_millis(1);

/// A child to start.
pub(super) struct Begin {
    pub(super) process: Command,
    pub(super) wake: OwnedFd,
    pub(super) pipes: Pipes,
    pub(super) account: Arc<dyn Account>,
    pub(super) memory: u64,
    pub(super) reply: SyncSender<io::Result<Arc<Shared>>>,
}

/// The pipe that the thread reads of a child; `None` once it is closed.
pub(super) struct Pipes {
    pub(super) report: Option<File>,
    pub(super) said: Option<File>,
}

/// The thread, for those who want something of it.
pub(super) struct Warden {
    begins: Mutex<Sender<Begin>>,
    wake: OwnedFd,
}

/// The thread of this process; starts it if it is the first time.
pub(super) fn warden() -> io::Result<&'static Warden> {
    static WARDEN: OnceLock<Warden> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(warden) = WARDEN.get() {
        return Ok(warden);
    }
    let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let (begins, orders) = channel();
    let watch = Watch { orders, wake: wake.try_clone()?, children: Vec::new() };
    std::thread::Builder::new().name("jail".into()).spawn(move || watch.run())?;
    Ok(WARDEN.get_or_init(|| Warden { begins: Mutex::new(begins), wake }))
}

impl Warden {
    /// Starts a child soon. The answer comes by its `reply`.
    pub(super) fn begin(&self, begin: Begin) -> io::Result<()> {
        let gone = |_| io::Error::other("the thread that starts children is gone");
        locked(&self.begins).send(begin).map_err(gone)?;
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }
}

/// The state of a child, for its owner and for the thread.
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
    /// Why it is killed.
    wish: Option<Why>,
    ending: Option<Ending>,
}

impl Shared {
    pub(super) fn id(&self) -> u32 {
        self.process.as_raw_pid() as u32
    }

    pub(super) fn walls(&self) -> Option<Walls> {
        locked(&self.state).walls
    }

    pub(super) fn wish(&self) -> Option<Why> {
        locked(&self.state).wish.clone()
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        locked(&self.state).ending.clone()
    }

    /// Kills it; the first reason stays.
    pub(super) fn kill(&self, why: Why) {
        let mut state = locked(&self.state);
        if state.wish.is_none() {
            state.wish = Some(why);
        }
        if state.ending.is_none() {
            // It may be gone already; by a descriptor, no other process of its number is hit.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    fn ended(&self, ending: Ending) {
        locked(&self.state).ending = Some(ending);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half done in what these guard.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's own CPU time.
struct Own(Duration);

impl Own {
    fn begin() -> Self {
        Self(clock::of_this_thread())
    }

    /// The use since the last time that it was asked.
    fn lap(&mut self) -> Duration {
        let now = clock::of_this_thread();
        now.saturating_sub(std::mem::replace(&mut self.0, now))
    }
}

/// The thread itself.
struct Watch {
    orders: Receiver<Begin>,
    wake: OwnedFd,
    children: Vec<Watched>,
}

impl Watch {
    fn run(mut self) {
        let mut own = Own::begin();
        loop {
            self.start_children(&mut own);
            let many = self.children.len().max(1) as u32;
            let next = self.children.iter_mut().map(|child| child.look(many)).min();
            self.wait(next);
            let share = own.lap() / many;
            self.children.retain_mut(|child| {
                child.account.charge(share);
                child.read();
                !child.is_gone(&mut own)
            });
        }
    }

    fn start_children(&mut self, own: &mut Own) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        while let Ok(begin) = self.orders.try_recv() {
            let Begin { process, wake, pipes, account, memory, reply } = begin;
            let started = Watched::start(process, wake, pipes, Arc::clone(&account), memory);
            let shared = started.as_ref().map(|child| Arc::clone(&child.shared));
            // Whoever asked waits for this answer.
            let _ = reply.send(shared.map_err(|reason| io::Error::new(reason.kind(), reason.to_string())));
            account.charge(own.lap());
            self.children.extend(started);
        }
    }

    /// Waits until something happens, or a child is to be looked at.
    fn wait(&self, next: Option<Duration>) {
        let mut ready = vec![PollFd::new(&self.wake, PollFlags::IN)];
        for child in &self.children {
            ready.push(PollFd::new(&child.shared.pidfd, PollFlags::IN));
            let pipes = [&child.pipes.report, &child.pipes.said];
            ready.extend(pipes.into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        }
        let next = next.and_then(|next| Timespec::try_from(next).ok());
        if poll(&mut ready, next.as_ref()).is_err() {
            // Interrupted, or out of memory: the next turn looks at everything anyway.
            std::thread::sleep(SHORTEST);
        }
    }
}

/// A child, as the thread sees it.
struct Watched {
    shared: Arc<Shared>,
    clock: Clock,
    account: Arc<dyn Account>,
    memory: u64,
    begin: Instant,
    pipes: Pipes,
    /// CPU time that is charged already.
    charged: Duration,
    reports: usize,
    /// Why it says that it ends.
    last: Option<Report>,
    said: Vec<u8>,
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
        // Nobody but this thread reaps it, so the number is still its own.
        let pidfd = match rustix::process::pidfd_open(process, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(reason) => {
                // It cannot be watched, so it must not be.
                let _ = child.kill();
                let _ = child.wait();
                return Err(reason.into());
            }
        };
        let shared = Arc::new(Shared { process, pidfd, wake, state: Mutex::default() });
        let (clock, said) = (Clock::of_process(process), Vec::new());
        let charged = Duration::ZERO;
        Ok(Self { shared, clock, account, memory, begin, pipes, charged, reports: 0, last: None, said })
    }

    /// Charges what the child used, ends it where it is past a limit, and says when to look again.
    fn look(&mut self, children: u32) -> Duration {
        self.charge();
        let (cpu, wall) = (self.account.cpu(), self.account.wall());
        if cpu.used >= cpu.allowed + GRACE {
            self.shared.kill(past(Limit::Cpu, cpu.used, cpu.allowed));
        } else if wall.used >= wall.allowed {
            self.shared.kill(past(Limit::Wall, wall.used, wall.allowed));
        } else if self.account.is_cancelled() {
            self.shared.kill(Why::Cancelled);
        }
        // Children that share an account use it up together.
        let cpu = (cpu.left() + GRACE) / children;
        cpu.min(wall.left()).clamp(SHORTEST, LONGEST)
    }

    fn charge(&mut self) {
        if let Some(now) = self.clock.now() {
            self.account.charge(now.saturating_sub(self.charged));
            self.charged = self.charged.max(now);
        }
    }

    /// Reads what the child says of itself, a bounded piece at a time.
    fn read(&mut self) {
        let mut bytes = [0; report::LENGTH];
        let result = self.pipes.report.as_mut().map(|pipe| pipe.read(&mut bytes));
        match result {
            None => {}
            Some(Ok(report::LENGTH)) => self.reported(bytes),
            Some(Ok(0)) => self.pipes.report = None,
            Some(Ok(_)) => self.forged(Fault::Report("it is cut")),
            Some(Err(reason)) if is_later(&reason) => {}
            Some(Err(_)) => self.pipes.report = None,
        }
        let mut bytes = [0; 4096];
        let result = self.pipes.said.as_mut().map(|pipe| pipe.read(&mut bytes));
        match result {
            None => {}
            Some(Ok(0)) => self.pipes.said = None,
            Some(Ok(length)) => {
                self.said.extend_from_slice(&bytes[..length]);
                if self.said.len() > SAID {
                    let used = self.said.len() as u64;
                    self.pipes.said = None;
                    self.forged(Fault::Flood { of: "bytes on standard error", used, allowed: SAID as u64 });
                }
            }
            Some(Err(reason)) if is_later(&reason) => {}
            Some(Err(_)) => self.pipes.said = None,
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

    /// Sees it off, if it is gone.
    fn is_gone(&mut self, own: &mut Own) -> bool {
        let mut ready = [PollFd::new(&self.shared.pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(poll(&mut ready, Some(&now)), Ok(1)) {
            return false;
        }
        // While it can still be asked.
        self.charge();
        let status = rustix::process::waitid(WaitId::PidFd(self.shared.pidfd.as_fd()), WaitIdOptions::EXITED);
        // Everything that it wrote is there.
        for _ in 0..=report::MOST + SAID / 4096 {
            self.read();
        }
        let said = ending::said(&self.said);
        // Before its end is told, after which nobody looks at its account any more.
        self.account.charge(own.lap());
        let why = self.why(status.ok().flatten().as_ref(), &said);
        let (cpu, wall, walls) = (self.charged, self.begin.elapsed(), self.shared.walls());
        self.shared.ended(Ending { why, said, cpu, wall, walls });
        true
    }

    fn why(&self, status: Option<&WaitIdStatus>, said: &str) -> Why {
        let signal = status.and_then(WaitIdStatus::terminating_signal);
        match self.shared.wish() {
            Some(why @ Why::Forged(_)) => return why,
            // It had not ended by itself before it was killed.
            Some(why) if signal == Some(libc::SIGKILL) => return why,
            _ => {}
        }
        if let (Some(report), None) = (self.last, signal) {
            return self.by_report(report);
        }
        let cpu = self.account.cpu();
        match signal {
            None => Why::Exited(status.and_then(WaitIdStatus::exit_status).unwrap_or(-1)),
            Some(libc::SIGSYS) => Why::Refused(None),
            Some(libc::SIGXCPU) => past(Limit::Cpu, cpu.used, cpu.allowed),
            Some(libc::SIGABRT) if said.contains(OUT_OF_MEMORY) => {
                let (_, rest) = said.split_once(OUT_OF_MEMORY).unwrap_or_default();
                let asked: u64 = rest.split(' ').next().and_then(|bytes| bytes.parse().ok()).unwrap_or_default();
                Why::Limit { limit: Limit::Memory, used: self.memory.saturating_add(asked), allowed: self.memory }
            }
            Some(signal) => Why::Signal(signal),
        }
    }

    /// A child's own words about its end, where they can be true.
    fn by_report(&self, report: Report) -> Why {
        let cpu = self.account.cpu();
        match report {
            Report::Locked(walls) | Report::Missing(walls) => Why::Missing(walls),
            Report::Refused { call } => Why::Refused(u32::try_from(call).ok()),
            Report::Cpu { .. } if cpu.used + SLACK >= cpu.allowed => past(Limit::Cpu, cpu.used, cpu.allowed),
            Report::Cpu { .. } => Why::Forged(Fault::Report("its CPU time is not spent")),
        }
    }
}

/// Only a failure of this thread lets go of a child that has not ended, which ends with the thread.
/// Whoever waits for it must not wait for ever.
impl Drop for Watched {
    fn drop(&mut self) {
        if self.shared.ending().is_none() {
            self.shared.kill(Why::Stopped("the thread that watches it failed".into()));
            let (why, said) = (self.shared.wish().unwrap_or(Why::Cancelled), String::new());
            let (cpu, wall, walls) = (self.charged, self.begin.elapsed(), self.shared.walls());
            self.shared.ended(Ending { why, said, cpu, wall, walls });
        }
    }
}

fn past(limit: Limit, used: Duration, allowed: Duration) -> Why {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Why::Limit { limit, used: nanoseconds(used).max(nanoseconds(allowed)), allowed: nanoseconds(allowed) }
}

/// Whether there is nothing to read yet.
fn is_later(reason: &io::Error) -> bool {
    matches!(reason.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
