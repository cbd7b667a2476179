//! Every metric of a candidate beside another version's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rules::{improvement_percent, regressed};
use crate::metrics::MetricSet;

/// The tolerance of [`compare`] where nobody asks for another: a metric may lose 1 % of the
/// baseline's figure, which is about what another seed does to it.
pub const DEGRADATION_TOLERANCE: f64 = 0.01;

/// One metric of a candidate beside the baseline's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// The candidate's figure.
    pub new: Option<f64>,
    /// The baseline's.
    pub baseline: Option<f64>,
    /// The candidate's gain in per cent of the baseline's figure; negative if it is worse, 0 if the
    /// baseline's figure is 0, `None` if either figure is missing.
    pub improvement_percent: Option<f64>,
    /// Whether the candidate is worse by more than the tolerance, or cannot be compared.
    pub regressed: bool,
}

/// A candidate's metrics beside a baseline's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineComparison {
    /// Whether no metric regressed.
    pub improved: bool,
    /// Every metric that was compared, by name.
    pub metrics: BTreeMap<String, MetricComparison>,
}

/// Compares every metric that the candidate or the baseline has. A metric has regressed if it is
/// worse by more than `tolerance`, a share of the baseline's figure, or if only one of the two has
/// it.
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
