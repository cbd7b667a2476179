//! The findings about a candidate: of each gate, and of all together.

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::difference::MetricDifference;
use crate::metrics::MetricSet;

/// The three outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The candidate may become champion.
    Approved,
    /// It may not.
    Rejected,
    /// The candidate may not become champion. Nothing speaks against it, but too little is
    /// known to compare it with the champion.
    Undecided,
}

impl Verdict {
    /// The verdict's name in reports and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Undecided => "undecided",
        }
    }

    /// Returns the outcome of several gates: a miss rejects, else a gate that could not be decided
    /// leaves all undecided.
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
    /// The champion's.
    pub champion: MetricSet,
    /// The candidate's primary metric minus the champion's, with its interval; `None` if it cannot
    /// be computed.
    pub difference: Option<MetricDifference>,
    /// How many rows were compared.
    pub rows: u64,
    /// Why the rows are too few to decide by, if they are: a sentence's end without a full stop,
    /// `only 3 rows of class `Yes` are left, and 10 are needed`.
    pub undecided: Option<String>,
}

/// A gate as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// The gate.
    #[serde(flatten)]
    pub gate: Gate,
    /// The candidate's figure; `None` if it is missing or undefined.
    pub actual: Option<f64>,
    /// The champion's figure, where the rule compares with it and there is one.
    pub baseline: Option<f64>,
    /// The candidate's gain in per cent of the champion's figure; negative if it is worse, 0 if the
    /// champion's figure is 0.
    pub improvement_percent: Option<f64>,
    /// Whether the candidate may pass.
    pub passed: bool,
    /// Whether a figure that the gate reads is missing or undefined. Such a gate is not passed.
    pub missing: bool,
    /// Whether too few rows were left to decide. Such a gate is not passed, and does not reject
    /// either.
    #[serde(default)]
    pub undecided: bool,
    /// The finding as one sentence without a full stop, with the figures.
    pub message: String,
}

impl GateResult {
    /// The gate as reasons name it: `minimum roc_auc`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.gate.rule.name(), self.gate.metric)
    }
}

/// The gates' judgement of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The outcome.
    pub verdict: Verdict,
    /// Every gate, the policy's first.
    pub gates: Vec<GateResult>,
}
