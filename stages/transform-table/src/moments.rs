//! Mean and standard deviation of a stream of values, for scaling.

/// The count, the mean and the sum of squared deviations of the values so far.
///
/// Each chunk is summed on its own and merged with the others (Chan, Golub, LeVeque: "Algorithms
/// for computing the sample variance", 1983, formula 2.1). This is faster and more exact than
/// adding value by value (Welford).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds finite values.
    pub(crate) fn add(&mut self, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        // Corrects the rounding of the first sum, so that the mean of equal values is exactly that
        // value.
        let mean = mean + values.iter().map(|value| value - mean).sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        self.join(Self { count, mean, squares });
    }

    /// Adds one finite value `count` times.
    pub(crate) fn add_repeated(&mut self, value: f64, count: u64) {
        if count > 0 {
            self.join(Self { count: count as f64, mean: value, squares: 0.0 });
        }
    }

    fn join(&mut self, other: Self) {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        self.mean += apart * (other.count / count);
        self.squares += other.squares + apart * apart * (self.count * other.count / count);
        self.count = count;
    }

    /// Returns the mean, or `None` without values.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then_some(self.mean)
    }

    /// Returns the divisor of standardised values: the population standard deviation, or 1 if the
    /// values are constant except for rounding (scikit-learn's rule, `_is_constant_feature`).
    pub(crate) fn scale(&self) -> f64 {
        let variance = if self.count > 0.0 { self.squares / self.count } else { 0.0 };
        let rounding = self.count * self.mean * f64::EPSILON;
        let constant = variance <= self.count * f64::EPSILON * variance + rounding * rounding;
        if constant { 1.0 } else { variance.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_give_what_the_whole_gives() {
        let values: Vec<f64> = (0..1000).map(|index| 1e6 + f64::from(index * index % 97)).collect();
        let mut whole = Moments::default();
        whole.add(&values);
        let mut chunked = Moments::default();
        for chunk in values.chunks(7) {
            chunked.add(chunk);
        }
        assert!((whole.mean().unwrap() - chunked.mean().unwrap()).abs() < 1e-9);
        assert!((whole.scale() - chunked.scale()).abs() < 1e-9);
    }

    #[test]
    fn a_constant_column_has_scale_1() {
        for constant in [0.0, 0.1, 1e12] {
            let mut moments = Moments::default();
            for _ in 0..100 {
                moments.add(&[constant; 3]);
            }
            assert_eq!(moments.scale(), 1.0, "{constant}");
        }
        assert_eq!(Moments::default().scale(), 1.0);
    }

    #[test]
    fn figures_equal_those_of_scikit_learn() {
        // scikit-learn's StandardScaler on the same values: mean_ 3.7, scale_ 2.6.
        let mut moments = Moments::default();
        moments.add(&[1.0, 2.0, 3.0]);
        moments.add(&[4.0, 8.5]);
        assert!((moments.mean().unwrap() - 3.7).abs() < 1e-12);
        assert!((moments.scale() - 6.76_f64.sqrt()).abs() < 1e-12);
    }
}
