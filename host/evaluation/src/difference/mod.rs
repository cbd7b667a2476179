//! How much two models differ in a metric on the same rows, and how sure that is.
//!
//! A difference of 0.002 in the area under the ROC curve means little on 300 rows and much on
//! 300,000. The interval says which; gates may ask for it. Both models predicted the same rows, so
//! the interval is that of a paired difference: it is narrower than two intervals side by side,
//! because both find the same rows hard.
//!
//! The area under the ROC curve has a formula (DeLong et al. 1988). Every other metric is drawn
//! again and again from the same rows (Efron and Tibshirani 1993). Neither depends on the order of
//! the rows or the machine, but for the rows that the bootstrap draws: it draws the same ones of
//! the same table.

mod bootstrap;
mod delong;
mod labels;
mod normal;

use serde::{Deserialize, Serialize};

pub use labels::Labels;

use crate::Error;
use crate::metrics::{self, canonical_name, lower_is_better};

/// The confidence of an interval that nobody asked for another.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;

/// How an interval was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By DeLong's formula.
    Delong,
    /// From resampled rows.
    Bootstrap,
}

impl Method {
    /// The method's name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delong => "DeLong",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// A candidate's metric minus the champion's on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricDifference {
    /// The metric.
    pub metric: String,
    /// The difference.
    pub value: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The two-sided confidence of the interval: 0.95 leaves 2.5 % beyond each end.
    pub confidence: f64,
    /// The chance of a difference as large as this one if there were none (two-sided), where the
    /// method has it.
    pub p_value: Option<f64>,
    /// How the interval was found.
    pub method: Method,
}

impl MetricDifference {
    /// The end of the interval that speaks least for the candidate: by how much it is better at
    /// least.
    #[must_use]
    pub fn least_gain(&self) -> f64 {
        if lower_is_better(&self.metric) { -self.high } else { self.low }
    }

    /// The end of the interval that speaks most for the candidate.
    #[must_use]
    pub fn greatest_gain(&self) -> f64 {
        if lower_is_better(&self.metric) { -self.low } else { self.high }
    }
}

/// The difference of two models in a metric that the host computes, with its interval at a
/// two-sided `confidence` above 0 and below 1. `None` where it cannot be told: the metric is
/// undefined on these rows or not the host's, or a class has fewer than two rows.
///
/// Takes O(n log n) for `roc_auc` of a binary task. For other metrics of a binary task the rows are
/// drawn up to 2,000 times, about 20 ns each; of other tasks the whole metric is computed for each
/// draw. `stop` is asked before each draw: once it says so, there is no difference to tell.
///
/// # Errors
///
/// The errors of the metrics themselves: no rows, another number of scores than of labels, a label
/// that is no class, a score that is no probability.
pub fn difference(
    labels: Labels<'_>,
    candidate: &[f64],
    champion: &[f64],
    metric: &str,
    confidence: f64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<MetricDifference>, Error> {
    let metric = canonical_name(metric);
    let named = |scores: &[f64]| -> Result<metrics::MetricSet, Error> {
        Ok(match labels {
            Labels::Binary(labels) => metrics::binary(labels, scores, metrics::DECISION_THRESHOLD)?.named(),
            Labels::MultiClass { labels, classes } => metrics::multi_class(labels, scores, classes)?.named(),
            Labels::Regression(actual) => metrics::regression(actual, scores)?.named(),
        })
    };
    // Also checks everything that the methods rely on.
    let (ours, theirs) = (named(candidate)?, named(champion)?);
    let (Some(ours), Some(theirs)) = (ours.get(metric), theirs.get(metric)) else { return Ok(None) };
    let value = ours - theirs;
    let found = |(low, high), p_value, method| MetricDifference {
        metric: metric.to_owned(),
        value,
        low,
        high,
        confidence,
        p_value,
        method,
    };
    Ok(match labels {
        Labels::Binary(labels) if metric == "roc_auc" => {
            delong::standard_error(labels, candidate, champion).map(|error| {
                let half = normal::quantile(0.5 + confidence / 2.0) * error;
                // Without any spread the two rank every pair alike, or always differently.
                let p = if error > 0.0 { normal::two_sided(value / error) } else { f64::from(u8::from(value == 0.0)) };
                found((value - half, value + half), Some(p), Method::Delong)
            })
        }
        _ => bootstrap::interval(labels, candidate, champion, metric, confidence, stop)
            .map(|ends| found(ends, None, Method::Bootstrap)),
    })
}

#[cfg(test)]
mod tests;
