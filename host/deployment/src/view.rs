//! A deployment with its figures, for people and programs.

use serde::Serialize;
use serde_json::Value as Json;
use stagewright_store::{
    ArmCounts, CHAMPION, Deployment, DeploymentStatus, DeploymentStrategy, OutcomeTally, Registry, StoreError,
};

use crate::breach::Outcomes;
use crate::decision::{Decision, decide};
use crate::error::PlanError;
use crate::observed::Observed;
use crate::plan::Plan;
use crate::report::{self, AbReport};

/// A deployment with its figures. The answers of servers and of the command line have this form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The model's name.
    pub model: String,
    /// Counted from 1 for each model.
    pub number: u32,
    /// Rises with every change.
    pub revision: u64,
    /// The strategy.
    pub strategy: DeploymentStrategy,
    /// Whether it is under way.
    pub status: DeploymentStatus,
    /// The step, from 0.
    pub step: u32,
    /// When the step began, in milliseconds since the epoch.
    pub since_ms: i64,
    /// The plan.
    pub configuration: Json,
    /// The arms: the champion at the start, and the candidate.
    pub arms: Vec<ArmView>,
    /// The notes of servers: of a shadow, how many of its answers were compared and differed.
    pub state: Json,
    /// Why it was started.
    pub reason: String,
    /// When it was started, in milliseconds since the epoch.
    pub started_ms: i64,
    /// Who started it.
    pub started_by: String,
    /// When it changed last, in milliseconds since the epoch.
    pub changed_ms: i64,
    /// Who changed it last.
    pub changed_by: String,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Who ended it.
    pub ended_by: Option<String>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// The next thing to be done; `None` if it has ended.
    pub next: Option<Next>,
    /// The A/B test's report; `None` for other strategies.
    pub report: Option<AbReport>,
}

/// The next thing to be done with a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// `stay`, `advance`, `promote`, `finish` or `abort`.
    pub action: &'static str,
    /// The reason.
    pub reason: String,
}

/// An arm with its figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmView {
    /// `control`, or the name of the candidate's arm.
    pub name: String,
    /// The version.
    pub version: u32,
    /// The share of the answers in this step, from 0 to 1.
    pub share: f64,
    /// Requests since the start.
    #[serde(flatten)]
    pub total: Requests,
    /// Requests in this step.
    pub this_step: Requests,
    /// The number of outcomes since the start.
    pub outcomes: u64,
    /// The number of positive ones.
    pub positives: u64,
    /// The share of positive outcomes, from 0 to 1.
    pub positive_rate: Option<f64>,
    /// The mean of the outcomes' values.
    pub mean_value: Option<f64>,
}

/// Counted requests. Latencies are upper bounds of buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Requests {
    /// The number of requests, with those that failed.
    pub requests: u64,
    /// The number of requests that failed.
    pub errors: u64,
    /// The number of rows.
    pub rows: u64,
    /// The share of requests that failed, from 0 to 1.
    pub error_rate: Option<f64>,
    /// The median latency.
    pub latency_p50_ms: Option<f64>,
    /// The 99th percentile.
    pub latency_p99_ms: Option<f64>,
}

impl Requests {
    fn of<'a>(counts: impl Iterator<Item = &'a ArmCounts>) -> Self {
        let mut sum = ArmCounts::default();
        counts.for_each(|counts| sum.add(counts));
        let latency = |quantile| {
            let bound = sum.latency_quantile_us(quantile).filter(|bound| *bound != u64::MAX);
            bound.map(|microseconds| microseconds as f64 / 1e3)
        };
        Self {
            requests: sum.requests,
            errors: sum.errors,
            rows: sum.rows,
            error_rate: sum.error_rate(),
            latency_p50_ms: latency(0.5),
            latency_p99_ms: latency(0.99),
        }
    }
}

/// Reads what the counters and outcomes of a deployment say.
///
/// # Errors
/// [`StoreError`] of the registry.
pub fn observe(
    registry: &Registry,
    deployment: &Deployment,
    plan: &Plan,
) -> Result<(Vec<ArmCounts>, Vec<OutcomeTally>), StoreError> {
    let model = &deployment.model;
    let counts = registry.arm_counts(model, deployment.number)?;
    let outcomes = registry.outcome_tallies(model, deployment.started_ms, plan.positive_label())?;
    Ok((counts, outcomes))
}

/// Returns a deployment with its figures.
///
/// # Errors
/// [`StoreError`] of the registry.
pub fn status(registry: &Registry, deployment: &Deployment, now_ms: i64) -> Result<View, StoreError> {
    let plan = Plan::of(deployment);
    let (counts, outcomes) = match &plan {
        Ok(plan) => observe(registry, deployment, plan)?,
        Err(_) => (registry.arm_counts(&deployment.model, deployment.number)?, Vec::new()),
    };
    let champion = registry.alias(&deployment.model, CHAMPION)?;
    let observed = Observed { champion, counts: &counts, outcomes: &outcomes, now_ms };
    Ok(View::new(deployment, plan.as_ref(), &observed))
}

impl View {
    /// Returns a deployment with its figures. A plan that cannot be read, for example of a newer
    /// release, is told as what is next.
    pub fn new(deployment: &Deployment, plan: Result<&Plan, &PlanError>, observed: &Observed<'_>) -> Self {
        let it = deployment.clone();
        let is_active = it.status == DeploymentStatus::Active;
        let report = match plan {
            Ok(Plan::Ab(test)) => Some(report::report(deployment, test, observed)),
            _ => None,
        };
        let arm = |arm: &stagewright_store::DeploymentArm| {
            let own = || observed.counts.iter().filter(|counts| counts.arm == arm.name);
            let outcomes = Outcomes::of(observed.outcomes, &arm.name, arm.version);
            let part = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
            ArmView {
                name: arm.name.clone(),
                version: arm.version,
                share: arm.share,
                total: Requests::of(own()),
                this_step: Requests::of(own().filter(|counts| counts.step == deployment.step)),
                outcomes: outcomes.count,
                positives: outcomes.positives,
                positive_rate: part(outcomes.positives as f64, outcomes.count),
                mean_value: part(outcomes.sum, outcomes.valued),
            }
        };
        Self {
            arms: it.arms.iter().map(arm).collect(),
            next: is_active.then(|| match plan {
                Ok(plan) => Next::of(&decide(deployment, plan, observed)),
                Err(error) => Next { action: "stay", reason: error.to_string() },
            }),
            report,
            model: it.model,
            number: it.number,
            revision: it.revision,
            strategy: it.strategy,
            status: it.status,
            step: it.step,
            since_ms: it.since_ms,
            configuration: it.configuration,
            state: it.state,
            reason: it.reason,
            started_ms: it.started_ms,
            started_by: it.started_by,
            changed_ms: it.changed_ms,
            changed_by: it.changed_by,
            ended_ms: it.ended_ms,
            ended_by: it.ended_by,
            end_reason: it.end_reason,
        }
    }
}

impl Next {
    fn of(decision: &Decision) -> Self {
        let action = match decision {
            Decision::Stay { .. } => "stay",
            Decision::Advance { .. } => "advance",
            Decision::Promote { .. } => "promote",
            Decision::Finish { .. } => "finish",
            Decision::Abort { .. } => "abort",
        };
        Self { action, reason: decision.reason().to_owned() }
    }
}
