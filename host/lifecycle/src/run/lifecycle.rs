//! The main flow of a run: from the data to the decision on the candidate.

use stagewright_manifest::{Step, World};
use tracing::Span;

use crate::fault::StageFault;
use crate::run::artifacts::RunArtifacts;
use crate::run::base_run;
use crate::run::candidate::{self, Candidate};
use crate::run::context::Run;
use crate::run::decision_lock::DecisionLock;
use crate::run::invocation_builder;
use crate::run::outputs;
use crate::run::production;
use crate::run::request::Request;
use crate::run::spans;
use crate::run_error::RunError;
use crate::sandbox::Level;
use crate::summary::Summary;

/// How often a candidate is judged again because the champion changed.
const TRIES: u32 = 3;

impl Run {
    /// Runs the requested stages. If the run fails, the summary covers the steps up to the error.
    ///
    /// # Errors
    /// See [`RunError`]. A rejected candidate is no error: see the summary's decision.
    pub fn execute(request: Request) -> (Summary, Result<(), RunError>) {
        let span = spans::run(&request);
        let (summary, result) = span.in_scope(|| Self::execute_in(&span, request));
        spans::end_run(&span, &summary, &result);
        (summary, result)
    }

    fn execute_in(span: &Span, request: Request) -> (Summary, Result<(), RunError>) {
        let run = match Self::begin(request, span) {
            Ok(run) => run,
            Err(error) => return (Summary::of(String::new()), Err(error)),
        };
        run.request.observer.run_started(&run.id);
        let mut artifacts = RunArtifacts::new(run.request.home.artifacts.clone());
        let mut candidate = None;
        let may_be_written = outputs::check(&run.request.manifest, &run.request.home);
        let result = may_be_written.and_then(|()| base_run::artifacts(&run)).and_then(|base| {
            artifacts = base;
            run.lifecycle(&mut artifacts, &mut candidate)?;
            let line = candidate.as_ref().map(|candidate| run.evaluation_line(&candidate.training)).transpose()?;
            let is_judged = candidate.as_ref().is_none_or(|candidate| !candidate.is_champion_already);
            outputs::write(&run, &artifacts.along(&line.unwrap_or_default()), is_judged)
        });
        let result = run.end(result);
        (Summary::of_run(&run, &artifacts, candidate), result)
    }

    /// The lifecycle: the data, the models, and the judgement of the candidate.
    fn lifecycle(&self, artifacts: &mut RunArtifacts, candidate: &mut Option<Candidate>) -> Result<(), RunError> {
        let last = *self.request.stages.end();
        if last >= World::Evaluation {
            invocation_builder::champion_is_within_reach(self)?;
        }
        self.prepare_and_train(artifacts)?;
        if last < World::Training {
            return Ok(());
        }
        let trainings: Vec<&Step> = self.request.manifest.graph.of(World::Training).collect();
        if let [training] = trainings[..] {
            // A single model is the candidate.
            let only = candidate.insert(candidate::prepare(self, artifacts, training, true)?);
            return self.judge(artifacts, only, false);
        }
        // Of several models, the best one is the candidate.
        let requested = self.requested_trainings(&trainings)?;
        let prepared = requested.iter().map(|training| candidate::prepare(self, artifacts, training, false));
        let candidates = prepared.collect::<Result<Vec<_>, _>>()?;
        if last < World::Evaluation {
            return Ok(());
        }
        self.evaluate(artifacts, &candidates)?;
        if requested.len() < trainings.len() {
            // Not all models are evaluated in this run, so the best one is not known.
            return Ok(());
        }
        let best = candidate.insert(candidate::best(self, artifacts, candidates)?);
        self.log_candidate_metrics(artifacts, best)?;
        self.judge(artifacts, best, true)
    }

    /// Of several trainings, returns those whose models this run works on: all of them, if it
    /// decides.
    fn requested_trainings<'a>(&self, trainings: &[&'a Step]) -> Result<Vec<&'a Step>, RunError> {
        let mut requested = Vec::with_capacity(trainings.len());
        for &training in trainings {
            let is_requested = match *self.request.stages.end() {
                World::Promotion => true,
                World::Evaluation => self.is_requested(self.evaluation_of(training)?),
                _ => self.is_requested(training),
            };
            if is_requested {
                requested.push(training);
            }
        }
        Ok(requested)
    }

    /// Evaluates the candidate unless it `is_evaluated` already, decides, and promotes it if it is
    /// approved. If the champion changed meanwhile, the candidate is judged again.
    fn judge(
        &self,
        artifacts: &mut RunArtifacts,
        candidate: &mut Candidate,
        mut is_evaluated: bool,
    ) -> Result<(), RunError> {
        let evaluates = self.request.stages.contains(&World::Evaluation);
        let promotes = self.request.stages.contains(&World::Promotion);
        // The champion is not judged against itself.
        candidate.is_champion_already = promotes && candidate.is_champion(self)?;
        if candidate.is_champion_already {
            return if evaluates && !is_evaluated {
                self.take_earlier_evaluation(artifacts, candidate)
            } else {
                Ok(())
            };
        }
        let mut tries = 0;
        let evaluated = artifacts.along(&self.evaluation_line(&candidate.training)?);
        let mut is_stale = promotes && !evaluates && production::is_outdated(self, &evaluated)?;
        let mut lock = None;
        loop {
            if is_stale || evaluates && !is_evaluated {
                self.step(self.evaluation_of(&candidate.training)?, artifacts, Some(candidate))?;
                self.log_candidate_metrics(artifacts, candidate)?;
            }
            is_evaluated = false;
            if !promotes {
                return Ok(());
            }
            // The lock is held until the end, so that a candidate that has to be judged again is
            // not overtaken again.
            if lock.is_none() {
                lock = Some(DecisionLock::wait(&self.request.home, &self.request.cancel)?);
            }
            tries += 1;
            match self.promote(artifacts, candidate) {
                Err(error) if error.champion_changed() && tries >= TRIES => {
                    let model = self.request.manifest.model.to_string();
                    return Err(RunError::Overtaken { model, tries, reason: error.to_string() });
                }
                Err(error) if error.champion_changed() => is_stale = true,
                promoted => return promoted,
            }
            if self.request.cancel.is_cancelled() {
                return Err(StageFault::Cancelled { stage: World::Promotion.into() }.into());
            }
            let message = "the champion changed while the candidate was judged: it is judged again";
            self.request.observer.log(&World::Promotion.into(), Level::Warn, message);
        }
    }

    /// Decides on the candidate and promotes it if it is approved. Does nothing if it is the
    /// champion already.
    fn promote(&self, artifacts: &mut RunArtifacts, candidate: &mut Candidate) -> Result<(), RunError> {
        candidate.is_champion_already = candidate.is_champion(self)?;
        if candidate.is_champion_already {
            return Ok(());
        }
        let line = self.evaluation_line(&candidate.training)?;
        let decides = self.request.manifest.graph.of(World::Promotion).next();
        let decides = decides.ok_or_else(|| self.no_step("that decides"))?;
        self.step(&Step { line: line.clone(), ..decides.clone() }, artifacts, None)?;
        let artifacts = artifacts.after(&Step { line, ..decides.clone() });
        production::promote(self, &artifacts, candidate)
    }

    /// Does one step and records it.
    fn step(&self, step: &Step, artifacts: &mut RunArtifacts, candidate: Option<&Candidate>) -> Result<(), RunError> {
        let ended = self.do_step(step, artifacts, candidate, &self.request.cancel)?;
        self.commit(ended, artifacts)
    }

    /// Logs the candidate's metrics as the run's, if it is one of several. Until then they are
    /// under the name of its evaluation.
    pub(crate) fn log_candidate_metrics(
        &self,
        artifacts: &RunArtifacts,
        candidate: &Candidate,
    ) -> Result<(), RunError> {
        let step = self.evaluation_of(&candidate.training)?;
        if step.id == step.stage {
            return Ok(());
        }
        self.log_results(&artifacts.after(step).open(&crate::artifact::EVALUATION)?)
    }
}
