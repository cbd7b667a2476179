//! The gates that a manifest sets.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::difference::DEFAULT_CONFIDENCE;
use crate::metrics::canonical_name;
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
