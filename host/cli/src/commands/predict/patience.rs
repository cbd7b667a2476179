//! How long the rows of an input are waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use stagewright_data::{DataError, Interrupt, MAX_READ_TIME};
use stagewright_lifecycle::sandbox::Cancel;

/// Ends a reader that gives no rows for too long, that nobody wants rows of any more, or that is
/// cancelled. The time in which the reader waits for somebody else does not count.
#[derive(Clone)]
pub(super) struct Patience(Arc<State>);

struct State {
    began: Instant,
    /// Milliseconds since `began` at which the reader was last asked for rows, and 1; 0 while
    /// nobody waits for it.
    asked: AtomicU64,
    stopped: AtomicBool,
    cancel: Cancel,
}

impl Patience {
    pub(super) fn new(cancel: Cancel) -> Self {
        let (asked, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(State { began: Instant::now(), asked, stopped, cancel }))
    }

    /// Returns the interrupt of the reader.
    pub(super) fn interrupt(&self) -> Interrupt {
        let patience = self.clone();
        Interrupt::when(move || patience.is_over() || patience.is_late())
    }

    /// Runs what waits for the reader.
    pub(super) fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.asked.store(self.now(), Ordering::Relaxed);
        let result = wait();
        self.0.asked.store(0, Ordering::Relaxed);
        result
    }

    /// Runs what the reader waits for, such as the next bytes of a pipe. Then its time begins anew.
    pub(super) fn pause<T>(&self, pause: impl FnOnce() -> T) -> T {
        self.0.asked.store(0, Ordering::Relaxed);
        let result = pause();
        self.0.asked.store(self.now(), Ordering::Relaxed);
        result
    }

    /// Ends the reader: nobody wants more rows.
    pub(super) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Returns whether nobody wants more rows.
    pub(super) fn is_over(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed) || self.0.cancel.is_cancelled()
    }

    /// Returns whether no row came for too long. Once it is, it stays.
    fn is_late(&self) -> bool {
        let asked = self.0.asked.load(Ordering::Relaxed);
        asked > 0 && u128::from(self.now().saturating_sub(asked)) >= MAX_READ_TIME.as_millis()
    }

    /// Returns the error of a reader in words: an interrupt that nobody asked for is lateness.
    pub(super) fn explain(&self, error: DataError, input: &str) -> DataError {
        match error {
            DataError::Interrupted if !self.is_over() => DataError::Unreadable {
                path: input.to_owned(),
                message: format!("no row came for {} minutes", MAX_READ_TIME.as_secs() / 60),
                hint: "the view or file may be damaged: copy the rows to a table or a file first".to_owned(),
            },
            error => error,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reader_is_late_only_while_it_is_waited_for() {
        let long_ago = Instant::now().checked_sub(MAX_READ_TIME + Duration::from_secs(60)).expect("the machine runs");
        let state =
            State { began: long_ago, asked: AtomicU64::new(0), stopped: false.into(), cancel: Cancel::default() };
        let patience = Patience(Arc::new(state));
        let interrupt = patience.interrupt();
        assert!(!interrupt.is_set(), "nobody waits");
        patience.wait(|| assert!(!interrupt.is_set(), "it was just asked"));
        patience.0.asked.store(1, Ordering::Relaxed);
        assert!(interrupt.is_set(), "it was asked long ago");
        let error = patience.explain(DataError::Interrupted, "v.db").to_string();
        assert!(error.starts_with("cannot read `v.db`: no row came for 15 minutes"), "{error}");
        patience.pause(|| assert!(!interrupt.is_set(), "it waits for a pipe"));
        assert!(!interrupt.is_set(), "its time began anew");
        patience.stop();
        assert!(interrupt.is_set());
        assert!(matches!(patience.explain(DataError::Interrupted, "v.db"), DataError::Interrupted));
    }
}
