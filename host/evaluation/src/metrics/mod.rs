//! Metrics from labels and predictions.
//!
//! Every number equals scikit-learn's to 1e-12 (`tests/parity/metrics_vectors.py` makes the vectors that the tests
//! compare with). Sums are compensated and counts exact, so that results do not depend on vector instructions, and the
//! logarithm is `libm`'s in software: the platform's differs in the last bit from machine to machine, and metrics are
//! part of artifacts that are stored by their content.
//!
//! An undefined metric is NaN in the structs here and absent (`None`, `null`) in a [`MetricSet`]; gates treat it as
//! missing. Nothing is weighted by rows.

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

/// A sum whose rounding error does not grow with the number of terms (Neumaier, ZAMM 54, 1974).
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

/// `numerator / denominator`, 0 where the denominator is 0 (scikit-learn's `zero_division=0`).
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
