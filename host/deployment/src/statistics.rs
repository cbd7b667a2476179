//! Comparisons of two arms.
//!
//! - Proportions: Newcombe's interval from two Wilson intervals (Statistics in Medicine 17, 1998,
//!   method 10), which keeps its level for rare outcomes too, and the pooled z-test.
//! - Means: Welch's interval and t-test, which suppose no equal variances.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// Positive outcomes of a number of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proportion {
    /// The positive ones.
    pub positives: u64,
    /// All.
    pub count: u64,
}

/// A sample of values by its moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The number of values, at least 2.
    count: u64,
    mean: f64,
    /// With the divisor `count - 1`.
    variance: f64,
}

/// The difference of two arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The figure of the treatment less that of the control.
    pub difference: f64,
    /// The lower end of the confidence interval of the difference.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How likely a difference of this size or more is, either way, if there is none: from 0 to 1.
    pub p_value: f64,
}

impl Proportion {
    /// Returns the share of positive outcomes; `None` without outcomes.
    pub fn rate(self) -> Option<f64> {
        (self.count > 0).then(|| self.positives as f64 / self.count as f64)
    }

    /// Returns Wilson's interval for a quantile of the normal distribution.
    fn wilson(self, z: f64) -> (f64, f64) {
        let (positives, count, square) = (self.positives as f64, self.count as f64, z * z);
        let middle = (positives + square / 2.0) / (count + square);
        let spread = positives * (count - positives) / count + square / 4.0;
        let half = z * spread.max(0.0).sqrt() / (count + square);
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

impl Mean {
    /// Returns the mean of values given by their number, sum and sum of squares; `None` for fewer
    /// than two values.
    ///
    /// The subtraction loses digits where values are large and near to each other. The variance is
    /// taken as at least the size of that loss, so that no difference is made of rounding.
    pub fn of_sums(count: u64, sum: f64, sum_of_squares: f64) -> Option<Self> {
        if count < 2 {
            return None;
        }
        let number = count as f64;
        let mean = sum / number;
        let rounding = sum_of_squares.abs() * f64::EPSILON;
        let variance = (sum_of_squares - sum * mean).max(rounding) / (number - 1.0);
        Some(Self { count, mean, variance })
    }
}

/// Compares two proportions. `None` if an arm has no outcome.
pub fn proportions(control: Proportion, treatment: Proportion, confidence: f64) -> Option<Comparison> {
    let (before, after) = (control.rate()?, treatment.rate()?);
    let normal = Normal::standard();
    let z = normal.inverse_cdf(f64::midpoint(1.0, confidence));
    let ((low_before, high_before), (low_after, high_after)) = (control.wilson(z), treatment.wilson(z));
    let difference = after - before;
    let (counts, positives) = (control.count + treatment.count, control.positives + treatment.positives);
    let pooled = positives as f64 / counts as f64;
    let inverse = 1.0 / control.count as f64 + 1.0 / treatment.count as f64;
    let error = (pooled * (1.0 - pooled) * inverse).sqrt();
    // Without an error, all outcomes are alike: there is no difference.
    let p_value = if error > 0.0 { 2.0 * normal.sf((difference / error).abs()) } else { 1.0 };
    Some(Comparison {
        difference,
        low: difference - (after - low_after).hypot(high_before - before),
        high: difference + (high_after - after).hypot(before - low_before),
        p_value: p_value.min(1.0),
    })
}

/// Compares two means. `None` if the values do not vary at all.
pub fn means(control: Mean, treatment: Mean, confidence: f64) -> Option<Comparison> {
    let difference = treatment.mean - control.mean;
    let part = |it: Mean| it.variance / it.count as f64;
    let (before, after) = (part(control), part(treatment));
    let error = (before + after).sqrt();
    let freedom = (before + after).powi(2)
        / (before.powi(2) / (control.count - 1) as f64 + after.powi(2) / (treatment.count - 1) as f64);
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let half = student.inverse_cdf(f64::midpoint(1.0, confidence)) * error;
    let p_value = (2.0 * student.sf((difference / error).abs())).min(1.0);
    (error > 0.0).then_some(Comparison { difference, low: difference - half, high: difference + half, p_value })
}
