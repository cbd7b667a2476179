//! The log lines, metrics and figures of a step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stagewright_evaluation::figure::Figure;
use stagewright_manifest::StepId;
use stagewright_store::{LogLine, MetricRecord};

use crate::observer::Observer;
use crate::sandbox::{Level, Tracker};

/// The messages of a step: passed on to the observer, or recorded for the outcome.
pub(super) struct Notes {
    step: StepId,
    observer: Arc<dyn Observer>,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
pub(super) struct Recorded {
    pub(super) logs: Vec<LogLine>,
    pub(super) metrics: Vec<MetricRecord>,
    figures: Vec<Figure>,
}

impl Notes {
    pub(super) fn new(step: StepId, observer: Arc<dyn Observer>) -> Self {
        Self { step, observer, recorded: Mutex::default() }
    }

    /// Takes everything that was recorded so far.
    pub(super) fn take(&self) -> Recorded {
        std::mem::take(&mut *self.recorded())
    }

    /// Takes the figures that were recorded so far.
    pub(super) fn take_figures(&self) -> Vec<Figure> {
        std::mem::take(&mut self.recorded().figures)
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        // Each critical section makes one push or take.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracker for Notes {
    fn log(&self, level: Level, message: &str) {
        self.observer.log(&self.step, level, message);
        let level = level.name().to_owned();
        self.recorded().logs.push(LogLine { level, message: message.to_owned() });
    }

    fn progress(&self, done: u64, total: u64) {
        self.observer.progress(&self.step, done, total);
    }

    fn metric(&self, name: &str, value: f64, step: u64) {
        self.recorded().metrics.push(MetricRecord { name: name.to_owned(), value, step });
    }

    fn figure(&self, figure: Figure) {
        self.recorded().figures.push(figure);
    }
}
