//! The metrics of a regression.

use super::{MetricSet, Sum};
use crate::Error;

/// The metrics of a regression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegressionMetrics {
    /// Root mean squared error, in the target's unit.
    pub rmse: f64,
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Share of the target's variance that is explained; negative if the prediction is worse than
    /// the mean. For a constant target, 1 if it is predicted exactly, else 0. NaN for a single row.
    pub r2: f64,
}

/// Computes the metrics of a regression.
///
/// # Errors
///
/// No rows, different numbers of predictions and values, a non-finite prediction or value.
pub fn regression(actual: &[f64], predicted: &[f64]) -> Result<RegressionMetrics, Error> {
    if actual.len() != predicted.len() {
        return Err(Error::Length { expected: actual.len(), predictions: predicted.len() });
    }
    if actual.is_empty() {
        return Err(Error::Empty);
    }
    for values in [actual, predicted] {
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { row, value: values[row] });
        }
    }
    let rows = actual.len() as f64;
    let mut sum = Sum::default();
    actual.iter().for_each(|value| sum.add(*value));
    let mean = sum.value() / rows;
    let (mut squared, mut absolute, mut spread) = (Sum::default(), Sum::default(), Sum::default());
    for (value, prediction) in actual.iter().zip(predicted) {
        let error = value - prediction;
        squared.add(error * error);
        absolute.add(error.abs());
        spread.add((value - mean) * (value - mean));
    }
    let r2 = match (actual.len(), squared.value(), spread.value()) {
        (1, _, _) => f64::NAN,
        (_, 0.0, _) => 1.0,
        (_, _, 0.0) => 0.0,
        (_, squared, spread) => 1.0 - squared / spread,
    };
    Ok(RegressionMetrics { rmse: (squared.value() / rows).sqrt(), mae: absolute.value() / rows, r2 })
}

impl RegressionMetrics {
    /// Returns the metrics by name.
    #[must_use]
    pub fn named(&self) -> MetricSet {
        [("rmse", self.rmse), ("mae", self.mae), ("r2", self.r2)].into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_that_is_not_finite_is_named_with_its_row() {
        let error = regression(&[1.0, 2.0], &[1.0, f64::INFINITY]).unwrap_err();
        assert_eq!(error, Error::NotFinite { row: 1, value: f64::INFINITY });
    }
}
