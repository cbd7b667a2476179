//! Summaries of gates, for programs and as one sentence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Gate, GateResult, GateRule, Verdict};

/// A gate in a [`GateSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateDetail {
    /// The rule.
    pub rule: GateRule,
    /// The threshold in the manifest.
    pub threshold: f64,
    /// The candidate's value; 0 if it is missing.
    pub actual: f64,
    /// Whether the gate passed.
    pub passed: bool,
    /// Whether a value is missing or undefined.
    pub missing: bool,
}

/// All gates, for programs: `{passed, details: {metric: {threshold, actual, passed, ...}}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateSummary {
    /// Whether every gate passed.
    pub passed: bool,
    /// The gates. An absolute gate has the name of its metric; one that compares with the champion
    /// is `metric.margin`, `metric.no-worse` or `metric.no-regression`. If that name is taken, the
    /// name of the rule follows, and then a number, so that no gate hides another: `f1`,
    /// `f1.maximum`, `f1.minimum.2`.
    pub details: BTreeMap<String, GateDetail>,
}

impl GateSummary {
    /// Summarises results.
    #[must_use]
    pub fn new(results: &[GateResult]) -> Self {
        let mut details = BTreeMap::new();
        for result in results {
            let detail = GateDetail {
                rule: result.gate.rule,
                threshold: result.gate.threshold,
                actual: result.actual.unwrap_or(0.0),
                passed: result.passed,
                missing: result.missing,
            };
            let Gate { rule, metric, .. } = &result.gate;
            let ruled = format!("{metric}.{}", rule.name());
            let mut key = if rule.compares_with_champion() { ruled.clone() } else { metric.clone() };
            let mut number = 1;
            while details.contains_key(&key) {
                key = if number == 1 { ruled.clone() } else { format!("{ruled}.{number}") };
                number += 1;
            }
            details.insert(key, detail);
        }
        Self { passed: results.iter().all(|result| result.passed), details }
    }
}

/// Returns the message for a model that may not pass: `Model failed quality gates: roc_auc 0.8123
/// is below 0.85, ...` or, if no gate rejects, `Undecided: ...`. `None` if every gate passed.
#[must_use]
pub fn failure_text(results: &[GateResult]) -> Option<String> {
    let listed = |wanted: fn(&GateResult) -> bool| -> String {
        let messages: Vec<&str> =
            results.iter().filter(|result| wanted(result)).map(|result| result.message.as_str()).collect();
        messages.join(", ")
    };
    match Verdict::of(results) {
        Verdict::Approved => None,
        Verdict::Rejected => {
            Some(format!("Model failed quality gates: {}", listed(|result| !result.passed && !result.undecided)))
        }
        Verdict::Undecided => Some(format!("Undecided: {}", listed(|result| result.undecided))),
    }
}
