//! A step that has ended.

use stagewright_manifest::Step;
use stagewright_store::StageRecord;

use crate::invocation::{Invocation, Outcome};
use crate::run::key_lock::KeyLock;
use crate::run_error::RunError;

/// A step that has ended, before it is recorded.
pub(crate) struct EndedStep {
    pub(crate) step: Step,
    pub(crate) record: StageRecord,
    pub(crate) outcome: Outcome,
    pub(crate) invocation: Option<Invocation>,
    /// Why it failed, if it did.
    pub(crate) error: Option<RunError>,
    /// The tries before, which failed.
    pub(crate) tried: Vec<Self>,
    /// Held until it is recorded: who waits for it finds the record then.
    pub(crate) lock: Option<KeyLock>,
}
