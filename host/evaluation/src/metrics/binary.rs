//! The metrics of a binary task, from the probability of class 1.

use serde::{Deserialize, Serialize};

use super::{MetricSet, Ranking, Sum, ratio};
use crate::Error;

/// The score from which on a row is predicted as class 1.
pub const DECISION_THRESHOLD: f64 = 0.5;

/// The recall at which `precision_at_recall_80` is read.
pub(crate) const READ_AT_RECALL: f64 = 0.80;

/// Test rows by actual and predicted class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Class 0, predicted as 0.
    #[serde(rename = "tn")]
    pub true_negatives: u64,
    /// Class 0, predicted as 1.
    #[serde(rename = "fp")]
    pub false_positives: u64,
    /// Class 1, predicted as 0.
    #[serde(rename = "fn")]
    pub false_negatives: u64,
    /// Class 1, predicted as 1.
    #[serde(rename = "tp")]
    pub true_positives: u64,
}

/// The metrics of a binary task. All are between 0 and 1, except `log_loss`, which is at least 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinaryMetrics {
    /// Area under the ROC curve; NaN if only one class occurs.
    pub roc_auc: f64,
    /// Share of rows that are predicted correctly.
    pub accuracy: f64,
    /// Share of true positives among predicted positives; 0 if none is predicted.
    pub precision: f64,
    /// Share of positives that are predicted; 0 if there are none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 if there are neither positives nor predicted ones.
    pub f1: f64,
    /// Mean negative logarithm of the probability of the actual class. Probabilities are clipped to
    /// machine epsilon (2.2e-16), as in scikit-learn since 1.5.
    pub log_loss: f64,
    /// The greatest precision at thresholds with a recall of at least 0.80.
    pub precision_at_recall_80: f64,
    /// Precision over all thresholds, weighted by the recall that each adds.
    pub average_precision: f64,
    /// Mean squared difference between probability and class.
    pub brier: f64,
    /// Rows by actual and predicted class at the decision threshold.
    pub confusion: ConfusionMatrix,
}

/// Computes the metrics of a binary task. Labels are 0 or 1, scores are probabilities of class 1. A
/// row is predicted as class 1 if its score is at least `threshold`, usually
/// [`DECISION_THRESHOLD`]. Takes O(n log n).
///
/// # Errors
///
/// No rows, different numbers of scores and labels, a label above 1, a score outside of 0 to 1.
pub fn binary(labels: &[u8], scores: &[f64], threshold: f64) -> Result<BinaryMetrics, Error> {
    let ranking = Ranking::new(labels, scores)?;
    let confusion = ConfusionMatrix::new(labels, scores, threshold);
    let (mut log_loss, mut brier) = (Sum::default(), Sum::default());
    for (&label, &score) in labels.iter().zip(scores) {
        log_loss.add(row_log_loss(label, score));
        brier.add(row_brier(label, score));
    }
    let rows = labels.len() as f64;
    Ok(BinaryMetrics {
        roc_auc: ranking.roc_auc(),
        accuracy: confusion.accuracy(),
        precision: confusion.precision(),
        recall: confusion.recall(),
        f1: confusion.f1(),
        log_loss: log_loss.value() / rows,
        precision_at_recall_80: ranking.precision_at_recall(READ_AT_RECALL),
        average_precision: ranking.average_precision(),
        brier: brier.value() / rows,
        confusion,
    })
}

/// Returns a row's summand of the logarithmic loss.
pub(crate) fn row_log_loss(label: u8, score: f64) -> f64 {
    let of_actual = if label == 1 { score } else { 1.0 - score };
    -libm::log(of_actual.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
}

/// Returns a row's summand of the Brier score.
pub(crate) fn row_brier(label: u8, score: f64) -> f64 {
    let distance = score - f64::from(label);
    distance * distance
}

impl ConfusionMatrix {
    /// Returns the share of rows that are predicted correctly.
    pub(crate) fn accuracy(&self) -> f64 {
        let right = self.true_negatives + self.true_positives;
        right as f64 / (right + self.false_positives + self.false_negatives) as f64
    }

    /// Returns the share of true positives among predicted positives; 0 if none is predicted.
    pub(crate) fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Returns the share of positives that are predicted; 0 if there are none.
    pub(crate) fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Returns the harmonic mean of precision and recall; 0 if there are neither positives nor
    /// predicted ones.
    pub(crate) fn f1(&self) -> f64 {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Counts rows. The lengths must be equal, and labels 0 or 1.
    fn new(labels: &[u8], scores: &[f64], threshold: f64) -> Self {
        let mut counts = [0_u64; 4];
        for (&label, &score) in labels.iter().zip(scores) {
            counts[usize::from(label) * 2 + usize::from(score >= threshold)] += 1;
        }
        Self::of_counts(counts)
    }

    /// Takes counts by actual class, then by predicted class.
    pub(crate) fn of_counts(counts: [u64; 4]) -> Self {
        let [true_negatives, false_positives, false_negatives, true_positives] = counts;
        Self { true_negatives, false_positives, false_negatives, true_positives }
    }
}

impl BinaryMetrics {
    /// Returns the metrics by name, those that gates use most first.
    #[must_use]
    pub fn named(&self) -> MetricSet {
        [
            ("roc_auc", self.roc_auc),
            ("accuracy", self.accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("log_loss", self.log_loss),
            ("precision_at_recall_80", self.precision_at_recall_80),
            ("average_precision", self.average_precision),
            ("brier", self.brier),
        ]
        .into_iter()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_at_the_threshold_counts_as_positive() {
        let metrics = binary(&[1, 0], &[0.5, 0.499], 0.5).unwrap();
        assert_eq!(metrics.accuracy, 1.0);
        assert_eq!(
            metrics.confusion,
            ConfusionMatrix { true_negatives: 1, false_positives: 0, false_negatives: 0, true_positives: 1 }
        );
    }

    #[test]
    fn a_certain_mistake_costs_a_finite_log_loss() {
        let metrics = binary(&[1, 0], &[0.0, 1.0], 0.5).unwrap();
        assert!((metrics.log_loss - 36.043_653_389_117_15).abs() < 1e-12, "{}", metrics.log_loss);
        assert_eq!((metrics.roc_auc, metrics.precision, metrics.recall, metrics.f1), (0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn an_undefined_area_is_absent_from_the_names() {
        let named = binary(&[0, 0], &[0.1, 0.2], 0.5).unwrap().named();
        assert_eq!(named.get("roc_auc"), None);
        assert_eq!(named.get("precision"), Some(0.0));
    }
}
