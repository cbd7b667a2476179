//! Who watches a run: the terminal, a log, nobody.

use stagewright_manifest::World;

use crate::sandbox::Level;
use crate::summary::StageSummary;

/// Told what happens, as it happens; from several threads, often. Must not block.
pub trait Observer: Send + Sync {
    /// A stage begins.
    fn stage_started(&self, world: World, component: &str);
    /// `done` of `total` units of what the stage does now are done.
    fn progress(&self, world: World, done: u64, total: u64);
    /// A stage wrote a line. Cut and escaped.
    fn log(&self, world: World, level: Level, message: &str);
    /// A stage is done and its artifacts are published.
    fn stage_finished(&self, world: World, summary: &StageSummary);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn stage_started(&self, _: World, _: &str) {}
    fn progress(&self, _: World, _: u64, _: u64) {}
    fn log(&self, _: World, _: Level, _: &str) {}
    fn stage_finished(&self, _: World, _: &StageSummary) {}
}
