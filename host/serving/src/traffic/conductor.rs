//! Carries deployments on: each second, it adds what was counted to the registry, and does what the
//! plan says of the counts of all servers.
//!
//! It changes the registry alone. The followers of this server and of others see the change, and
//! share requests anew.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_deployment::{Candidate, Decision, Observed, OperationError, Plan, candidate, decide, finish_promoted};
use stagewright_store::{
    ArmCounts, CHAMPION, Deployment, DeploymentError, DeploymentStatus, OutcomeTally, Registry, StoreError,
};

use super::live::Live;
use super::mirror::TallyCounts;
use super::operations::{Operations, PromotionFault, now_ms};
use crate::served_model::ServedModel;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time between two notes of what became of a shadow's copies. Each wakes all servers.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// The time after which a promotion that failed is tried again.
const RETRY_PROMOTION: Duration = Duration::from_secs(30);

/// The part of the time that may be spent on tallies of outcomes, as a divisor. A tally reads every
/// outcome since the start, of which there may be millions.
const TALLY_SHARE: u32 = 10;

/// How long the end of a server waits for the last counts to be added.
const LAST_COUNTS: Duration = Duration::from_secs(5);

/// A thread that carries on the deployments of models. Dropping this ends it, after it has added
/// the last counts.
pub struct Conductor {
    /// Ends the thread when it is dropped.
    stop: Option<Sender<()>>,
    /// Tells that it has ended.
    ended: Receiver<()>,
}

impl Conductor {
    /// Starts to carry on the deployments of these models.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(models: Vec<Arc<ServedModel>>, operations: Arc<Operations>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (end, ended) = channel::<()>();
        let mut conducted: Vec<Conducted> =
            models.into_iter().map(|model| Conducted::new(model, &operations)).collect();
        let run = move || {
            let _end = end;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                conducted.iter_mut().for_each(Conducted::carry_on);
            }
            for it in &mut conducted {
                // What the registry does not take now is lost with the server.
                let _ = it.add_counts();
                let _ = it.note_last_copies();
            }
        };
        std::thread::Builder::new().name("conduct".into()).spawn(run)?;
        Ok(Self { stop: Some(stop), ended })
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.ended.recv_timeout(LAST_COUNTS);
    }
}

/// A model whose deployments are carried on.
struct Conducted {
    model: Arc<ServedModel>,
    operations: Arc<Operations>,
    /// The counts that the registry has not taken yet, by deployment.
    unsaved: HashMap<u32, Vec<ArmCounts>>,
    /// The counts of a shadow's copies that the registry has, its deployment, and since when.
    noted: (u32, TallyCounts, Instant),
    /// The promotion that is under way.
    promotion: Option<PromotionUnderWay>,
    /// When a promotion failed, and of which deployment.
    failed: Option<(u32, Instant)>,
    /// The outcomes that were tallied last.
    tallied: Option<Tallied>,
    /// The problem that was told last.
    told: Option<String>,
}

/// A promotion on a thread of its own. It may copy a large version to a slow place, and neither the
/// bounds of this deployment nor those of another model wait for that.
struct PromotionUnderWay {
    candidate: Candidate,
    thread: JoinHandle<Result<(), PromotionFault>>,
}

/// The outcomes of a deployment.
struct Tallied {
    number: u32,
    at: Instant,
    /// How long the tally took.
    took: Duration,
    outcomes: Vec<OutcomeTally>,
}

impl Conducted {
    fn new(model: Arc<ServedModel>, operations: &Arc<Operations>) -> Self {
        let noted = (0, TallyCounts::default(), Instant::now());
        let (promotion, failed, tallied, told) = Default::default();
        let (operations, unsaved) = (operations.clone(), HashMap::new());
        Self { model, operations, unsaved, noted, promotion, failed, tallied, told }
    }

    fn carry_on(&mut self) {
        let counted = self.add_counts().map_err(|error| error.to_string());
        let promoted = self.end_promotion().map_err(|error| error.to_string());
        let number = self.model.status().deployment.map(|deployment| deployment.number);
        let judged = number.map_or(Ok(()), |number| self.judge(number).map_err(|error| error.to_string()));
        let problem = counted.and(promoted).and(judged).err();
        if let Some(problem) = problem.as_ref().filter(|problem| Some(*problem) != self.told.as_ref()) {
            tracing::warn!("model `{}`: its deployment is not carried on: {problem}", self.model.name);
        }
        self.told = problem;
    }

    /// Adds what was counted to the registry. What it does not take now is kept until it does.
    fn add_counts(&mut self) -> Result<(), StoreError> {
        for (deployment, counts) in self.model.ledger.take() {
            let unsaved = self.unsaved.entry(deployment).or_default();
            for own in counts {
                match unsaved.iter_mut().find(|it| (it.step, &it.arm) == (own.step, &own.arm)) {
                    Some(sum) => sum.add(&own),
                    None => unsaved.push(own),
                }
            }
        }
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let (registry, model) = (self.operations.registry()?, &self.model.name);
        let mut done = Ok(());
        self.unsaved.retain(|deployment, counts| match registry.add_arm_counts(model, *deployment, counts) {
            Ok(()) => false,
            Err(error) => {
                // Everything else will be refused again, such as counts of a deleted model.
                let is_away = matches!(error, StoreError::Database { .. });
                done = Err(error);
                is_away
            }
        });
        done
    }

    /// Does what the plan of a deployment says now.
    fn judge(&mut self, number: u32) -> Result<(), OperationError> {
        let registry = self.operations.registry()?;
        let model = self.model.name.clone();
        let deployment = registry.deployment(&model, number)?;
        if deployment.status != DeploymentStatus::Active {
            return Ok(());
        }
        let plan = Plan::of(&deployment)?;
        let counts = registry.arm_counts(&model, number)?;
        let outcomes = self.outcomes(&registry, &deployment, &plan)?;
        let champion = registry.alias(&model, CHAMPION)?;
        let observed = Observed { champion, counts: &counts, outcomes: &outcomes, now_ms: now_ms() };
        let decision = decide(&deployment, &plan, &observed);
        let (at, reason) = (deployment.at(), decision.reason().to_owned());
        let done = match decision {
            Decision::Stay { .. } => return self.note_copies(&registry, &deployment, NOTE_INTERVAL),
            Decision::Promote { .. } => return self.promote(candidate(&deployment, &plan, reason)),
            Decision::Advance { step } => registry.advance_deployment(&model, at, &step),
            Decision::Finish { .. } => registry.finish_deployment(&model, Some(at), &reason),
            Decision::Abort { .. } => registry.abort_deployment(&model, Some(at), &reason),
        };
        match done {
            Ok(_) => tracing::info!("model `{model}`: deployment {number}: {reason}"),
            // Another server was faster, or an operator.
            Err(StoreError::Deployment(DeploymentError::Changed { .. } | DeploymentError::Ended { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Returns the outcomes of a deployment, if they decide something. Those of a moment ago are
    /// taken if a tally takes long.
    fn outcomes(
        &mut self,
        registry: &Registry,
        deployment: &Deployment,
        plan: &Plan,
    ) -> Result<Vec<OutcomeTally>, StoreError> {
        if !plan.judges_outcomes() {
            return Ok(Vec::new());
        }
        let number = deployment.number;
        let is_new = |it: &&Tallied| it.number == number && it.at.elapsed() < it.took * TALLY_SHARE;
        if let Some(Tallied { outcomes, .. }) = self.tallied.as_ref().filter(is_new) {
            return Ok(outcomes.clone());
        }
        let began = Instant::now();
        let outcomes = registry.outcome_tallies(&deployment.model, deployment.started_ms, plan.positive_label())?;
        let (at, took) = (Instant::now(), began.elapsed());
        self.tallied = Some(Tallied { number, at, took, outcomes: outcomes.clone() });
        Ok(outcomes)
    }

    /// Begins to promote a candidate, unless that is under way or has failed a moment ago.
    fn promote(&mut self, candidate: Candidate) -> Result<(), OperationError> {
        let number = candidate.number;
        let has_failed = self.failed.is_some_and(|(failed, at)| failed == number && at.elapsed() < RETRY_PROMOTION);
        if self.promotion.is_some() || has_failed {
            return Ok(());
        }
        let (operations, asked) = (self.operations.clone(), candidate.clone());
        match std::thread::Builder::new().name("promote".into()).spawn(move || operations.promote(&asked)) {
            Ok(thread) => self.promotion = Some(PromotionUnderWay { candidate, thread }),
            Err(error) => {
                tracing::error!("model `{}`: deployment {number}: no thread promotes: {error}", candidate.model);
                self.failed = Some((number, Instant::now()));
            }
        }
        Ok(())
    }

    /// Finishes the deployment whose promotion has ended, if one has.
    fn end_promotion(&mut self) -> Result<(), OperationError> {
        let ended = self.promotion.take_if(|promotion| promotion.thread.is_finished());
        let Some(PromotionUnderWay { candidate, thread }) = ended else { return Ok(()) };
        let panicked = |_| PromotionFault { reason: "the promotion panicked".to_owned(), is_final: false };
        let promoted = thread.join().map_err(panicked).flatten();
        let Candidate { model, number, reason, .. } = &candidate;
        match promoted {
            Ok(()) => {
                finish_promoted(&self.operations.registry()?, model, *number, reason)?;
                tracing::info!("model `{model}`: deployment {number}: {reason}");
                Ok(())
            }
            Err(fault) => {
                self.failed = Some((*number, Instant::now()));
                self.not_promoted(&candidate, &fault)
            }
        }
    }

    /// Aborts the deployment of a candidate that must not become champion. If another server has
    /// promoted it meanwhile, which is how two that promote at once end, there is nothing to abort.
    fn not_promoted(
        &self,
        Candidate { model, version, number, .. }: &Candidate,
        fault: &PromotionFault,
    ) -> Result<(), OperationError> {
        let registry = self.operations.registry()?;
        let deployment = registry.deployment(model, *number)?;
        if deployment.status != DeploymentStatus::Active || registry.alias(model, CHAMPION)? == Some(*version) {
            return Ok(());
        }
        if !fault.is_final {
            tracing::error!("model `{model}`: deployment {number}: {fault}; it is tried again");
            return Ok(());
        }
        tracing::error!("model `{model}`: deployment {number} is aborted: {fault}");
        match registry.abort_deployment(model, Some(deployment.at()), &fault.to_string()) {
            Err(StoreError::Deployment(DeploymentError::Changed { .. } | DeploymentError::Ended { .. })) => Ok(()),
            aborted => Ok(aborted.map(drop)?),
        }
    }

    /// Adds what became of a shadow's copies since the last note, before the server ends.
    fn note_last_copies(&mut self) -> Result<(), OperationError> {
        let Some(live) = self.model.live().filter(|live| live.mirror.is_some()) else { return Ok(()) };
        let registry = self.operations.registry()?;
        let deployment = registry.deployment(&self.model.name, live.deployment.number)?;
        match deployment.status {
            DeploymentStatus::Active => self.note_copies(&registry, &deployment, Duration::ZERO),
            _ => Ok(()),
        }
    }

    /// Adds what became of a shadow's copies on this server to the deployment's notes, if the last
    /// note is as old as `interval`. The first one is made at once.
    fn note_copies(
        &mut self,
        registry: &Registry,
        deployment: &Deployment,
        interval: Duration,
    ) -> Result<(), OperationError> {
        let live = self.model.live().filter(|live| live.deployment.number == deployment.number);
        let Some(now) = live.as_deref().and_then(Live::tally) else { return Ok(()) };
        if self.noted.0 != deployment.number {
            self.noted = (deployment.number, TallyCounts::default(), Instant::now());
        }
        let (_, noted, at) = &self.noted;
        let is_first = *noted == TallyCounts::default();
        if *noted == now || (!is_first && at.elapsed() < interval) {
            return Ok(());
        }
        let state = added(&deployment.state, &now.since(noted));
        match registry.save_deployment(&deployment.model, deployment.at(), &state) {
            Ok(_) => self.noted = (deployment.number, now, Instant::now()),
            // It is tried again in a second.
            Err(StoreError::Deployment(DeploymentError::Changed { .. } | DeploymentError::Ended { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Returns the notes of a deployment with more counts.
fn added(state: &Value, more: &TallyCounts) -> Value {
    let mut state = state.clone();
    for (name, count) in more.named() {
        let before = state.get(name).and_then(Value::as_u64).unwrap_or(0);
        state[name] = json!(before + count);
    }
    state
}

#[cfg(test)]
mod tests;
