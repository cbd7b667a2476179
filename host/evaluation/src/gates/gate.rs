//! The gates of a manifest.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::difference::DEFAULT_CONFIDENCE;
use crate::metrics::canonical_name;
use crate::text::printable;

/// How candidate and champion are compared in the primary metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The candidate must be better by more than the margin.
    #[default]
    Better,
    /// The candidate must not be worse by more than the margin.
    NoWorse,
    /// They are not compared. `minimum` and `maximum` decide.
    Absolute,
}

impl Policy {
    /// Returns the name of the policy in manifests, reports and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::NoWorse => "no-worse",
            Self::Absolute => "absolute",
        }
    }
}

/// The comparison of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateRule {
    /// The candidate's metric must be at least the threshold.
    Minimum,
    /// The candidate's metric must be at most the threshold.
    Maximum,
    /// The candidate's metric must be better than the champion's by more than the threshold;
    /// equality fails. Passes without a champion.
    Margin,
    /// The candidate's metric must not be worse than the champion's by more than the threshold;
    /// equality passes. Passes without a champion.
    NoWorse,
    /// The candidate's metric must not be worse than the champion's by more than the threshold, a
    /// share of the champion's value (0.01 for 1 %). Passes without a champion.
    NoRegression,
}

impl GateRule {
    /// Returns the name of the rule in manifests and reports.
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

    /// Returns whether the rule compares with the champion.
    #[must_use]
    pub fn compares_with_champion(self) -> bool {
        matches!(self, Self::Margin | Self::NoWorse | Self::NoRegression)
    }
}

/// A gate of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The comparison.
    pub rule: GateRule,
    /// The name of the metric.
    pub metric: String,
    /// The threshold in the manifest.
    pub threshold: f64,
    /// The confidence that the comparison must reach, if any: the bound of the difference's
    /// interval at this confidence must meet the threshold, not the difference itself. Applies to
    /// [`GateRule::Margin`] and [`GateRule::NoWorse`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

impl Gate {
    /// Returns a gate on a metric, which may have another common name: `auc` for `roc_auc`.
    #[must_use]
    pub fn new(rule: GateRule, metric: &str, threshold: f64) -> Self {
        Self { rule, metric: canonical_name(metric).to_owned(), threshold, confidence: None }
    }

    /// Parses `METRIC=VALUE`, as commands take it.
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

/// The conditions that a candidate must meet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// How candidate and champion are compared in the primary metric.
    pub policy: Policy,
    /// The primary metric.
    pub primary: String,
    /// The margin of the policy; at least 0.
    pub margin: f64,
    /// The confidence that the comparison in the primary metric must reach, if any; at least 0.5
    /// and below 1.
    pub confidence: Option<f64>,
    /// The gates besides the policy.
    pub others: Vec<Gate>,
}

impl Gates {
    /// Returns gates that do not compare with a champion.
    #[must_use]
    pub fn absolute(gates: Vec<Gate>) -> Self {
        Self { policy: Policy::Absolute, others: gates, ..Self::default() }
    }

    /// Returns the gates that do not compare, for a champion that cannot be compared with.
    #[must_use]
    pub fn without_comparison(&self) -> Self {
        Self { policy: Policy::Absolute, ..self.clone() }
    }

    /// Returns every gate that is judged, the policy's first. Under [`Policy::Absolute`] no gate
    /// compares.
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

    /// Returns the confidence of the interval of a comparison: that of the gate, or
    /// [`DEFAULT_CONFIDENCE`].
    #[must_use]
    pub fn interval_confidence(&self) -> f64 {
        self.confidence.unwrap_or(DEFAULT_CONFIDENCE)
    }
}
