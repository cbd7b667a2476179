//! The promotion stage `promote-gated`: approves a candidate if every gate of the manifest passed
//! and the rules of the stage's own parameters hold.
//!
//! The host evaluates the gates. This stage repeats their results as reasons, and may add stricter
//! rules. It never overrules a gate, which the host would not accept.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::decide::{Decision, Evaluation, Gate, Reason, Verdict};
use stagewright_kit::{Failure, Metric, Promotion, Settings};

/// The parameters of the stage: rules in addition to the manifest's gates, on the metrics that the
/// host computed for the candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The least value of each metric of the candidate, by its name.
    pub minimum: BTreeMap<String, f64>,
    /// The greatest value of each metric of the candidate, by its name.
    pub maximum: BTreeMap<String, f64>,
}

/// The stage.
pub struct PromoteGated;

impl Promotion for PromoteGated {
    type Parameters = Parameters;

    fn decide(evaluation: &Evaluation, settings: &Settings<Parameters>) -> Result<Decision, Failure> {
        let Parameters { minimum, maximum } = &settings.parameters;
        let mut reasons: Vec<Reason> = evaluation.gates.iter().map(of_gate).collect();
        for (rules, bound) in [(minimum, Bound::Minimum), (maximum, Bound::Maximum)] {
            reasons.extend(rules.iter().map(|(metric, &limit)| of_rule(bound, metric, limit, &evaluation.candidate)));
        }
        // A failed rule of the stage rejects; otherwise, the host's verdict by the gates holds.
        let own_rules_hold = reasons[evaluation.gates.len()..].iter().all(|reason| reason.passed);
        let verdict = if own_rules_hold { evaluation.verdict } else { Verdict::Rejected };
        Ok(Decision { verdict, reasons })
    }
}

stagewright_kit::promotion!(PromoteGated);

/// The allowed side of a limit.
#[derive(Clone, Copy)]
enum Bound {
    Minimum,
    Maximum,
}

/// Returns a gate of the manifest as a reason.
fn of_gate(gate: &Gate) -> Reason {
    let metric = &gate.metric;
    let (rule, threshold) = (gate.rule.as_str(), gate.threshold);
    let message = match (gate.actual, gate.baseline) {
        (None, _) => format!("the candidate has no `{metric}`"),
        (Some(actual), None) => match rule {
            "minimum" => format!("{metric} is {actual:.4}, {} {threshold}", relation(gate.passed, "at least")),
            "maximum" => format!("{metric} is {actual:.4}, {} {threshold}", relation(gate.passed, "at most")),
            "margin" | "no-worse" | "no-regression" => {
                format!("{metric} is {actual:.4}; there is no champion to compare with")
            }
            _ => unknown(gate, actual),
        },
        (Some(actual), Some(baseline)) => {
            let change = actual - baseline;
            let wanted = match rule {
                "minimum" => Some(format!("at least {threshold}")),
                "maximum" => Some(format!("at most {threshold}")),
                "margin" => Some(format!("more than {threshold} above it")),
                "no-worse" => Some(format!("no more than {threshold} worse")),
                "no-regression" => Some(format!("at least {:.4}", baseline * (1.0 - threshold))),
                _ => None,
            };
            match wanted {
                Some(wanted) => format!(
                    "{metric} is {actual:.4}, the champion's {baseline:.4} ({change:+.4}); {}",
                    relation(gate.passed, &wanted)
                ),
                None => unknown(gate, actual),
            }
        }
    };
    Reason { gate: format!("{rule} {metric}"), passed: gate.passed, message }
}

/// Returns the words for a limit that is kept or broken.
fn relation(passed: bool, limit: &str) -> String {
    if passed { format!("as wanted {limit}") } else { format!("wanted {limit}") }
}

/// Returns a gate of a later version of the host, whose rule this stage does not know, as a reason.
fn unknown(gate: &Gate, actual: f64) -> String {
    format!(
        "{} is {actual:.4}; the host found that the gate {}",
        gate.metric,
        if gate.passed { "passed" } else { "failed" }
    )
}

/// Checks a rule of the stage. A metric that is missing or NaN does not pass.
fn of_rule(bound: Bound, metric: &str, limit: f64, candidate: &[Metric]) -> Reason {
    let (name, words) = match bound {
        Bound::Minimum => ("minimum", "at least"),
        Bound::Maximum => ("maximum", "at most"),
    };
    let gate = format!("promote-gated {name} {metric}");
    let Some(actual) = candidate.iter().find(|found| found.name == metric).map(|found| found.value) else {
        let message = format!("the candidate has no `{metric}`");
        return Reason { gate, passed: false, message };
    };
    let passed = match bound {
        Bound::Minimum => actual >= limit,
        Bound::Maximum => actual <= limit,
    };
    let message = format!("{metric} is {actual:.4}, {}", relation(passed, &format!("{words} {limit}")));
    Reason { gate, passed, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, value: f64) -> Metric {
        Metric { name: name.to_owned(), value }
    }

    fn gate(rule: &str, actual: Option<f64>, baseline: Option<f64>, passed: bool) -> Gate {
        Gate { rule: rule.to_owned(), metric: "roc_auc".to_owned(), threshold: 0.01, actual, baseline, passed }
    }

    fn decide(gates: &[Gate], parameters: Parameters) -> Decision {
        let evaluation = Evaluation {
            candidate: vec![metric("roc_auc", 0.84), metric("log_loss", f64::NAN)],
            champion: None,
            rows: 100,
            difference: None,
            reported: Vec::new(),
            gates: gates.to_vec(),
            verdict: if gates.iter().all(|gate| gate.passed) { Verdict::Approved } else { Verdict::Rejected },
        };
        PromoteGated::decide(&evaluation, &Settings { parameters, seed: 0, as_of: 0 }).unwrap()
    }

    fn limits(name: &str, value: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    #[test]
    fn a_candidate_that_passed_every_gate_is_approved_with_a_reason_per_gate() {
        let gates = [gate("minimum", Some(0.84), None, true), gate("margin", Some(0.84), Some(0.82), true)];
        let decision = decide(&gates, Parameters::default());
        assert_eq!(decision.verdict, Verdict::Approved);
        assert_eq!(decision.reasons[0].gate, "minimum roc_auc");
        assert_eq!(
            decision.reasons[1].message,
            "roc_auc is 0.8400, the champion's 0.8200 (+0.0200); as wanted more than 0.01 above it"
        );
    }

    #[test]
    fn one_failed_gate_rejects_whatever_the_own_rules_say() {
        let gates = [gate("no-regression", Some(0.84), Some(0.86), false)];
        let decision = decide(&gates, Parameters { minimum: limits("roc_auc", 0.5), ..Default::default() });
        assert_eq!(decision.verdict, Verdict::Rejected);
        assert!(!decision.reasons[0].passed && decision.reasons[1].passed);
    }

    #[test]
    fn an_own_rule_rejects_what_the_gates_let_through() {
        let gates = [gate("minimum", Some(0.84), None, true)];
        let decision = decide(&gates, Parameters { minimum: limits("roc_auc", 0.85), ..Default::default() });
        assert_eq!(decision.verdict, Verdict::Rejected);
        assert_eq!(decision.reasons[1].message, "roc_auc is 0.8400, wanted at least 0.85");
    }

    #[test]
    fn a_missing_or_undefined_metric_does_not_pass_a_rule() {
        for name in ["f1", "log_loss"] {
            let decision = decide(&[], Parameters { maximum: limits(name, 9.0), ..Default::default() });
            assert_eq!(decision.verdict, Verdict::Rejected, "{name}");
        }
    }
}
