//! Gates: whether a candidate's metrics are good enough, and the reason in words.
//!
//! A gate that cannot be computed is not passed. Metrics of which less is better
//! ([`lower_is_better`]) are compared the other way round by the rules that look at the champion;
//! `minimum` and `maximum` mean what they say.
//!
//! Absolute gates read the candidate's figures on all test rows that it did not learn from. Gates
//! that compare read both models' figures on the rows that neither learnt from ([`ChampionComparison`]), so
//! the two kinds may show different figures of one metric. Where too few rows are left to compare,
//! nothing is known about the champion: the verdict is then [`Verdict::Undecided`], which promotes
//! nothing.
//!
//! Where a rule computes its limit (the champion's figure plus a margin), a few units in the last
//! place are taken for equality: 0.84 + 0.01 is not 0.85 in binary, and a gate must decide decimal
//! equality as its reader does.
//!
//! [`lower_is_better`]: crate::metrics::lower_is_better

mod baseline;
mod rules;
mod summary;

use serde::{Deserialize, Serialize};

pub use baseline::{BaselineComparison, DEGRADATION_TOLERANCE, MetricComparison, compare};
pub use summary::{GateDetail, GateSummary, failure_text};

use crate::Error;
use crate::difference::{DEFAULT_CONFIDENCE, MetricDifference};
use crate::metrics::{MetricSet, canonical_name};
use crate::text::printable;

/// How a candidate is compared with the champion in the primary metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It must be better by more than the margin.
    #[default]
    Better,
    /// It must not be worse by more than the margin.
    NoWorse,
    /// It is not compared: `minimum` and `maximum` decide.
    Absolute,
}

impl Policy {
    /// The policy's name in manifests, reports and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::NoWorse => "no-worse",
            Self::Absolute => "absolute",
        }
    }
}

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

/// The comparison that a gate makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateRule {
    /// The candidate's metric must be at least the threshold.
    Minimum,
    /// The candidate's metric must be at most the threshold.
    Maximum,
    /// The candidate's metric must be better than the champion's by more than the threshold;
    /// equality rejects. Passes without a champion.
    Margin,
    /// The candidate's metric must not be worse than the champion's by more than the threshold;
    /// equality passes. Passes without a champion.
    NoWorse,
    /// The candidate's metric must not be worse than the champion's by more than the threshold, a
    /// share of the champion's figure (0.01 for 1 %). Passes without a champion.
    NoRegression,
}

impl GateRule {
    /// The rule's name in manifests and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Margin => "margin",
            Self::NoWorse => "no-worse",
            Self::NoRegression => "no-regression",
        }
    }

    /// Whether the rule looks at the champion.
    #[must_use]
    pub fn compares_with_champion(self) -> bool {
        matches!(self, Self::Margin | Self::NoWorse | Self::NoRegression)
    }
}

/// A gate of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The comparison that it makes.
    pub rule: GateRule,
    /// The metric's name.
    pub metric: String,
    /// The manifest's figure.
    pub threshold: f64,
    /// How sure the comparison must be, if the gate asks for it: the bound of the difference's
    /// interval at this confidence must meet the threshold, not the difference itself. Of
    /// [`GateRule::Margin`] and [`GateRule::NoWorse`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

impl Gate {
    /// A gate on a metric, which may go by another name that people use: `auc` for `roc_auc`.
    #[must_use]
    pub fn new(rule: GateRule, metric: &str, threshold: f64) -> Self {
        Self { rule, metric: canonical_name(metric).to_owned(), threshold, confidence: None }
    }

    /// A gate from `METRIC=VALUE`, as commands take it.
    ///
    /// # Errors
    ///
    /// [`Error::Gate`] if there is no metric or no finite number.
    pub fn parse(rule: GateRule, text: &str) -> Result<Self, Error> {
        let (metric, threshold) =
            text.split_once('=').map(|(metric, value)| (metric.trim(), value.trim())).unwrap_or_default();
        let threshold = threshold.parse().ok().filter(|threshold: &f64| threshold.is_finite());
        match threshold {
            Some(threshold) if !metric.is_empty() => Ok(Self::new(rule, metric, threshold)),
            _ => Err(Error::Gate { text: printable(text, 100) }),
        }
    }
}

/// All that a candidate must reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// How it is compared in the primary metric.
    pub policy: Policy,
    /// The primary metric.
    pub primary: String,
    /// The policy's margin; at least 0.
    pub margin: f64,
    /// How sure the comparison in the primary metric must be, if that is asked for; at least 0.5
    /// and below 1.
    pub confidence: Option<f64>,
    /// The gates beside the policy.
    pub others: Vec<Gate>,
}

impl Gates {
    /// Gates that look at no champion.
    #[must_use]
    pub fn absolute(gates: Vec<Gate>) -> Self {
        Self { policy: Policy::Absolute, others: gates, ..Self::default() }
    }

    /// The same without all that compares: what is left where a champion cannot be compared with.
    #[must_use]
    pub fn without_comparison(&self) -> Self {
        Self { policy: Policy::Absolute, ..self.clone() }
    }

    /// Every gate that is judged, the policy's first. Under [`Policy::Absolute`] no gate compares.
    #[must_use]
    pub fn all(&self) -> Vec<Gate> {
        let rule = match self.policy {
            Policy::Better => Some(GateRule::Margin),
            Policy::NoWorse => Some(GateRule::NoWorse),
            Policy::Absolute => None,
        };
        let primary =
            rule.map(|rule| Gate { confidence: self.confidence, ..Gate::new(rule, &self.primary, self.margin) });
        let others = self.others.iter().filter(|gate| rule.is_some() || !gate.rule.compares_with_champion()).cloned();
        primary.into_iter().chain(others).collect()
    }

    /// The confidence of the interval that goes with a comparison: the one asked for, else
    /// [`DEFAULT_CONFIDENCE`].
    #[must_use]
    pub fn interval_confidence(&self) -> f64 {
        self.confidence.unwrap_or(DEFAULT_CONFIDENCE)
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

/// Judges a candidate. `candidate` has its metrics on all test rows that it did not learn from;
/// `comparison` is `None` if there is no champion. Where a champion cannot be compared with, judge
/// by [`Gates::without_comparison`].
#[must_use]
pub fn judge(gates: &Gates, candidate: &MetricSet, comparison: Option<&ChampionComparison>) -> Judgement {
    let gates: Vec<GateResult> = gates.all().iter().map(|gate| rules::judge(gate, candidate, comparison)).collect();
    Judgement { verdict: Verdict::of(&gates), gates }
}

#[cfg(test)]
mod tests;
