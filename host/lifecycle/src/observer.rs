//! Who watches a run: the terminal, a log, nobody.

use std::sync::Arc;

use stagewright_manifest::StepId;
use stagewright_store::RunId;

use crate::run_error::RunError;
use crate::summary::{StageSummary, Summary};

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the stage's author.
    Debug,
    /// Worth a line.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

impl Level {
    /// The word for it in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// The level of this word.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error].into_iter().find(|level| level.name() == name)
    }
}

/// Told what happens, as it happens; from several threads, often. Must not block.
pub trait Observer: Send + Sync {
    /// A run begins.
    fn run_started(&self, run: &RunId) {
        let _ = run;
    }
    /// A step begins.
    fn stage_started(&self, step: &StepId, component: &str);
    /// `done` of `total` units of what the step does now are done.
    fn progress(&self, step: &StepId, done: u64, total: u64);
    /// A step wrote a line. Cut and escaped.
    fn log(&self, step: &StepId, level: Level, message: &str);
    /// A run that is one of several ends, with the error that ended it.
    fn run_ended(&self, summary: &Summary, error: Option<&RunError>) {
        let _ = (summary, error);
    }
    /// Who watches the run of this name, one of several at once.
    fn of_child(&self, name: &str) -> Arc<dyn Observer> {
        let _ = name;
        Arc::new(Unwatched)
    }
    /// A step is done and its artifacts are published.
    fn stage_finished(&self, step: &StepId, summary: &StageSummary);
    /// A step has failed, with all of its tries, and is recorded.
    fn stage_failed(&self, step: &StepId, error: &RunError) {
        let _ = (step, error);
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn stage_started(&self, _: &StepId, _: &str) {}
    fn progress(&self, _: &StepId, _: u64, _: u64) {}
    fn log(&self, _: &StepId, _: Level, _: &str) {}
    fn stage_finished(&self, _: &StepId, _: &StageSummary) {}
}
