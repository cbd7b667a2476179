//! Telling one hook of all changes that it was not told of yet, in order.
//!
//! For each change: take the hook, so that no other process tells it meanwhile; look again at how
//! far it was told; tell it; move its place; let go. A process that dies on the way leaves the
//! place where it was, and the next one tells the hook again.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stagewright_manifest::HookSection;
use stagewright_outgoing::{left, pause};
use stagewright_store::{ChampionChange, HeldHook, HookProgress, Registry, StoreError};

use crate::attempt::attempt;
use crate::event::Event;
use crate::failure::Failure;
use crate::secret::Variables;

/// How much longer than its timeout an attempt may take before another process takes the hook.
const ALLOWANCE: Duration = Duration::from_secs(30);

/// The time for which a change is not told because its production location does not follow yet.
/// Whoever promotes moves the pointer within seconds. After this, the event says that it was not
/// moved.
const SETTLING: Duration = Duration::from_secs(120);

/// The time between two looks at something that another process does.
const LOOK: Duration = Duration::from_millis(100);

/// The changes that are read at once.
const AT_ONCE: usize = 64;

/// How long to go on.
#[derive(Debug)]
pub struct Patience<'a> {
    /// No attempt begins, and nothing is waited for, after this.
    pub until: Instant,
    /// Whether the first attempt is made now, although one failed a short time ago.
    pub is_eager: bool,
    /// Becomes true when this program ends.
    pub stop: &'a AtomicBool,
}

/// The result of telling a hook.
#[derive(Debug)]
pub struct Report {
    /// The hook.
    pub name: String,
    /// The events that it took now, in a few words each.
    pub delivered: Vec<String>,
    /// Why it was not told of everything.
    pub problem: Option<Problem>,
}

/// Why a hook was not told of an event.
#[derive(Debug)]
pub enum Problem {
    /// It did not take it.
    Failed {
        /// The event in a few words: `promoted churn/4`.
        event: String,
        /// Why.
        reason: String,
        /// The time until the next attempt.
        pause: Duration,
    },
    /// The last attempt failed a short time ago.
    Later {
        /// The time until the next attempt.
        pause: Duration,
    },
    /// This process lacks what is needed.
    NotHere {
        /// What.
        reason: String,
    },
    /// Another process tells it just now.
    Held,
    /// The production location does not follow the change yet.
    Settling {
        /// The event in a few words.
        event: String,
    },
    /// The registry failed.
    Registry(StoreError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { event, reason, pause } => {
                write!(f, "it did not take `{event}`: {reason}; the next attempt is due in {}", rounded(*pause))
            }
            Self::Later { pause } => {
                write!(f, "the last attempt failed; the next one is due in {}", rounded(*pause))
            }
            Self::NotHere { reason } => f.write_str(reason),
            Self::Held => f.write_str("another process tells it just now"),
            Self::Settling { event } => write!(f, "the production location does not follow `{event}` yet"),
            Self::Registry(error) => error.fmt(f),
        }
    }
}

/// Returns a time in words, to a second where it has some.
fn rounded(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { format!("{} s", time.as_secs()) }
}

/// A hook and what it takes to tell it.
pub(crate) struct Delivery<'a> {
    pub(crate) section: &'a HookSection,
    pub(crate) registry: &'a Registry,
    pub(crate) variables: &'a Variables,
}

/// The next thing to do.
enum Step {
    /// Nothing: it was told of everything.
    AllTold,
    /// It took this event.
    Told(String),
    /// It is not told now.
    Wait(Problem),
}

impl Delivery<'_> {
    /// Tells the hook of everything, or says why not.
    pub(crate) fn deliver(&self, patience: &Patience<'_>) -> Report {
        let mut report = Report { name: self.section.name.clone(), delivered: Vec::new(), problem: None };
        let mut is_eager = patience.is_eager;
        loop {
            let (problem, pause) = match self.step(is_eager, patience.stop) {
                Ok(Step::AllTold) => {
                    report.problem = None;
                    return report;
                }
                Ok(Step::Told(event)) => {
                    report.delivered.push(event);
                    report.problem = None;
                    if Instant::now() < patience.until && !patience.stop.load(Ordering::Relaxed) {
                        continue;
                    }
                    return report;
                }
                Ok(Step::Wait(problem)) => {
                    let pause = problem.pause();
                    (problem, pause)
                }
                Err(error) => (Problem::Registry(error), None),
            };
            // What failed in this call says more than that it is too early to try again.
            let is_known = matches!((&report.problem, &problem), (Some(Problem::Failed { .. }), Problem::Later { .. }));
            if !is_known {
                is_eager &= !matches!(problem, Problem::Failed { .. });
                report.problem = Some(problem);
            }
            let Some(pause) = pause else { return report };
            if !sleep(pause, patience) {
                return report;
            }
        }
    }

    /// Passes over the next change. Returns it.
    pub(crate) fn skip(&self) -> Result<Option<ChampionChange>, StoreError> {
        let change = self.next(self.progress()?.place)?;
        if let Some(change) = &change {
            self.registry.hook_told(&self.section.name, change.entry.seq, false)?;
        }
        Ok(change)
    }

    /// Tells the hook of the next change.
    fn step(&self, is_eager: bool, stop: &AtomicBool) -> Result<Step, StoreError> {
        if let ControlFlow::Break(step) = self.due(is_eager)? {
            return Ok(step);
        }
        let until = now_ms() + (self.section.timeout + ALLOWANCE).as_millis() as i64;
        let Some(held) = self.registry.hold_hook(&self.section.name, until)? else {
            return Ok(Step::Wait(Problem::Held));
        };
        let step = self.tell(&held, is_eager, stop);
        self.registry.release_hook(held)?;
        step
    }

    /// Returns the change that the hook is to be told of now, and the attempts at it that failed.
    fn due(&self, is_eager: bool) -> Result<ControlFlow<Step, (ChampionChange, u32)>, StoreError> {
        let HookProgress { place, failures, next_ms, .. } = self.progress()?;
        let Some(change) = self.next(place)? else { return Ok(ControlFlow::Break(Step::AllTold)) };
        let now = now_ms();
        if let Some(pause) = left(next_ms, now).filter(|_| !is_eager) {
            return Ok(ControlFlow::Break(Step::Wait(Problem::Later { pause })));
        }
        let is_followed = change.destinations.iter().all(|destination| destination.is_done);
        if !is_followed && is_settling(change.entry.at_ms, now) {
            let event = Event::of(self.registry, &change)?.title();
            return Ok(ControlFlow::Break(Step::Wait(Problem::Settling { event })));
        }
        Ok(ControlFlow::Continue((change, failures)))
    }

    /// Tells the hook of the next change, while this process holds it.
    fn tell(&self, held: &HeldHook, is_eager: bool, stop: &AtomicBool) -> Result<Step, StoreError> {
        // Whoever held it before may have told it of the change, or failed just now.
        let (change, failures) = match self.due(is_eager)? {
            ControlFlow::Continue(due) => due,
            ControlFlow::Break(step) => return Ok(step),
        };
        let event = Event::of(self.registry, &change)?;
        let name = &self.section.name;
        match attempt(self.section, &event, self.variables, stop) {
            Ok(()) => {
                self.registry.hook_told(name, change.entry.seq, true)?;
                tracing::info!("hook `{name}` took `{}`", event.title());
                Ok(Step::Told(event.title()))
            }
            Err(Failure::NotHere(reason)) => Ok(Step::Wait(Problem::NotHere { reason })),
            Err(Failure::Refused { reason, after }) => {
                let pause = pause(failures).max(after.unwrap_or_default());
                self.registry.hook_failed(held, now_ms() + pause.as_millis() as i64, &reason)?;
                Ok(Step::Wait(Problem::Failed { event: event.title(), reason, pause }))
            }
        }
    }

    fn progress(&self) -> Result<HookProgress, StoreError> {
        let find = |hooks: Vec<HookProgress>| hooks.into_iter().find(|hook| hook.name == self.section.name);
        if let Some(progress) = find(self.registry.hooks()?) {
            return Ok(progress);
        }
        self.registry.begin_hooks(&[&self.section.name], None)?;
        let absent = || StoreError::BadRecord {
            place: self.registry.place(),
            problem: format!("the hook `{}` is gone", self.section.name),
        };
        find(self.registry.hooks()?).ok_or_else(absent)
    }

    /// Returns the next change that the hook wants to be told of. Those that it does not want are
    /// passed over for good.
    fn next(&self, mut place: u64) -> Result<Option<ChampionChange>, StoreError> {
        let HookSection { name, .. } = self.section;
        loop {
            let changes = self.registry.champion_changes(place, AT_ONCE)?;
            let Some(last) = changes.last().map(|change| change.entry.seq) else { return Ok(None) };
            let found = changes.iter().position(|change| self.section.wants(change));
            let passed = match found {
                Some(at) => at.checked_sub(1).map(|before| changes[before].entry.seq),
                None => Some(last),
            };
            if let Some(passed) = passed {
                self.registry.hook_told(name, passed, false)?;
                place = passed;
            }
            if let Some(at) = found {
                return Ok(changes.into_iter().nth(at));
            }
        }
    }
}

impl Problem {
    /// Returns the time after which to look again; `None` if waiting does not help.
    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Failed { pause, .. } | Self::Later { pause } => Some(*pause),
            Self::Held | Self::Settling { .. } => Some(LOOK),
            Self::NotHere { .. } | Self::Registry(_) => None,
        }
    }
}

/// Sleeps. Returns false at once if patience or the program ends before.
fn sleep(time: Duration, patience: &Patience<'_>) -> bool {
    let end = Instant::now() + time;
    if end >= patience.until {
        return false;
    }
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if patience.stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(left.min(LOOK));
    }
    true
}

/// Returns whether the pointer at a production location may still follow a change of this time. One
/// of a time that is far ahead was made by a clock that was wrong.
fn is_settling(at_ms: i64, now: i64) -> bool {
    u128::from(now.abs_diff(at_ms)) < SETTLING.as_millis()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: A clock that was wrong does not keep a hook from being told once it is right.
    #[test]
    fn changes_of_times_that_are_far_ahead_hold_nothing_up() {
        let (now, day) = (1_795_000_000_000, 86_400_000);
        assert!(is_settling(now - 1000, now) && is_settling(now + 1000, now));
        for at in [i64::MIN, 0, now - day, now + day, i64::MAX] {
            assert!(!is_settling(at, now), "{at}");
        }
    }
}
