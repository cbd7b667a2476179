//! The ranking of rows: gain, lift, and whether one model ranks better than another by more than
//! chance.

/// Returns the share of all positives among the rows with the best scores, at each of `points`
/// equal shares of the rows, from 0 to 1. Ties count by their average.
pub fn gain(scores: &[f64], classes: &[bool], points: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let positives = classes.iter().filter(|&&class| class).count() as f64;
    // The number of positives up to each row. A group of ties is spread evenly over its rows.
    let mut found = vec![0.0; order.len() + 1];
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let rate = group.iter().filter(|&&row| classes[row]).count() as f64 / group.len() as f64;
        for offset in 0..group.len() {
            found[start + offset + 1] = found[start] + rate * (offset + 1) as f64;
        }
        start += group.len();
    }
    let at = |point: usize| {
        let place = point as f64 / points as f64 * order.len() as f64;
        let below = (place as usize).min(order.len().saturating_sub(1));
        let between = place - below as f64;
        (found[below] + between * (found[below + 1] - found[below])) / positives
    };
    (0..=points).map(at).collect()
}

/// The areas under the ROC curve of one or two models on the same rows, with their covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The areas, which are equal for one model.
    pub areas: [f64; 2],
    /// Their covariance matrix: variance of the first, variance of the second, covariance.
    pub variances: [f64; 3],
}

impl Comparison {
    /// Computes DeLong's test (DeLong, DeLong and Clarke-Pearson, "Comparing the Areas under Two or
    /// More Correlated Receiver Operating Characteristic Curves", Biometrics 44, 1988) by midranks
    /// (Sun and Xu, "Fast Implementation of DeLong's Algorithm", IEEE Signal Processing Letters 21,
    /// 2014), in `n log n`. The result is NaN if a class has fewer than two rows.
    pub fn new(first: &[f64], second: &[f64], classes: &[bool]) -> Self {
        let (first, second) = (Placements::new(first, classes), Placements::new(second, classes));
        let covariance = |a: &Placements, b: &Placements| {
            covariance(&a.positives, &b.positives) / a.positives.len() as f64
                + covariance(&a.negatives, &b.negatives) / a.negatives.len() as f64
        };
        Self {
            areas: [mean(&first.positives), mean(&second.positives)],
            variances: [covariance(&first, &first), covariance(&second, &second), covariance(&first, &second)],
        }
    }

    /// Returns the difference of the areas, and its bounds at a level of confidence.
    pub fn difference(&self, confidence: f64) -> [f64; 3] {
        let difference = self.areas[0] - self.areas[1];
        let reach = normal_quantile(0.5 + confidence / 2.0) * self.deviation();
        [difference, difference - reach, difference + reach]
    }

    /// Returns the two-sided p-value: the probability of a difference at least as large if both
    /// models rank equally well.
    pub fn p_value(&self) -> f64 {
        let difference = (self.areas[0] - self.areas[1]).abs();
        if difference == 0.0 {
            return 1.0;
        }
        libm::erfc(difference / self.deviation() / std::f64::consts::SQRT_2)
    }

    /// Returns the bounds of the first area at a level of confidence, within 0 and 1.
    pub fn first_area(&self, confidence: f64) -> [f64; 2] {
        let reach = normal_quantile(0.5 + confidence / 2.0) * self.variances[0].max(0.0).sqrt();
        [(self.areas[0] - reach).max(0.0), (self.areas[0] + reach).min(1.0)]
    }

    /// Rounding may make the variance of nearly equal models negative.
    fn deviation(&self) -> f64 {
        let [first, second, between] = self.variances;
        let variance = first + second - 2.0 * between;
        if variance < 0.0 { 0.0 } else { variance.sqrt() }
    }
}

/// Returns, for each positive row, the share of negatives below it, and for each negative, the
/// share of positives above it. Ties count half.
struct Placements {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Placements {
    fn new(scores: &[f64], classes: &[bool]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let positive_rows = classes.iter().filter(|&&class| class).count() as f64;
        let negative_rows = classes.len() as f64 - positive_rows;
        let mut placement = vec![0.0; scores.len()];
        let (mut positives_below, mut negatives_below) = (0.0, 0.0);
        for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let positives = group.iter().filter(|&&row| classes[row]).count() as f64;
            let negatives = group.len() as f64 - positives;
            for &row in group {
                placement[row] = if classes[row] {
                    (negatives_below + negatives / 2.0) / negative_rows
                } else {
                    1.0 - (positives_below + positives / 2.0) / positive_rows
                };
            }
            positives_below += positives;
            negatives_below += negatives;
        }
        let of = |wanted: bool| {
            let rows = placement.iter().zip(classes).filter(|(_, class)| **class == wanted);
            rows.map(|(placement, _)| *placement).collect()
        };
        Self { positives: of(true), negatives: of(false) }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(left: &[f64], right: &[f64]) -> f64 {
    let (left_mean, right_mean) = (mean(left), mean(right));
    let products = left.iter().zip(right).map(|(a, b)| (a - left_mean) * (b - right_mean));
    products.sum::<f64>() / (left.len() as f64 - 1.0)
}

/// Returns where the standard normal distribution function reaches `p`, by bisection to the last
/// significant bit.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [bool; 8] = [false, false, false, false, true, true, true, true];

    #[test]
    fn the_normal_quantile_is_the_tabulated_one() {
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
    }

    #[test]
    fn ties_count_half_in_the_area() {
        let comparison = Comparison::new(&[0.5; 8], &[0.5; 8], &CLASSES);
        assert_eq!(comparison.areas, [0.5, 0.5]);
    }

    #[test]
    fn variance_and_covariance_match_the_definition_by_pairs() {
        let first = [0.1, 0.4, 0.3, 0.6, 0.5, 0.8, 0.4, 0.9];
        let second = [0.2, 0.3, 0.5, 0.4, 0.6, 0.4, 0.5, 0.7];
        let kernel = |scores: &[f64; 8], p: usize, n: usize| match scores[p].total_cmp(&scores[n]) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let by_positive =
            |scores| -> Vec<f64> { (4..8).map(|p| (0..4).map(|n| kernel(scores, p, n)).sum::<f64>() / 4.0).collect() };
        let by_negative =
            |scores| -> Vec<f64> { (0..4).map(|n| (4..8).map(|p| kernel(scores, p, n)).sum::<f64>() / 4.0).collect() };
        let expected = |a, b| {
            covariance(&by_positive(a), &by_positive(b)) / 4.0 + covariance(&by_negative(a), &by_negative(b)) / 4.0
        };
        let found = Comparison::new(&first, &second, &CLASSES);
        for (found, expected) in found.variances.iter().zip([
            expected(&first, &first),
            expected(&second, &second),
            expected(&first, &second),
        ]) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let scores = [0.1, 0.4, 0.3, 0.6, 0.5, 0.8, 0.4, 0.9];
        let comparison = Comparison::new(&scores, &scores, &CLASSES);
        assert_eq!(comparison.difference(0.95), [0.0, 0.0, 0.0]);
        assert_eq!(comparison.p_value(), 1.0);
    }

    #[test]
    fn gain_finds_every_positive_first_if_the_ranking_is_perfect() {
        let scores = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9];
        assert_eq!(gain(&scores, &CLASSES, 4), [0.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn gain_of_equal_scores_is_the_diagonal() {
        assert_eq!(gain(&[0.5; 8], &CLASSES, 4), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }
}
