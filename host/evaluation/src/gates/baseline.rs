//! Compares every metric of a candidate with another version's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rules::{improvement_percent, regressed};
use crate::metrics::MetricSet;

/// The default tolerance of [`compare`]: 1 % of the baseline's value, which is about as much as
/// another seed changes.
pub const DEGRADATION_TOLERANCE: f64 = 0.01;

/// A metric of a candidate and of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// The candidate's value.
    pub new: Option<f64>,
    /// The baseline's value.
    pub baseline: Option<f64>,
    /// The candidate's gain in per cent of the baseline's value: negative if it is worse, 0 if the
    /// baseline's value is 0, `None` if either is missing.
    pub improvement_percent: Option<f64>,
    /// Whether the candidate is worse by more than the tolerance, or cannot be compared.
    pub regressed: bool,
}

/// The metrics of a candidate and of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineComparison {
    /// Whether no metric regressed.
    pub improved: bool,
    /// Every metric that was compared, by name.
    pub metrics: BTreeMap<String, MetricComparison>,
}

/// Compares every metric that the candidate or the baseline has. A metric regresses if it is worse
/// by more than `tolerance`, a share of the baseline's value, or if only one of the two has it.
#[must_use]
pub fn compare(candidate: &MetricSet, baseline: &MetricSet, tolerance: f64) -> BaselineComparison {
    let names = candidate.iter().chain(baseline.iter()).map(|(name, _)| name);
    let metrics: BTreeMap<String, MetricComparison> = names
        .map(|name| {
            let (new, baseline) = (candidate.get(name), baseline.get(name));
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
    BaselineComparison { improved: metrics.values().all(|metric| !metric.regressed), metrics }
}
