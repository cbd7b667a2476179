//! Steps that were done before: found by their keys, and not executed again.
//!
//! The cache is the registry's record of stages: there is no second store that could disagree with
//! it. A result is taken over only by a run that resolved the same component a moment ago, so what
//! today's signatures, operator and lock file refuse is refused whatever is on record. Processes of
//! one home that want the same at once compute it once: the first holds the [lock of its
//! key](KeyLock).

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

/// A result on record.
pub struct Found {
    /// The run that executed the step.
    pub run: RunId,
    /// The step as it is recorded.
    pub stage: StageRecord,
}

/// Looks for a step of this key whose outputs are all there, and around which these walls stood.
///
/// # Errors
/// The registry cannot be read.
pub fn find(home: &Home, key: &Digest, walls: &BTreeSet<&str>) -> Result<Option<Found>, StoreError> {
    let found = home.registry.stage_of_key(key)?.map(|(run, stage)| found(run, stage));
    whole(home, found.filter(|found| have_stood(walls, &found.stage)))
}

/// Whether these walls stood around every call of a step.
pub(crate) fn have_stood(walls: &BTreeSet<&str>, stage: &StageRecord) -> bool {
    walls.iter().all(|wall| stage.walls.as_ref().is_some_and(|stood| stood.iter().any(|it| it == wall)))
}

/// The same, among the steps of one run.
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
    // It may have been taken over itself.
    Found { run: stage.cached_from.clone().unwrap_or(run), stage }
}

/// Whether the outputs of a step can be had, as long as they were. Their content is compared with
/// their digests where they are opened; of a table, which is read in pieces, the structure is
/// looked at. What is at the shared place alone is verified when it is fetched.
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

/// A result, if it is whole.
fn whole(home: &Home, found: Option<Found>) -> Result<Option<Found>, StoreError> {
    match found {
        Some(found) if is_whole(&home.artifacts, &found.stage)? => Ok(Some(found)),
        _ => Ok(None),
    }
}

impl Found {
    /// The record of a step that takes this over, begun at `began_ms`.
    pub(crate) fn taken_over(&self, began_ms: i64, now_ms: i64, invocation: serde_json::Value) -> StageRecord {
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
    /// The result on record of a step, if it may be taken over; else the lock under which the step
    /// is executed, if others may take that over.
    pub(crate) fn on_record(
        &self,
        step: &Step,
        key: &Digest,
        execution: &Execution,
    ) -> Result<(Option<Found>, Option<KeyLock>), RunError> {
        loop {
            let (found, lock) = self.look_up(step, key, execution)?;
            let Some(found) = found else { return Ok((None, lock)) };
            // No collection of garbage takes it from now on.
            let outputs = found.stage.outputs.iter().map(|output| (output.kind, output.digest));
            if self.request.home.artifacts.renew(&outputs.collect::<Vec<_>>())? {
                return Ok((Some(found), None));
            }
            // It went a moment ago. It is not found again, and the key is locked before it is made:
            // others may want it too.
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
            let message = "another run does the same at this moment: what it makes is waited for";
            request.observer.log(&step.id, Level::Info, message);
        };
        let lock = execution
            .waiting(|| KeyLock::wait(home, key, &step.stage, &execution.session.cancel, &self.held_locks, waits))?;
        // Somebody may have come to the end of it in between.
        Ok(match find(home, key, walls)? {
            Some(found) => (Some(found), None),
            None => (None, Some(lock)),
        })
    }
}
