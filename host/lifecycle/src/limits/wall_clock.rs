//! The wall time of a stage, as its limit counts it.
//!
//! A stage of the run is charged for all time since its start. A model that works for another stage
//! is charged only while one of its instances is called, since it does not control what its caller
//! does between two calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A clock that all instances of a stage share. Clones share one state.
#[derive(Debug, Clone)]
pub struct WallClock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Since(Instant),
    WhileCalled(Mutex<Calls>),
}

#[derive(Debug)]
struct Calls {
    /// The calls in progress.
    running: usize,
    /// The start of the first of them.
    since: Instant,
    /// The time of earlier calls.
    spent: Duration,
}

impl Default for WallClock {
    fn default() -> Self {
        Self(Arc::new(Kind::Since(Instant::now())))
    }
}

impl WallClock {
    /// Returns a clock that runs while an instance is called. Concurrent calls count once.
    pub fn while_called() -> Self {
        let calls = Calls { running: 0, since: Instant::now(), spent: Duration::ZERO };
        Self(Arc::new(Kind::WhileCalled(Mutex::new(calls))))
    }

    /// Starts a call.
    pub fn enter(&self) {
        let Some(mut calls) = self.calls() else { return };
        if calls.running == 0 {
            calls.since = Instant::now();
        }
        calls.running += 1;
    }

    /// Ends a call, or pauses it while the instance waits for another stage's component.
    pub fn leave(&self) {
        let Some(mut calls) = self.calls() else { return };
        calls.running = calls.running.saturating_sub(1);
        if calls.running == 0 {
            let spent = calls.since.elapsed();
            calls.spent += spent;
        }
    }

    /// Starts the count at zero, where the clock runs while an instance is called. A call in
    /// progress counts from here on.
    pub fn restart(&self) {
        if let Some(mut calls) = self.calls() {
            (calls.spent, calls.since) = (Duration::ZERO, Instant::now());
        }
    }

    /// Returns whether the clock runs.
    pub fn is_running(&self) -> bool {
        self.calls().is_none_or(|calls| calls.running > 0)
    }

    /// Returns the time counted so far.
    pub fn elapsed(&self) -> Duration {
        match &*self.0 {
            Kind::Since(begin) => begin.elapsed(),
            Kind::WhileCalled(calls) => {
                let calls = locked(calls);
                calls.spent + if calls.running > 0 { calls.since.elapsed() } else { Duration::ZERO }
            }
        }
    }

    fn calls(&self) -> Option<MutexGuard<'_, Calls>> {
        match &*self.0 {
            Kind::Since(_) => None,
            Kind::WhileCalled(calls) => Some(locked(calls)),
        }
    }
}

/// No thread panics while it holds this lock.
fn locked(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(30);

    #[test]
    fn a_clock_counts_while_an_instance_is_called_and_calls_at_once_count_once() {
        let clock = WallClock::while_called();
        std::thread::sleep(MOMENT);
        assert_eq!(clock.elapsed(), Duration::ZERO, "nobody called");
        let began = Instant::now();
        clock.enter();
        clock.enter();
        std::thread::sleep(MOMENT);
        assert!(clock.elapsed() >= MOMENT, "a call is running");
        clock.leave();
        std::thread::sleep(MOMENT);
        clock.leave();
        let (counted, passed) = (clock.elapsed(), began.elapsed());
        assert!(counted >= 2 * MOMENT && counted <= passed, "{counted:?} of {passed:?}");
        std::thread::sleep(MOMENT);
        assert_eq!(clock.elapsed(), counted, "the calls are over");
        assert!(!clock.is_running());
        clock.restart();
        assert_eq!(clock.elapsed(), Duration::ZERO);
        let entered = Instant::now();
        clock.enter();
        std::thread::sleep(MOMENT);
        let restarted = Instant::now();
        clock.restart();
        let counted = clock.elapsed();
        assert!(clock.is_running() && counted <= restarted.elapsed() && counted + MOMENT <= entered.elapsed());
    }

    #[test]
    fn a_stages_own_clock_runs_from_its_begin() {
        let clock = WallClock::default();
        std::thread::sleep(MOMENT);
        clock.enter();
        clock.leave();
        assert!(clock.is_running() && clock.elapsed() >= MOMENT);
    }
}
