//! The cache: steps that an earlier run executed, found by their keys.
//!
//! The cache is the registry's record of stages, so there is no second store that could disagree
//! with it. A run takes a result only after it has resolved the same component, so today's
//! signatures, operator and lock file still apply. Processes of one home that want the same result
//! at the same time compute it once: the first one holds the [lock of its
//! key](crate::run::key_lock).

use std::collections::BTreeSet;

use stagewright_manifest::Step;
use stagewright_store::{
    ArtifactKind, ArtifactRecord, ArtifactStore, CACHED, Digest, FAILED, Home, RunId, StageRecord, StoreError,
};

use crate::execution::Execution;
use crate::run::base_run;
use crate::run::context::Run;
use crate::run::key_lock::KeyLock;
use crate::run_error::RunError;
use crate::sandbox::Level;

pub use crate::run::key_lock::sweep_locks;

/// A recorded result.
pub struct Found {
    /// The run that executed the step.
    pub run: RunId,
    /// The record of the step.
    pub stage: StageRecord,
}

/// Finds a step with this key whose outputs are available and whose calls all had these walls.
///
/// # Errors
/// The registry cannot be read.
pub fn find(home: &Home, key: &Digest, walls: &BTreeSet<&str>) -> Result<Option<Found>, StoreError> {
    let found = home.registry.stage_of_key(key)?.map(|(run, stage)| found(run, stage));
    whole(home, found.filter(|found| have_stood(walls, &found.stage)))
}

/// Whether all calls of a step had these walls.
pub(crate) fn have_stood(walls: &BTreeSet<&str>, stage: &StageRecord) -> bool {
    walls.iter().all(|wall| stage.walls.as_ref().is_some_and(|stood| stood.iter().any(|it| it == wall)))
}

/// Finds such a step among the steps of one run.
pub(crate) fn find_in(
    home: &Home,
    run: &RunId,
    key: &Digest,
    walls: &BTreeSet<&str>,
) -> Result<Option<Found>, StoreError> {
    let is_done = |stage: &StageRecord| stage.status != FAILED && stage.dropped == 0 && have_stood(walls, stage);
    let is_same = |stage: &StageRecord| stage.key == Some(*key) && is_done(stage);
    let stage = home.registry.stages(run)?.into_iter().rfind(is_same);
    let found = stage.map(|stage| found(run.clone(), stage));
    whole(home, found)
}

fn found(run: RunId, stage: StageRecord) -> Found {
    // The step may have been taken from the cache itself.
    Found { run: stage.cached_from.clone().unwrap_or(run), stage }
}

/// Whether the outputs of a step are available with their recorded lengths. Content is compared
/// with digests only when it is opened. For a table, which is read in parts, the structure is
/// checked. Content at the shared location is verified when it is fetched.
fn is_whole(artifacts: &ArtifactStore, stage: &StageRecord) -> Result<bool, StoreError> {
    for output in &stage.outputs {
        let ArtifactRecord { kind, digest, bytes, rows, .. } = output;
        let is_there = match (artifacts.contains(*kind, digest), kind) {
            (false, _) => artifacts.reaches(*kind, digest)?,
            (true, ArtifactKind::Table) => artifacts.open_table(digest).is_ok_and(|table| Some(table.rows()) == *rows),
            (true, ArtifactKind::Blob | ArtifactKind::Document) => {
                std::fs::metadata(artifacts.path(*kind, digest)).is_ok_and(|file| file.len() == *bytes)
            }
        };
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns a result, if its outputs are available.
fn whole(home: &Home, found: Option<Found>) -> Result<Option<Found>, StoreError> {
    match found {
        Some(found) if is_whole(&home.artifacts, &found.stage)? => Ok(Some(found)),
        _ => Ok(None),
    }
}

impl Found {
    /// Returns the record of a step that reuses this result and began at `began_ms`.
    pub(crate) fn reused(&self, began_ms: i64, now_ms: i64, invocation: serde_json::Value) -> StageRecord {
        StageRecord {
            status: CACHED.to_owned(),
            started_ms: began_ms,
            ended_ms: now_ms,
            invocation: Some(invocation),
            cached_from: Some(self.run.clone()),
            ..self.stage.clone()
        }
    }
}

impl Run {
    /// Returns the recorded result of a step, if it may be reused. Otherwise returns the lock under
    /// which the step is executed, if its result may be reused by others.
    pub(crate) fn find_recorded(
        &self,
        step: &Step,
        key: &Digest,
        execution: &Execution,
    ) -> Result<(Option<Found>, Option<KeyLock>), RunError> {
        loop {
            let (found, lock) = self.look_up(step, key, execution)?;
            let Some(found) = found else { return Ok((None, lock)) };
            // No garbage collection removes the outputs from now on.
            let outputs = found.stage.outputs.iter().map(|output| (output.kind, output.digest));
            if self.request.home.artifacts.renew(&outputs.collect::<Vec<_>>())? {
                return Ok((Some(found), None));
            }
            // A collection removed them a moment ago. The result is not found again, and the key is
            // locked for the execution, which others may want to reuse.
        }
    }

    fn look_up(
        &self,
        step: &Step,
        key: &Digest,
        execution: &Execution,
    ) -> Result<(Option<Found>, Option<KeyLock>), RunError> {
        let Self { request, .. } = self;
        let (home, stage) = (&request.home, request.manifest.stage_of(step));
        if request.reuse.refresh.contains(&step.stage) {
            return Ok((None, None));
        }
        let walls = &request.reuse.walls;
        for resumed in base_run::resumed(home, request.reuse.resumed.clone())? {
            if let Some(found) = find_in(home, &resumed, key, walls)? {
                return Ok((Some(found), None));
            }
        }
        if request.reuse.nothing || !stage.cache {
            return Ok((None, None));
        }
        if let Some(found) = find(home, key, walls)? {
            return Ok((Some(found), None));
        }
        let waits = || {
            let message = "another run executes the same step: waiting for its result";
            request.observer.log(&step.id, Level::Info, message);
        };
        let lock = execution
            .waiting(|| KeyLock::wait(home, key, &step.stage, &execution.session.cancel, &self.held_locks, waits))?;
        // Another process may have recorded the step in between.
        Ok(match find(home, key, walls)? {
            Some(found) => (Some(found), None),
            None => (None, Some(lock)),
        })
    }
}
