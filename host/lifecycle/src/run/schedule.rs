//! The order of a run's steps: each follows those that it waits for, and independent steps run at
//! the same time.
//!
//! The record is the same as if the steps ran one after the other. Steps are recorded in the order
//! of the graph, and a step after one that failed is not recorded.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread::Scope;

use stagewright_evaluation::report::Check;
use stagewright_manifest::{Step, StepId, World};

use crate::artifact::FINDINGS;
use crate::fault::StageFault;
use crate::limits::Cancel;
use crate::run::artifacts::RunArtifacts;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::run::ended_step::EndedStep;
use crate::run_error::RunError;

/// The steps to do, in order, and their progress.
struct Queue<'a> {
    steps: Vec<&'a Step>,
    begun: Vec<bool>,
    /// The number of recorded steps, which are the first ones.
    recorded: usize,
    /// The number of steps in progress.
    at_work: usize,
    /// The first step that failed, if any. Those before it are still done, as if the steps ran one
    /// after the other.
    failed: Option<usize>,
}

impl Queue<'_> {
    /// Returns a step that waits for no other.
    fn next(&self) -> Option<usize> {
        let place = |id: &StepId| self.steps.iter().position(|step| step.id == *id);
        let is_ready = |&at: &usize| {
            let step = self.steps[at];
            let mut before = step.inputs.iter().map(|input| &input.step).chain(&step.after);
            !self.begun[at] && before.all(|id| place(id).is_none_or(|at| at < self.recorded))
        };
        (self.recorded..self.failed.unwrap_or(self.steps.len())).find(is_ready)
    }
}

impl Run {
    /// Does the steps up to training. No model is trained on data that failed a check or was not
    /// checked. The validations of a base run are checked again.
    pub(crate) fn prepare_and_train(&self, artifacts: &mut RunArtifacts) -> Result<(), RunError> {
        if *self.request.stages.start() > World::Validation {
            for step in self.request.manifest.graph.of(World::Validation) {
                refuse_unfit(step, &artifacts.after(step))?;
            }
        }
        let steps = self.request.manifest.graph.steps().iter();
        let learning = steps.filter(|step| step.world <= World::Training && self.is_requested(step));
        self.do_steps(learning.collect(), artifacts, &BTreeMap::new())
    }

    /// Does steps. In `steps`, each follows those that it waits for.
    pub(crate) fn do_steps(
        &self,
        steps: Vec<&Step>,
        artifacts: &mut RunArtifacts,
        candidates: &BTreeMap<StepId, Candidate>,
    ) -> Result<(), RunError> {
        if self.request.workers < 2 || is_chain(&steps) {
            return steps.into_iter().try_for_each(|step| {
                let ended = self.do_step(step, artifacts, candidate_of(step, candidates), &self.request.cancel)?;
                self.commit_and_check(step, ended, artifacts)
            });
        }
        let begun = vec![false; steps.len()];
        let queue = Queue { steps, begun, recorded: 0, at_work: 0, failed: None };
        let cancel = self.request.cancel.of_a_part();
        std::thread::scope(|scope| {
            let result = self.do_concurrently(scope, queue, artifacts, candidates, &cancel);
            // A step that is still in progress comes after one that failed. It is discarded.
            cancel.cancel();
            result
        })
    }

    fn do_concurrently<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        mut queue: Queue<'scope>,
        artifacts: &mut RunArtifacts,
        candidates: &'scope BTreeMap<StepId, Candidate>,
        cancel: &'scope Cancel,
    ) -> Result<(), RunError> {
        let (sender, ended) = mpsc::channel();
        let mut results: BTreeMap<usize, Result<EndedStep, RunError>> = BTreeMap::new();
        while queue.recorded < queue.steps.len() {
            while queue.at_work < self.request.workers
                && let Some(at) = queue.next()
            {
                queue.begun[at] = true;
                queue.at_work += 1;
                let (step, seen, sender) = (queue.steps[at], artifacts.clone(), sender.clone());
                scope.spawn(move || {
                    let work = AssertUnwindSafe(|| self.do_step(step, &seen, candidate_of(step, candidates), cancel));
                    let panicked = |_| Err(StageFault::host("a thread of the host panicked: please report it").into());
                    let result = std::panic::catch_unwind(work).unwrap_or_else(panicked);
                    // Nobody receives after the run has failed.
                    let _ = sender.send((at, result));
                });
            }
            let Ok((at, result)) = ended.recv() else { break };
            queue.at_work -= 1;
            if result.as_ref().map_or(true, |ended| ended.error.is_some()) {
                queue.failed = Some(queue.failed.map_or(at, |failed| failed.min(at)));
            }
            // The record of this step may have to wait for others. Processes that want the same
            // result wait for the record.
            let result = result.map(|mut ended| {
                if at != queue.recorded {
                    self.held_locks.put(ended.lock.take());
                }
                ended
            });
            results.insert(at, result);
            while let Some(result) = results.remove(&queue.recorded) {
                let ended = result?;
                let lock = ended.lock.or_else(|| self.held_locks.take(&ended.record.key?));
                self.commit_and_check(queue.steps[queue.recorded], EndedStep { lock, ..ended }, artifacts)?;
                queue.recorded += 1;
            }
        }
        Ok(())
    }

    /// Records a step that has ended. Ends the run if its data failed a check.
    fn commit_and_check(&self, step: &Step, ended: EndedStep, artifacts: &mut RunArtifacts) -> Result<(), RunError> {
        self.commit(ended, artifacts)?;
        if step.world == World::Validation { refuse_unfit(step, &artifacts.after(step)) } else { Ok(()) }
    }

    /// Evaluates several models of a run.
    pub(crate) fn evaluate(&self, artifacts: &mut RunArtifacts, candidates: &[Candidate]) -> Result<(), RunError> {
        let judged = candidates.iter().map(|candidate| (candidate.training.id.clone(), candidate.clone()));
        self.do_steps(self.requested_steps(World::Evaluation).collect(), artifacts, &judged.collect())
    }
}

/// Whether each step waits for the one before it.
fn is_chain(steps: &[&Step]) -> bool {
    steps.windows(2).all(|pair| {
        let [before, step] = pair else { return true };
        step.inputs.iter().any(|input| input.step == before.id) || step.after.contains(&before.id)
    })
}

/// Returns the candidate that a step evaluates.
fn candidate_of<'a>(step: &Step, candidates: &'a BTreeMap<StepId, Candidate>) -> Option<&'a Candidate> {
    candidates.get(step.line.get(&World::Training)?)
}

/// Fails if the table failed a check, or was not checked.
fn refuse_unfit(step: &Step, artifacts: &RunArtifacts) -> Result<(), RunError> {
    let findings = artifacts.open(&FINDINGS)?;
    let failed: Vec<_> = findings.checks.into_iter().filter(Check::stops).collect();
    if failed.is_empty() { Ok(()) } else { Err(RunError::Unfit { step: step.id.clone(), checks: failed }) }
}
