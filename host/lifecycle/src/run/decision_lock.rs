//! The lock of decisions: of the runs of one home, one at a time judges its candidate and may
//! change the champion.
//!
//! Correctness does not depend on it: the registry compares the champion that a verdict was reached
//! against with the current one. The lock saves runs that begin together from judging their
//! candidates again and again.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::Duration;

use stagewright_manifest::World;
use stagewright_store::{Home, StoreError};

use crate::fault::StageFault;
use crate::limits::Cancel;
use crate::run_error::RunError;

/// The lock's file in the home.
const FILE: &str = "decision.lock";
/// How often a run that waits tries again: short compared with a stage, and idle for a core.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock. It is released when it is dropped, or when the process ends.
pub(crate) struct DecisionLock {
    _lock: File,
}

impl DecisionLock {
    /// Waits until no other run of this home decides.
    ///
    /// # Errors
    /// The lock's file cannot be opened or locked, or the run was cancelled.
    pub(crate) fn wait(home: &Home, cancel: &Cancel) -> Result<Self, RunError> {
        let path = home.path().join(FILE);
        let failed = |source| StoreError::Io { action: "lock", path: path.clone(), source };
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _lock: file }),
                Err(TryLockError::WouldBlock) if cancel.is_cancelled() => {
                    return Err(StageFault::Cancelled { stage: World::Promotion.into() }.into());
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(reason)) => return Err(failed(reason).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_decides_and_one_that_waits_can_be_cancelled() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let cancel = Cancel::default();
        let turn = DecisionLock::wait(&home, &cancel).expect("nobody else is there");
        cancel.cancel();
        let waited = DecisionLock::wait(&home, &cancel);
        assert!(matches!(waited, Err(RunError::Stage(StageFault::Cancelled { .. }))));
        drop(turn);
        assert!(DecisionLock::wait(&home, &cancel).is_ok());
    }
}
