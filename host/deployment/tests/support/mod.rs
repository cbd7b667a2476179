//! Fixtures: deployments and figures as the registry has them.

#![expect(dead_code, reason = "each test file uses a part of it")]

use serde_json::{Value, json};
use stagewright_deployment::{Observed, Plan};
use stagewright_store::{ArmCounts, Deployment, DeploymentStatus, OutcomeTally};

/// When a deployment of these tests was started, and its step began.
pub(crate) const START_MS: i64 = 1_700_000_000_000;
pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Returns the text of the refusal of a plan.
pub(crate) fn refused(plan: Value) -> String {
    Plan::parse(&plan).expect_err("a plan that cannot be used").to_string()
}

/// Returns a plan and its deployment beside version 1, just started.
pub(crate) fn started(plan: &Value) -> (Deployment, Plan) {
    let plan = Plan::parse(plan).expect("a plan");
    let new = plan.new_deployment(1, "a test").expect("a deployment");
    let deployment = Deployment {
        model: "churn".to_owned(),
        number: 1,
        revision: 1,
        strategy: new.strategy,
        configuration: new.configuration,
        status: DeploymentStatus::Active,
        step: new.step,
        since_ms: START_MS,
        arms: new.arms,
        state: new.state,
        reason: new.reason,
        started_ms: START_MS,
        started_by: "ada".to_owned(),
        changed_ms: START_MS,
        changed_by: "ada".to_owned(),
        ended_ms: None,
        ended_by: None,
        end_reason: None,
    };
    (deployment, plan)
}

/// Returns counters of an arm in a step: requests, of which some failed, all with one latency.
pub(crate) fn counts(arm: &str, step: u32, requests: u64, errors: u64, latency_us: u64) -> ArmCounts {
    let latencies = vec![(latency_us, requests)];
    ArmCounts { arm: arm.to_owned(), step, requests, errors, rows: requests, latencies }
}

/// Returns outcomes of an arm without values.
pub(crate) fn tally(arm: &str, version: u32, count: u64, positives: u64) -> OutcomeTally {
    let arm = Some(arm.to_owned());
    OutcomeTally { arm, version, count, positives, valued: 0, sum: 0.0, sum_of_squares: 0.0 }
}

/// Returns outcomes of an arm with values.
pub(crate) fn values(arm: &str, version: u32, values: &[f64]) -> OutcomeTally {
    let count = values.len() as u64;
    let sum_of_squares = values.iter().map(|value| value * value).sum();
    OutcomeTally { valued: count, sum: values.iter().sum(), sum_of_squares, ..tally(arm, version, count, 0) }
}

/// Returns what is known some time after the start, while version 1 is champion.
pub(crate) fn after<'a>(passed_ms: i64, counts: &'a [ArmCounts], outcomes: &'a [OutcomeTally]) -> Observed<'a> {
    Observed { champion: Some(1), counts, outcomes, now_ms: START_MS + passed_ms }
}

/// The A/B test of docs/deployments.md, with version 1 as control and version 2 as treatment.
pub(crate) fn ab() -> Value {
    json!({
        "strategy": "ab",
        "experiment_name": "churn_model_v2",
        "variants": {
            "control": {"model_version": 1, "traffic_percentage": 50},
            "treatment": {"model_version": 2, "traffic_percentage": 50},
        },
        "metrics": {"primary": "conversion_rate", "secondary": ["latency_p99", "error_rate"]},
        "duration_days": 14,
        "min_sample_size": 10_000,
    })
}

/// Returns an object with a field at a pointer set.
pub(crate) fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.insert(name.to_owned(), value);
    object
}
