//! The judgement of a deployment: what is to be done with it now, and why.
//!
//! Everything that is looked at is given, the time too. So each server comes to the same decision,
//! and whichever is first makes it, by compare-and-set.

use stagewright_store::{Deployment, DeploymentStep};

use crate::breach::{self, Trial};
use crate::error::OperationError;
use crate::observed::Observed;
use crate::plan::{Canary, Plan};
use crate::report::{self, Verdict};
use crate::units::{Span, percent};

/// A decision about a deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing.
    Stay {
        /// The thing that it waits for.
        reason: String,
    },
    /// The next step is made, by compare-and-set.
    Advance {
        /// The step, with the reason.
        step: DeploymentStep,
    },
    /// The candidate is promoted by the ordinary promotion, and then the deployment finished.
    Promote {
        /// The reason.
        reason: String,
    },
    /// The deployment is finished without a promotion.
    Finish {
        /// The reason.
        reason: String,
    },
    /// The deployment is aborted, and the champion answers everything again.
    Abort {
        /// The reason.
        reason: String,
    },
}

impl Decision {
    /// Returns the reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Advance { step } => &step.reason,
            Self::Stay { reason } | Self::Promote { reason } | Self::Finish { reason } | Self::Abort { reason } => {
                reason
            }
        }
    }
}

/// Returns what is to be done with an active deployment now.
pub fn decide(deployment: &Deployment, plan: &Plan, observed: &Observed<'_>) -> Decision {
    if let Some(settled) = settled(deployment, observed.champion) {
        return settled;
    }
    let trial = Trial::of(deployment, plan, observed);
    if let Some(guard) = plan.guard()
        && let Some(breach) = breach::breach(guard, &trial)
    {
        return Decision::Abort { reason: breach };
    }
    let model = &deployment.model;
    let version = plan.candidate();
    let stay = |reason| Decision::Stay { reason };
    match plan {
        Plan::Canary(canary) => scheduled(deployment, canary, &trial, observed.now_ms),
        Plan::BlueGreen(_) if deployment.step == 0 => stay(format!(
            "version {version} is ready and answers nothing: `stagewright deploy advance {model}` switches to it"
        )),
        Plan::BlueGreen(_) => stay(format!(
            "version {version} answers everything: `stagewright deploy advance {model}` promotes it, `abort` switches back"
        )),
        Plan::Shadow(_) => stay(format!("version {version} gets copies of requests until the deployment is ended")),
        Plan::Ab(ab) => {
            let report = report::report(deployment, ab, observed);
            let found = report.verdict_text();
            stay(match report.verdict {
                Verdict::NotYet { .. } => found,
                Verdict::TreatmentBetter => format!("{found}; `stagewright deploy advance {model}` promotes it"),
                Verdict::ControlBetter | Verdict::NoDifference => {
                    format!("{found}; `stagewright deploy advance {model}` keeps the control")
                }
            })
        }
    }
}

/// Returns the end of a deployment whose champion is no longer its control: finished if the
/// candidate has become champion, else aborted.
fn settled(deployment: &Deployment, champion: Option<u32>) -> Option<Decision> {
    let control = deployment.arms.first().map(|arm| arm.version);
    let candidate = deployment.arms.last().map(|arm| arm.version);
    match champion {
        champion if champion == control => None,
        Some(champion) if Some(champion) == candidate => {
            Some(Decision::Finish { reason: format!("version {champion} is champion") })
        }
        Some(champion) => {
            let reason = format!("version {champion} became champion during the deployment");
            Some(Decision::Abort { reason })
        }
        None => Some(Decision::Abort { reason: "the model was taken out of production".to_owned() }),
    }
}

/// Judges a canary that broke no bound: by its schedule, if it has one.
fn scheduled(deployment: &Deployment, canary: &Canary, trial: &Trial<'_>, now_ms: i64) -> Decision {
    let step = step_text(canary, deployment.step);
    let Some(Span(interval)) = canary.interval else {
        let next = if canary.is_last(deployment.step) { "promotes it" } else { "makes the next step" };
        let reason = format!("{step}: `stagewright deploy advance {}` {next}", deployment.model);
        return Decision::Stay { reason };
    };
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let left_ms = interval_ms.saturating_sub(now_ms.saturating_sub(deployment.since_ms));
    let mut missing = breach::missing(&canary.guard, trial);
    if left_ms > 0 {
        // In whole seconds, rounded up, so that the last one is not "0 s".
        missing.insert(0, format!("{} s of {} are left", left_ms.saturating_add(999) / 1000, Span(interval)));
    }
    if !missing.is_empty() {
        return Decision::Stay { reason: format!("{step}: {}", missing.join("; ")) };
    }
    let reason = format!("{step} went well: {}", trial.text());
    if canary.is_last(deployment.step) {
        return Decision::Promote { reason };
    }
    Decision::Advance { step: next_share(deployment, canary, reason) }
}

/// The effect of an operator's `advance`.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// The next step is made.
    Step(DeploymentStep),
    /// The candidate is promoted, and the deployment finished.
    Promote {
        /// The reason.
        reason: String,
    },
    /// The deployment is finished without a promotion.
    Finish {
        /// The reason.
        reason: String,
    },
}

/// Returns the next step of an active deployment as an operator makes it: whether its schedule is
/// due or not. Only an A/B test has to have its verdict. An empty `reason` gets a text.
///
/// # Errors
/// [`OperationError::ChampionMoved`] or [`OperationError::NoVerdict`].
pub fn next_move(
    deployment: &Deployment,
    plan: &Plan,
    observed: &Observed<'_>,
    reason: &str,
) -> Result<Move, OperationError> {
    match settled(deployment, observed.champion) {
        None => {}
        Some(Decision::Finish { reason }) => return Ok(Move::Finish { reason }),
        Some(_) => {
            let (model, number) = (deployment.model.clone(), deployment.number);
            let control = deployment.arms.first().map_or(0, |arm| arm.version);
            return Err(OperationError::ChampionMoved { model, number, control });
        }
    }
    let because = |otherwise: String| if reason.is_empty() { otherwise } else { reason.to_owned() };
    Ok(match plan {
        Plan::Canary(canary) if canary.is_last(deployment.step) => {
            Move::Promote { reason: because(format!("{}, by command", step_text(canary, deployment.step))) }
        }
        Plan::Canary(canary) => {
            let reason = because(format!("{} was ended by command", step_text(canary, deployment.step)));
            Move::Step(next_share(deployment, canary, reason))
        }
        Plan::BlueGreen(_) if deployment.step == 0 => Move::Step(DeploymentStep {
            step: 1,
            shares: vec![0.0, 1.0],
            state: deployment.state.clone(),
            reason: because(format!("all requests switch to version {}, by command", plan.candidate())),
        }),
        Plan::BlueGreen(_) => {
            Move::Promote { reason: because(format!("version {} answers everything", plan.candidate())) }
        }
        Plan::Shadow(_) => {
            Move::Finish { reason: because(format!("version {} has seen enough copies", plan.candidate())) }
        }
        Plan::Ab(ab) => {
            let report = report::report(deployment, ab, observed);
            match &report.verdict {
                Verdict::NotYet { missing } => {
                    let model = deployment.model.clone();
                    let (name, missing) = (ab.experiment_name.clone(), missing.join("; "));
                    return Err(OperationError::NoVerdict { model, name, missing });
                }
                Verdict::TreatmentBetter => Move::Promote { reason: because(report.verdict_text()) },
                Verdict::ControlBetter | Verdict::NoDifference => {
                    Move::Finish { reason: because(report.verdict_text()) }
                }
            }
        }
    })
}

/// Returns the step of a canary after the present one.
fn next_share(deployment: &Deployment, canary: &Canary, reason: String) -> DeploymentStep {
    let step = deployment.step.saturating_add(1);
    let share = canary.share(step);
    DeploymentStep { step, shares: vec![1.0 - share, share], state: deployment.state.clone(), reason }
}

/// Returns a step of a canary for people: `step 2 of 4 (25 %)`.
fn step_text(canary: &Canary, step: u32) -> String {
    format!("step {} of {} ({})", step.saturating_add(1), canary.shares.len(), percent(canary.share(step)))
}
