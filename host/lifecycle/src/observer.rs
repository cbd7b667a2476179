//! The observer of a run: a terminal, a log, or nobody.

use std::sync::Arc;

use stagewright_manifest::StepId;
use stagewright_store::RunId;

use crate::run_error::RunError;
use crate::summary::{StageSummary, Summary};

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the stage's author.
    Debug,
    /// Normal progress.
    Info,
    /// A problem that does not end the step.
    Warn,
    /// An error.
    Error,
}

impl Level {
    /// Returns the level's name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Returns the level with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error].into_iter().find(|level| level.name() == name)
    }
}

/// Receives the events of a run. The methods are called often and from several threads, and must
/// not block.
pub trait Observer: Send + Sync {
    /// The run began.
    fn run_started(&self, run: &RunId) {
        let _ = run;
    }
    /// A step began.
    fn stage_started(&self, step: &StepId, component: &str);
    /// The current work of a step has completed `done` of `total` units.
    fn progress(&self, step: &StepId, done: u64, total: u64);
    /// A step wrote a log line. The text is cut and escaped.
    fn log(&self, step: &StepId, level: Level, message: &str);
    /// A child run ended, with the error that ended it, if any.
    fn run_ended(&self, summary: &Summary, error: Option<&RunError>) {
        let _ = (summary, error);
    }
    /// Returns the observer of the child run `name`. Children run at the same time.
    fn of_child(&self, name: &str) -> Arc<dyn Observer> {
        let _ = name;
        Arc::new(Unwatched)
    }
    /// A step completed, and its artifacts are published.
    fn stage_finished(&self, step: &StepId, summary: &StageSummary);
    /// A step failed in all of its tries, and is recorded.
    fn stage_failed(&self, step: &StepId, error: &RunError) {
        let _ = (step, error);
    }
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn stage_started(&self, _: &StepId, _: &str) {}
    fn progress(&self, _: &StepId, _: u64, _: u64) {}
    fn log(&self, _: &StepId, _: Level, _: &str) {}
    fn stage_finished(&self, _: &StepId, _: &StageSummary) {}
}
