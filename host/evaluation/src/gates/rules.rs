//! Judging one gate, and the sentence about it.

use super::{ChampionComparison, Gate, GateResult, GateRule};
use crate::difference::MetricDifference;
use crate::metrics::{MetricSet, lower_is_better};
use crate::text::trim_zeros;

/// The finding about a gate.
enum Finding {
    Passed(String),
    Failed(String),
    /// A value is missing or undefined.
    Missing(String),
    /// There are too few rows to decide.
    Undecided(String),
}

/// Judges one gate.
pub(super) fn judge(gate: &Gate, candidate: &MetricSet, comparison: Option<&ChampionComparison>) -> GateResult {
    let comparison = comparison.filter(|_| gate.rule.compares_with_champion());
    let actual = comparison.map_or(candidate, |it| &it.candidate).get(&gate.metric);
    let baseline = comparison.and_then(|it| it.champion.get(&gate.metric));
    let finding = match (comparison, actual, baseline) {
        (Some(ChampionComparison { undecided: Some(why), .. }), ..) => {
            Finding::Undecided(format!("{} cannot be compared with the champion's: {why}", gate.metric))
        }
        (_, None, _) => Finding::Missing(missing(gate)),
        (None, Some(actual), _) => alone(gate, actual),
        (Some(_), Some(actual), None) => Finding::Missing(format!(
            "the champion's {} is missing or undefined, so {} cannot be compared",
            gate.metric,
            short(actual)
        )),
        (Some(comparison), Some(actual), Some(base)) => compared(gate, actual, base, comparison),
    };
    let (passed, is_missing, undecided) = match finding {
        Finding::Passed(_) => (true, false, false),
        Finding::Failed(_) => (false, false, false),
        Finding::Missing(_) => (false, true, false),
        Finding::Undecided(_) => (false, false, true),
    };
    let (Finding::Passed(message) | Finding::Failed(message) | Finding::Missing(message) | Finding::Undecided(message)) =
        finding;
    GateResult {
        gate: gate.clone(),
        actual,
        baseline,
        improvement_percent: actual.zip(baseline).map(|(new, base)| improvement_percent(&gate.metric, new, base)),
        passed,
        missing: is_missing,
        undecided,
        message,
    }
}

fn missing(gate: &Gate) -> String {
    let Gate { rule, metric, threshold, .. } = gate;
    match rule {
        GateRule::Minimum => {
            format!("{metric} is missing or undefined (counts as 0, minimum {threshold})")
        }
        GateRule::Maximum => format!("{metric} is missing or undefined (maximum {threshold})"),
        GateRule::Margin | GateRule::NoWorse | GateRule::NoRegression => {
            format!("{metric} is missing or undefined, so it cannot be compared with the champion's")
        }
    }
}

/// Judges a gate without a champion to compare with.
fn alone(gate: &Gate, actual: f64) -> Finding {
    let Gate { rule, metric, threshold, .. } = gate;
    let shown = beside(actual, *threshold);
    match rule {
        GateRule::Minimum if actual >= *threshold => {
            Finding::Passed(format!("{metric} {shown} is at least {threshold}"))
        }
        GateRule::Minimum => Finding::Failed(format!("{metric} {shown} is below {threshold}")),
        GateRule::Maximum if actual <= *threshold => {
            Finding::Passed(format!("{metric} {shown} is at most {threshold}"))
        }
        GateRule::Maximum => Finding::Failed(format!("{metric} {shown} is above {threshold}")),
        GateRule::Margin | GateRule::NoWorse | GateRule::NoRegression => {
            Finding::Passed(format!("{metric} {}: no champion, accepted by default", short(actual)))
        }
    }
}

fn compared(gate: &Gate, actual: f64, base: f64, comparison: &ChampionComparison) -> Finding {
    if gate.rule == GateRule::NoRegression {
        return no_regression(gate, actual, base);
    }
    let difference = comparison.difference.as_ref().filter(|it| it.metric == gate.metric);
    let Some(confidence) = gate.confidence else {
        return primary(
            gate,
            actual,
            base,
            if lower_is_better(&gate.metric) { base - actual } else { actual - base },
            difference,
        );
    };
    match difference.filter(|it| it.confidence == confidence) {
        Some(sure) => primary(gate, actual, base, sure.least_gain(), Some(sure)),
        None => Finding::Missing(format!(
            "the difference of {} {} to the champion's {} has no interval of {} % confidence, which the gate asks for",
            gate.metric,
            beside(actual, base),
            beside(base, actual),
            percent(confidence),
        )),
    }
}

/// Judges the policy's gate. `gain` is the candidate's advantage: the difference of the values, or
/// its lower bound.
fn primary(gate: &Gate, actual: f64, base: f64, gain: f64, difference: Option<&MetricDifference>) -> Finding {
    let Gate { rule, metric, threshold, confidence } = gate;
    let lower = lower_is_better(metric);
    // If the values decide, compute the limit as a reader would: the champion's value plus the
    // margin.
    let passed = match (rule, confidence) {
        (GateRule::Margin, Some(_)) => clearly_below(*threshold, gain),
        (GateRule::Margin, None) if lower => clearly_below(actual, base - threshold),
        (GateRule::Margin, None) => clearly_below(base + threshold, actual),
        (_, Some(_)) => !clearly_below(gain, -threshold),
        (_, None) if lower => !clearly_below(base + threshold, actual),
        (_, None) => !clearly_below(actual, base - threshold),
    };
    let verb = match (rule, passed, lower) {
        (GateRule::Margin, true, false) => "exceeds",
        (GateRule::Margin, true, true) => "is below",
        (GateRule::Margin, false, false) => "does not exceed",
        (GateRule::Margin, false, true) => "is not below",
        (_, true, _) => "is not worse than",
        (_, false, _) if confidence.is_some() => "may be worse than",
        (_, false, _) => "is worse than",
    };
    let gained = if lower { base - actual } else { actual - base };
    // The difference must be shown with enough decimals to tell it from this limit.
    let limit = if *rule == GateRule::Margin { *threshold } else { -threshold };
    let surely = confidence.map(|it| format!(" at {} % confidence", percent(it))).unwrap_or_default();
    let message = format!(
        "{metric} {} {verb} the champion's {} by more than {threshold}{surely} (difference {}{})",
        beside(actual, base),
        beside(base, actual),
        signed(4, gained, limit),
        difference.map(interval).unwrap_or_default(),
    );
    if passed { Finding::Passed(message) } else { Finding::Failed(message) }
}

/// Returns the interval for the text behind the difference: `, 95 % interval -0.001 to +0.024`. For
/// losses, the ends change sign as the difference does.
fn interval(difference: &MetricDifference) -> String {
    let (low, high) = (difference.least_gain(), difference.greatest_gain());
    format!(", {} % interval {} to {}", percent(difference.confidence), signed(4, low, high), signed(4, high, low))
}

fn no_regression(gate: &Gate, actual: f64, base: f64) -> Finding {
    let Gate { metric, threshold, .. } = gate;
    let passed = !regressed(metric, actual, base, *threshold);
    let tolerance = percent(*threshold);
    let change = improvement_percent(metric, actual, base);
    let verb = if passed { "is not worse" } else { "is worse" };
    let message = format!(
        "{metric} {} {verb} than the champion's {} by more than {tolerance} % (change {} %)",
        beside(actual, base),
        beside(base, actual),
        signed(2, change, -threshold * 100.0),
    );
    if passed { Finding::Passed(message) } else { Finding::Failed(message) }
}

/// Returns whether `new` is worse than `base` by more than `tolerance` times `base`. For a `base`
/// of at least 0 of which more is better: `new < base * (1 - tolerance)`. A negative base moves
/// away from zero.
pub(super) fn regressed(metric: &str, new: f64, base: f64, tolerance: f64) -> bool {
    if lower_is_better(metric) {
        clearly_below(if base < 0.0 { base * (1.0 - tolerance) } else { base * (1.0 + tolerance) }, new)
    } else {
        clearly_below(new, if base < 0.0 { base * (1.0 + tolerance) } else { base * (1.0 - tolerance) })
    }
}

pub(super) fn improvement_percent(metric: &str, new: f64, base: f64) -> f64 {
    let gained = if lower_is_better(metric) { base - new } else { new - base };
    if base == 0.0 { 0.0 } else { gained / base.abs() * 100.0 }
}

/// Returns whether `low < high` by more than the rounding error of one addition or multiplication.
fn clearly_below(low: f64, high: f64) -> bool {
    high - low > 4.0 * f64::EPSILON * low.abs().max(high.abs())
}

/// Returns a share in per cent, without trailing zeros.
fn percent(share: f64) -> String {
    trim_zeros(&format!("{:.6}", share * 100.0))
}

/// Returns a number with four decimals, without trailing zeros.
fn short(value: f64) -> String {
    trim_zeros(&format!("{value:.4}"))
}

/// Returns a number with four decimals, or with as many as tell it from `other`.
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

/// Returns a difference with its sign, with at least `least` decimals and as many as tell it from
/// `limit`.
fn signed(least: usize, value: f64, limit: f64) -> String {
    let text = with_decimals(least, value, limit);
    if value > 0.0 { format!("+{text}") } else { text }
}
