//! The order of a run's steps: each after those that it waits for, and those that do not wait for
//! each other at once.
//!
//! However many work at once, the record is that of one after the other: steps are recorded in the
//! order of the graph, and what stands after a step that failed is not recorded at all.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread::Scope;

use stagewright_manifest::{Step, StepId, World};

use crate::artifact::FINDINGS;
use crate::fault::StageFault;
use crate::limits::Cancel;
use crate::run::artifacts::RunArtifacts;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::run::ended_step::EndedStep;
use crate::run_error::RunError;

/// Steps that are to be done, in order, and where they stand.
struct Queue<'a> {
    steps: Vec<&'a Step>,
    begun: Vec<bool>,
    /// How many are recorded: the first ones.
    recorded: usize,
    /// How many work.
    at_work: usize,
    /// The first that failed, if one did. Those before it are done all the same, as if one were
    /// done after the other.
    failed: Option<usize>,
}

impl Queue<'_> {
    /// A step that waits for nobody any more.
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
    /// The steps up to training: nothing is learnt from data that failed a check, or that nobody
    /// checked. Validations of a run that this one works on are looked at again.
    pub(crate) fn learn(&self, artifacts: &mut RunArtifacts) -> Result<(), RunError> {
        if *self.request.stages.start() > World::Validation {
            for step in self.request.manifest.graph.of(World::Validation) {
                refuse_unfit(step, &artifacts.after(step))?;
            }
        }
        let steps = self.request.manifest.graph.steps().iter();
        let learning = steps.filter(|step| step.world <= World::Training && self.is_asked(step));
        self.all(learning.collect(), artifacts, &BTreeMap::new())
    }

    /// Does steps, in an order in which each stands after those that it waits for.
    pub(crate) fn all(
        &self,
        steps: Vec<&Step>,
        artifacts: &mut RunArtifacts,
        candidates: &BTreeMap<StepId, Candidate>,
    ) -> Result<(), RunError> {
        if self.request.workers < 2 || is_row(&steps) {
            return steps.into_iter().try_for_each(|step| {
                let ended = self.done(step, artifacts, judged(step, candidates), &self.request.cancel)?;
                self.keep(step, ended, artifacts)
            });
        }
        let begun = vec![false; steps.len()];
        let queue = Queue { steps, begun, recorded: 0, at_work: 0, failed: None };
        let cancel = self.request.cancel.of_a_part();
        std::thread::scope(|scope| {
            let result = self.at_once(scope, queue, artifacts, candidates, &cancel);
            // What still works stands after a step that failed: it comes to nothing.
            cancel.cancel();
            result
        })
    }

    fn at_once<'scope>(
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
                    let work = AssertUnwindSafe(|| self.done(step, &seen, judged(step, candidates), cancel));
                    let panicked = |_| Err(StageFault::host("a thread of the host panicked: please report it").into());
                    let result = std::panic::catch_unwind(work).unwrap_or_else(panicked);
                    // Nobody receives when the run has failed.
                    let _ = sender.send((at, result));
                });
            }
            let Ok((at, result)) = ended.recv() else { break };
            queue.at_work -= 1;
            if result.as_ref().map_or(true, |ended| ended.error.is_some()) {
                queue.failed = Some(queue.failed.map_or(at, |failed| failed.min(at)));
            }
            // Whoever wants the same waits for its record, which may have to wait for others.
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
                self.keep(queue.steps[queue.recorded], EndedStep { lock, ..ended }, artifacts)?;
                queue.recorded += 1;
            }
        }
        Ok(())
    }

    /// Records a step that has ended. Data that failed a check end the run.
    fn keep(&self, step: &Step, ended: EndedStep, artifacts: &mut RunArtifacts) -> Result<(), RunError> {
        self.commit(ended, artifacts)?;
        if step.world == World::Validation { refuse_unfit(step, &artifacts.after(step)) } else { Ok(()) }
    }

    /// Evaluates several models of a run.
    pub(crate) fn evaluate(&self, artifacts: &mut RunArtifacts, candidates: &[Candidate]) -> Result<(), RunError> {
        let judged = candidates.iter().map(|candidate| (candidate.training.id.clone(), candidate.clone()));
        self.all(self.asked_for(World::Evaluation).collect(), artifacts, &judged.collect())
    }
}

/// Whether each step waits for the one before it.
fn is_row(steps: &[&Step]) -> bool {
    steps.windows(2).all(|pair| {
        let [before, step] = pair else { return true };
        step.inputs.iter().any(|input| input.step == before.id) || step.after.contains(&before.id)
    })
}

/// The model that a step evaluates.
fn judged<'a>(step: &Step, candidates: &'a BTreeMap<StepId, Candidate>) -> Option<&'a Candidate> {
    candidates.get(step.line.get(&World::Training)?)
}

/// Nothing is learnt from data that failed a check, or that nobody checked.
fn refuse_unfit(step: &Step, artifacts: &RunArtifacts) -> Result<(), RunError> {
    let findings = artifacts.open(&FINDINGS)?;
    let failed: Vec<_> = findings.checks.into_iter().filter(|check| !check.passed).collect();
    if failed.is_empty() { Ok(()) } else { Err(RunError::Unfit { step: step.id.clone(), checks: failed }) }
}
