//! Carries deployments on: each second, it adds what was counted to the registry, and does what the
//! plan says of the counts of all servers.
//!
//! It changes the registry alone. The followers of this server and of others see the change, and
//! share requests anew.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_deployment::{
    Candidate, Decision, Observed, OperationError, Plan, candidate, decide, finish_promoted, observe,
};
use stagewright_store::{ArmCounts, CHAMPION, Deployment, DeploymentError, DeploymentStatus, Registry, StoreError};

use super::live::Live;
use super::mirror::TallyCounts;
use super::operations::{Operations, now_ms};
use crate::served_model::ServedModel;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time between two notes of what became of a shadow's copies. Each wakes all servers.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// The time after which a promotion that failed is tried again.
const RETRY_PROMOTION: Duration = Duration::from_secs(30);

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
            conducted.iter_mut().for_each(|it| drop(it.add_counts()));
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
    /// When a promotion failed, and of which deployment.
    failed: Option<(u32, Instant)>,
    /// The problem that was told last.
    told: Option<String>,
}

impl Conducted {
    fn new(model: Arc<ServedModel>, operations: &Arc<Operations>) -> Self {
        let noted = (0, TallyCounts::default(), Instant::now());
        Self { model, operations: operations.clone(), unsaved: HashMap::new(), noted, failed: None, told: None }
    }

    fn carry_on(&mut self) {
        let counted = self.add_counts().map_err(|error| error.to_string());
        let number = self.model.status().deployment.map(|deployment| deployment.number);
        let judged = number.map_or(Ok(()), |number| self.judge(number).map_err(|error| error.to_string()));
        let problem = counted.and(judged).err();
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
        let (counts, outcomes) = observe(&registry, &deployment, &plan)?;
        let champion = registry.alias(&model, CHAMPION)?;
        let observed = Observed { champion, counts: &counts, outcomes: &outcomes, now_ms: now_ms() };
        let decision = decide(&deployment, &plan, &observed);
        let (at, reason) = (deployment.at(), decision.reason().to_owned());
        let done = match decision {
            Decision::Stay { .. } => return self.note_copies(&registry, &deployment),
            Decision::Promote { .. } => return self.promote(&registry, &candidate(&deployment, &plan, reason)),
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

    /// Promotes a candidate, and finishes its deployment.
    fn promote(&mut self, registry: &Registry, candidate: &Candidate) -> Result<(), OperationError> {
        let Candidate { model, number, reason, .. } = candidate;
        if self.failed.is_some_and(|(failed, at)| failed == *number && at.elapsed() < RETRY_PROMOTION) {
            return Ok(());
        }
        match self.operations.promote(candidate) {
            Ok(()) => {
                finish_promoted(registry, model, *number, reason)?;
                tracing::info!("model `{model}`: deployment {number}: {reason}");
            }
            Err(fault) if fault.is_final => {
                tracing::error!("model `{model}`: deployment {number} is aborted: {fault}");
                registry.abort_deployment(model, None, &fault.to_string())?;
            }
            Err(fault) => {
                tracing::error!("model `{model}`: deployment {number}: {fault}; it is tried again");
                self.failed = Some((*number, Instant::now()));
            }
        }
        Ok(())
    }

    /// Adds what became of a shadow's copies on this server to the deployment's notes.
    fn note_copies(&mut self, registry: &Registry, deployment: &Deployment) -> Result<(), OperationError> {
        let live = self.model.live().filter(|live| live.deployment.number == deployment.number);
        let Some(now) = live.as_deref().and_then(Live::tally) else { return Ok(()) };
        if self.noted.0 != deployment.number {
            self.noted = (deployment.number, TallyCounts::default(), Instant::now());
        }
        let (_, noted, at) = &self.noted;
        if *noted == now || at.elapsed() < NOTE_INTERVAL {
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
mod tests {
    use super::*;

    #[test]
    fn notes_of_several_servers_add_up_and_keep_the_rest() {
        let one = TallyCounts { compared: 5, different: 1, dropped: 0 };
        let both =
            added(&added(&json!({ "kept": true }), &one), &TallyCounts { compared: 2, different: 2, dropped: 3 });
        assert_eq!(both, json!({ "kept": true, "compared_rows": 7, "different_rows": 3, "dropped": 3 }));
    }
}
