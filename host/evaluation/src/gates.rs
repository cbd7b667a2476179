//! Gates: whether a candidate's metrics are good enough, and the reason in words.
//!
//! A gate that cannot be computed is not passed. Metrics of which less is better ([`lower_is_better`]) are compared the
//! other way round by the two rules that look at the champion; `minimum` and `maximum` mean what they say.
//!
//! Where a rule computes its limit (the champion's figure plus a margin), a few units in the last place are taken for
//! equality: 0.84 + 0.01 is not 0.85 in binary, and a gate must decide decimal equality as its reader does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::metrics::{MetricSet, canonical_name, lower_is_better};
use crate::text::{printable, trim_zeros};

/// The tolerance of [`compare`] where nobody asks for another: a metric may lose 1 % of the baseline's figure, which is about
/// what another seed does to it.
pub const DEGRADATION_TOLERANCE: f64 = 0.01;

/// What a gate compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateRule {
    /// The candidate's metric must be at least the threshold.
    Minimum,
    /// The candidate's metric must be at most the threshold.
    Maximum,
    /// The candidate's metric must be better than the champion's by more than the threshold; equality rejects. Passes
    /// without a champion.
    Margin,
    /// The candidate's metric must not be worse than the champion's by more than the threshold, a share of the
    /// champion's figure (0.01 for 1 %). Passes without a champion.
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
            Self::NoRegression => "no-regression",
        }
    }

    fn compares_with_champion(self) -> bool {
        matches!(self, Self::Margin | Self::NoRegression)
    }
}

/// A gate of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What it compares.
    pub rule: GateRule,
    /// The metric's name.
    pub metric: String,
    /// The manifest's figure.
    pub threshold: f64,
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
    /// By how many per cent of the champion's figure the candidate is better (negative: worse); 0 if that is 0.
    pub improvement_percent: Option<f64>,
    /// Whether the candidate may pass.
    pub passed: bool,
    /// Whether a metric that the gate reads is missing or undefined. Such a gate is not passed.
    pub missing: bool,
    /// The finding as one sentence without a full stop, with the figures.
    pub message: String,
}

/// One metric of a candidate beside the champion's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// The candidate's figure.
    pub new: Option<f64>,
    /// The champion's.
    pub baseline: Option<f64>,
    /// By how many per cent of the champion's figure the candidate is better (negative: worse); 0 if that is 0, `None`
    /// if either is missing.
    pub improvement_percent: Option<f64>,
    /// Whether the candidate is worse by more than the tolerance, or cannot be compared.
    pub regressed: bool,
}

/// A candidate's metrics beside the champion's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Whether no metric regressed.
    pub improved: bool,
    /// Every metric that was compared, by name.
    pub metrics: BTreeMap<String, MetricComparison>,
}

/// A gate's line in a [`GateSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateDetail {
    /// What was compared.
    pub rule: GateRule,
    /// The manifest's figure.
    pub threshold: f64,
    /// The candidate's figure; 0 if it is missing.
    pub actual: f64,
    /// Whether the gate is passed.
    pub passed: bool,
    /// Whether a metric is missing or undefined.
    pub missing: bool,
}

/// All gates for programs: `{passed, details: {metric: {threshold, actual, passed, ...}}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateSummary {
    /// Whether every gate is passed.
    pub passed: bool,
    /// The gates. An absolute gate is found under its metric's name, one that compares with the champion under
    /// `metric.margin` or `metric.no-regression`. Should that name be taken already, the rule's name follows and then
    /// a number, so that no gate hides another: `f1`, `f1.maximum`, `f1.minimum.2`.
    pub details: BTreeMap<String, GateDetail>,
}

impl Gate {
    /// A gate on a metric, which may go by another name that people use: `auc` for `roc_auc`.
    #[must_use]
    pub fn new(rule: GateRule, metric: &str, threshold: f64) -> Self {
        Self { rule, metric: canonical_name(metric).to_owned(), threshold }
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

/// Judges a candidate by every gate, in order. `champion` is `None` if there is none.
#[must_use]
pub fn judge(gates: &[Gate], candidate: &MetricSet, champion: Option<&MetricSet>) -> Vec<GateResult> {
    gates.iter().map(|gate| judge_one(gate, candidate, champion)).collect()
}

/// Compares every metric that the candidate or the champion has. A metric has regressed if it is worse by more than
/// `tolerance`, a share of the champion's figure, or if only one of the two has it.
#[must_use]
pub fn compare(candidate: &MetricSet, champion: &MetricSet, tolerance: f64) -> Comparison {
    let names = candidate.iter().chain(champion.iter()).map(|(name, _)| name);
    let metrics: BTreeMap<String, MetricComparison> = names
        .map(|name| {
            let (new, baseline) = (candidate.get(name), champion.get(name));
            let both = new.zip(baseline);
            let comparison = MetricComparison {
                new,
                baseline,
                improvement_percent: both.map(|(new, base)| improvement_percent(name, new, base)),
                regressed: match both {
                    Some((new, base)) => regressed(name, new, base, tolerance),
                    None => new.is_some() || baseline.is_some(),
                },
            };
            (name.to_owned(), comparison)
        })
        .collect();
    Comparison { improved: metrics.values().all(|metric| !metric.regressed), metrics }
}

/// What to tell when a model is rejected: `Model failed quality gates: roc_auc 0.8123 is below 0.85, ...`. `None` if
/// every gate is passed.
#[must_use]
pub fn failure_text(results: &[GateResult]) -> Option<String> {
    let reasons: Vec<&str> =
        results.iter().filter(|result| !result.passed).map(|result| result.message.as_str()).collect();
    (!reasons.is_empty()).then(|| format!("Model failed quality gates: {}", reasons.join(", ")))
}

impl GateSummary {
    /// Sums up results.
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

fn judge_one(gate: &Gate, candidate: &MetricSet, champion: Option<&MetricSet>) -> GateResult {
    let actual = candidate.get(&gate.metric);
    let champion = champion.filter(|_| gate.rule.compares_with_champion());
    let baseline = champion.and_then(|metrics| metrics.get(&gate.metric));
    let missing = actual.is_none() || (champion.is_some() && baseline.is_none());
    let (passed, message) = match actual {
        None => (false, missing_message(gate)),
        Some(actual) => match gate.rule {
            GateRule::Minimum | GateRule::Maximum => absolute(gate, actual),
            GateRule::Margin | GateRule::NoRegression => match (champion, baseline) {
                (None, _) => (true, format!("{} {}: no champion, accepted by default", gate.metric, short(actual))),
                (Some(_), None) => (
                    false,
                    format!(
                        "the champion's {} is missing or undefined, so {} cannot be compared",
                        gate.metric,
                        short(actual)
                    ),
                ),
                (Some(_), Some(base)) if gate.rule == GateRule::Margin => margin(gate, actual, base),
                (Some(_), Some(base)) => no_regression(gate, actual, base),
            },
        },
    };
    GateResult {
        gate: gate.clone(),
        actual,
        baseline,
        improvement_percent: actual.zip(baseline).map(|(new, base)| improvement_percent(&gate.metric, new, base)),
        passed,
        missing,
        message,
    }
}

fn missing_message(gate: &Gate) -> String {
    let Gate { rule, metric, threshold } = gate;
    match rule {
        GateRule::Minimum => {
            format!("{metric} is missing or undefined (counts as 0, minimum {threshold})")
        }
        GateRule::Maximum => format!("{metric} is missing or undefined (maximum {threshold})"),
        GateRule::Margin | GateRule::NoRegression => {
            format!("{metric} is missing or undefined, so it cannot be compared with the champion's")
        }
    }
}

fn absolute(gate: &Gate, actual: f64) -> (bool, String) {
    let Gate { rule, metric, threshold } = gate;
    let shown = beside(actual, *threshold);
    match rule {
        GateRule::Maximum if actual <= *threshold => (true, format!("{metric} {shown} is at most {threshold}")),
        GateRule::Maximum => (false, format!("{metric} {shown} is above {threshold}")),
        _ if actual >= *threshold => (true, format!("{metric} {shown} is at least {threshold}")),
        _ => (false, format!("{metric} {shown} is below {threshold}")),
    }
}

fn margin(gate: &Gate, actual: f64, base: f64) -> (bool, String) {
    let Gate { metric, threshold, .. } = gate;
    let lower = lower_is_better(metric);
    let passed = if lower { clearly_below(actual, base - threshold) } else { clearly_below(base + threshold, actual) };
    let verb = match (passed, lower) {
        (true, false) => "exceeds",
        (true, true) => "is below",
        (false, false) => "does not exceed",
        (false, true) => "is not below",
    };
    let gained = if lower { base - actual } else { actual - base };
    let message = format!(
        "{metric} {} {verb} the champion's {} by more than {threshold} (difference {})",
        beside(actual, base),
        beside(base, actual),
        signed(4, gained, *threshold),
    );
    (passed, message)
}

fn no_regression(gate: &Gate, actual: f64, base: f64) -> (bool, String) {
    let Gate { metric, threshold, .. } = gate;
    let passed = !regressed(metric, actual, base, *threshold);
    let tolerance = trim_zeros(&format!("{:.6}", threshold * 100.0));
    let change = improvement_percent(metric, actual, base);
    let verb = if passed { "is not worse" } else { "is worse" };
    let message = format!(
        "{metric} {} {verb} than the champion's {} by more than {tolerance} % (change {} %)",
        beside(actual, base),
        beside(base, actual),
        signed(2, change, -threshold * 100.0),
    );
    (passed, message)
}

/// Whether `new` is worse than `base` by more than `tolerance` times `base`. For a `base` of at least 0 of which more is
/// better: `new < base * (1 - tolerance)`; a negative base is widened away from zero.
fn regressed(metric: &str, new: f64, base: f64, tolerance: f64) -> bool {
    if lower_is_better(metric) {
        clearly_below(if base < 0.0 { base * (1.0 - tolerance) } else { base * (1.0 + tolerance) }, new)
    } else {
        clearly_below(new, if base < 0.0 { base * (1.0 + tolerance) } else { base * (1.0 - tolerance) })
    }
}

fn improvement_percent(metric: &str, new: f64, base: f64) -> f64 {
    let gained = if lower_is_better(metric) { base - new } else { new - base };
    if base == 0.0 { 0.0 } else { gained / base.abs() * 100.0 }
}

/// `low < high` by more than the rounding of one addition or multiplication of numbers of their size.
fn clearly_below(low: f64, high: f64) -> bool {
    high - low > 4.0 * f64::EPSILON * low.abs().max(high.abs())
}

/// A figure with four decimals, without trailing zeros.
fn short(value: f64) -> String {
    trim_zeros(&format!("{value:.4}"))
}

/// A figure with four decimals, or as many more as it takes to tell it from `other`.
fn beside(value: f64, other: f64) -> String {
    with_decimals(4, value, other)
}

fn with_decimals(least: usize, value: f64, other: f64) -> String {
    let rounded = |decimals: usize| trim_zeros(&format!("{value:.decimals$}"));
    let theirs = |decimals: usize| trim_zeros(&format!("{other:.decimals$}"));
    (least..=16)
        .find(|&decimals| value == other || rounded(decimals) != theirs(decimals))
        .map_or_else(|| value.to_string(), rounded)
}

/// A difference with its sign, and as many decimals as it takes to tell it from `limit`.
fn signed(least: usize, value: f64, limit: f64) -> String {
    let text = with_decimals(least, value, limit);
    if value > 0.0 { format!("+{text}") } else { text }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
