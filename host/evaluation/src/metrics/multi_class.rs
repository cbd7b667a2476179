//! The metrics of a task with more than two classes.

use super::{MetricSet, Ranking, Sum, ranking, ratio};
use crate::Error;

/// How far the probabilities of a row may be from summing to 1.
const SUM_TOLERANCE: f64 = 1e-6;

/// The metrics of a multi-class task.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiClassMetrics {
    /// Mean over the classes of the area under the ROC curve of one class against the rest; NaN
    /// unless every class occurs.
    pub roc_auc_ovr: f64,
    /// Share of rows that are predicted correctly. The predicted class is the first of the most
    /// probable ones.
    pub accuracy: f64,
    /// Mean F1 of the classes that occur or are predicted.
    pub f1_macro: f64,
    /// Mean negative logarithm of the probability of the actual class, clipped to machine epsilon.
    pub log_loss: f64,
    /// Rows by actual and predicted class, `classes` x `classes`, one actual class after the other.
    pub confusion: Vec<u64>,
}

/// Computes the metrics of a multi-class task. Labels are indices of classes. `probabilities` has
/// `classes` numbers for each row, row by row.
///
/// # Errors
///
/// No rows, a number of probabilities other than rows times classes, an unknown class, a number
/// outside of 0 to 1, a row whose numbers do not sum to 1 within 1e-6.
pub fn multi_class(labels: &[u32], probabilities: &[f64], classes: usize) -> Result<MultiClassMetrics, Error> {
    check(labels, probabilities, classes)?;
    let mut confusion = vec![0_u64; classes * classes];
    let mut log_loss = Sum::default();
    for (&label, row) in labels.iter().zip(probabilities.chunks_exact(classes)) {
        let actual = label as usize;
        let predicted = (1..classes).fold(0, |best, class| if row[class] > row[best] { class } else { best });
        confusion[actual * classes + predicted] += 1;
        log_loss.add(-libm::log(row[actual].clamp(f64::EPSILON, 1.0 - f64::EPSILON)));
    }
    let right: u64 = (0..classes).map(|class| confusion[class * classes + class]).sum();
    let mut areas = Sum::default();
    for class in 0..classes {
        let of_class = labels.iter().map(|&label| label as usize == class);
        areas.add(Ranking::of_checked(of_class, probabilities.iter().copied().skip(class).step_by(classes)).roc_auc());
    }
    let rows = labels.len() as f64;
    Ok(MultiClassMetrics {
        roc_auc_ovr: areas.value() / classes as f64,
        accuracy: right as f64 / rows,
        f1_macro: f1_macro(&confusion, classes),
        log_loss: log_loss.value() / rows,
        confusion,
    })
}

impl MultiClassMetrics {
    /// Returns the metrics by name.
    #[must_use]
    pub fn named(&self) -> MetricSet {
        [
            ("roc_auc_ovr", self.roc_auc_ovr),
            ("accuracy", self.accuracy),
            ("f1_macro", self.f1_macro),
            ("log_loss", self.log_loss),
        ]
        .into_iter()
        .collect()
    }
}

fn f1_macro(confusion: &[u64], classes: usize) -> f64 {
    let mut sum = Sum::default();
    let mut counted = 0_u64;
    for class in 0..classes {
        let actual: u64 = confusion[class * classes..(class + 1) * classes].iter().sum();
        let predicted: u64 = confusion.iter().skip(class).step_by(classes).sum();
        if actual + predicted > 0 {
            sum.add(ratio(2 * confusion[class * classes + class], actual + predicted));
            counted += 1;
        }
    }
    sum.value() / counted as f64
}

fn check(labels: &[u32], probabilities: &[f64], classes: usize) -> Result<(), Error> {
    let expected = labels.len() * classes;
    if probabilities.len() != expected {
        return Err(Error::Length { expected, predictions: probabilities.len() });
    }
    if expected == 0 {
        return Err(Error::Empty);
    }
    if let Some(row) = labels.iter().position(|&label| label as usize >= classes) {
        return Err(Error::Label { row, label: labels[row].into(), classes });
    }
    for (row, values) in probabilities.chunks_exact(classes).enumerate() {
        ranking::probabilities(values).map_err(|error| match error {
            Error::Probability { value, .. } => Error::Probability { row, value },
            Error::NotFinite { value, .. } => Error::NotFinite { row, value },
            other => other,
        })?;
        let sum: f64 = values.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(Error::ProbabilitySum { row, sum });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_that_do_not_sum_to_one_are_refused_with_their_row() {
        let error = multi_class(&[0, 1], &[0.5, 0.5, 0.5, 0.6], 2).unwrap_err();
        assert!(matches!(error, Error::ProbabilitySum { row: 1, .. }), "{error}");
        let error = multi_class(&[0, 1], &[0.5, 0.5, -0.5, 1.5], 2).unwrap_err();
        assert_eq!(error, Error::Probability { row: 1, value: -0.5 });
        assert_eq!(multi_class(&[2], &[0.5, 0.5], 2).unwrap_err(), Error::Label { row: 0, label: 2, classes: 2 });
    }

    #[test]
    fn a_class_that_never_occurs_leaves_the_area_undefined() {
        let metrics = multi_class(&[0, 1], &[0.8, 0.1, 0.1, 0.2, 0.7, 0.1], 3).unwrap();
        assert!(metrics.roc_auc_ovr.is_nan());
        assert_eq!((metrics.accuracy, metrics.f1_macro), (1.0, 1.0));
    }
}
