//! A step that has ended.

use stagewright_manifest::Step;
use stagewright_store::StageRecord;

use crate::invocation::{Invocation, Outcome};
use crate::run::key_lock::KeyLock;
use crate::run_error::RunError;

/// A step that has ended and is not recorded yet.
pub(crate) struct EndedStep {
    pub(crate) step: Step,
    pub(crate) record: StageRecord,
    pub(crate) outcome: Outcome,
    pub(crate) invocation: Option<Invocation>,
    /// The error, if it failed.
    pub(crate) error: Option<RunError>,
    /// The earlier tries, which failed.
    pub(crate) tried: Vec<Self>,
    /// The lock of its key, held until the step is recorded, so that whoever waits for it finds the
    /// record.
    pub(crate) lock: Option<KeyLock>,
}
