//! Metrics from labels and predictions.
//!
//! Every value equals scikit-learn's to 1e-12; `tests/parity/metrics_vectors.py` makes the vectors
//! for the tests. Sums are compensated and counts are exact, so that results do not depend on
//! vector instructions. Logarithms are those of `libm`, in software: the platform's differ in the
//! last bit between machines, and metrics are part of artifacts that are stored by their content.
//!
//! An undefined metric is NaN in the structs and absent (`None`, `null`) in a [`MetricSet`]. Gates
//! treat it as missing. Rows have no weights.

mod binary;
mod calibration;
mod multi_class;
mod ranking;
mod regression;
mod set;

pub use binary::{BinaryMetrics, ConfusionMatrix, DECISION_THRESHOLD, binary};
pub(crate) use binary::{READ_AT_RECALL, row_brier, row_log_loss};
pub use calibration::{Binning, Calibration, calibration_curve};
pub use multi_class::{MultiClassMetrics, multi_class};
pub use ranking::{Curve, DRAWN_POINTS, Ranking};
pub use regression::{RegressionMetrics, regression};
pub use set::{Direction, MetricSet, direction, lower_is_better};
pub use stagewright_metric_names::canonical_name;

/// A compensated sum, whose rounding error does not grow with the number of terms (Neumaier, ZAMM
/// 54, 1974).
#[derive(Default)]
pub(crate) struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, term: f64) {
        let total = self.total + term;
        self.lost +=
            if self.total.abs() >= term.abs() { (self.total - total) + term } else { (term - total) + self.total };
        self.total = total;
    }

    pub(crate) fn value(&self) -> f64 {
        self.total + self.lost
    }
}

/// Returns `numerator / denominator`, or 0 if the denominator is 0, as scikit-learn with
/// `zero_division=0`.
fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_keeps_what_plain_addition_loses() {
        let mut sum = Sum::default();
        for term in [1.0, 1e100, 1.0, -1e100] {
            sum.add(term);
        }
        assert_eq!(sum.value(), 2.0);
    }
}
