//! The results of gates, and the verdict.

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::difference::MetricDifference;
use crate::metrics::MetricSet;

/// The verdict on a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The candidate may become champion.
    Approved,
    /// The candidate may not become champion.
    Rejected,
    /// The candidate may not become champion. No gate fails, but too little is known to compare it
    /// with the champion.
    Undecided,
}

impl Verdict {
    /// Returns the name of the verdict in reports and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Undecided => "undecided",
        }
    }

    /// Returns the verdict of several gates: a failed gate rejects; otherwise an undecided gate
    /// leaves the verdict undecided.
    #[must_use]
    pub fn of(gates: &[GateResult]) -> Self {
        if gates.iter().all(|gate| gate.passed) {
            Self::Approved
        } else if gates.iter().all(|gate| gate.passed || gate.undecided) {
            Self::Undecided
        } else {
            Self::Rejected
        }
    }
}

/// Candidate and champion on the rows that neither learnt from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChampionComparison {
    /// The candidate's metrics on these rows.
    pub candidate: MetricSet,
    /// The champion's metrics on these rows.
    pub champion: MetricSet,
    /// The candidate's primary metric minus the champion's, with its interval; `None` if it cannot
    /// be computed.
    pub difference: Option<MetricDifference>,
    /// The number of rows that were compared.
    pub rows: u64,
    /// The reason for which the rows are too few to decide, if they are: the end of a sentence,
    /// without a full stop, such as `only 3 rows of class `Yes` are left, and 10 are needed`.
    pub undecided: Option<String>,
}

/// The result of a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// The gate.
    #[serde(flatten)]
    pub gate: Gate,
    /// The candidate's value; `None` if it is missing or undefined.
    pub actual: Option<f64>,
    /// The champion's value, if the rule compares with it and there is one.
    pub baseline: Option<f64>,
    /// The candidate's gain in per cent of the champion's value: negative if it is worse, 0 if the
    /// champion's value is 0.
    pub improvement_percent: Option<f64>,
    /// Whether the gate passed.
    pub passed: bool,
    /// Whether a value that the gate needs is missing or undefined. Such a gate fails.
    pub missing: bool,
    /// Whether too few rows were left to decide. Such a gate neither passes nor rejects.
    #[serde(default)]
    pub undecided: bool,
    /// The finding with its numbers: one sentence without a full stop.
    pub message: String,
}

impl GateResult {
    /// Returns the name of the gate: `minimum roc_auc`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.gate.rule.name(), self.gate.metric)
    }
}

/// The result of judging a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Every gate, the policy's first.
    pub gates: Vec<GateResult>,
}
