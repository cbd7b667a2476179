//! Finds the best split of a node: XGBoost's gain (Chen and Guestrin, 2016, equation 7, without the
//! factor 1/2, as the libraries compute it) over the node's histogram, with a learnt direction for
//! missing values (section 3.4).

use crate::cells::{Scale, Sums};
use crate::histogram::{Histogram, Histograms};
use crate::matrix::BinnedMatrix;

/// The least gain that is not a rounding error.
const SMALLEST_GAIN: f64 = 1e-6;

/// The regularisation of leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Regularisation {
    /// L2: is added to each sum of hessians.
    pub(crate) lambda: f64,
    /// L1: each sum of gradients is moved towards 0 by this.
    pub(crate) alpha: f64,
    /// The least gain of a split.
    pub(crate) min_split_gain: f64,
    /// The least sum of hessians of a child.
    pub(crate) min_child_weight: f64,
    /// The least number of rows of a child, which is estimated from its share of the node's
    /// hessians as in LightGBM.
    pub(crate) min_samples_leaf: usize,
}

impl Regularisation {
    fn shrunk(&self, gradient: f64) -> f64 {
        if self.alpha == 0.0 { gradient } else { gradient.signum() * (gradient.abs() - self.alpha).max(0.0) }
    }

    /// Returns the reduction of the loss by a leaf with these sums, times two.
    fn score(&self, sums: Sums) -> f64 {
        let gradient = self.shrunk(sums.gradient);
        gradient * gradient / (sums.hessian + self.lambda)
    }

    /// Returns the value of a leaf that minimises the loss.
    pub(crate) fn leaf_value(&self, sums: Sums) -> f64 {
        let denominator = sums.hessian + self.lambda;
        if denominator > 0.0 { -self.shrunk(sums.gradient) / denominator } else { 0.0 }
    }
}

/// A possible split of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) gain: f64,
    pub(crate) feature: u32,
    pub(crate) bin: u8,
    pub(crate) missing_left: bool,
    /// The sum of the cells of the rows that go left.
    pub(crate) left: u64,
}

/// The search for the best split of a node.
struct Search<'a> {
    rules: &'a Regularisation,
    /// The size of a unit of gradient and of hessian.
    units: (f64, f64),
    total: u64,
    sums: Sums,
    /// The least sum of hessians of a child, by its weight and by its number of rows.
    least: f64,
    best: Option<Candidate>,
    /// The score of the two children to beat.
    bar: f64,
}

/// Returns the best split of a node with `rows` rows and the sum `total`, or `None` if no split
/// gains enough. Of equally good splits, it is that of the first feature and the lowest bin.
pub(crate) fn best_split(
    matrix: &BinnedMatrix,
    layout: &Histograms,
    histogram: &Histogram,
    wanted: &[bool],
    node: (u64, usize),
    scale: Scale,
    rules: &Regularisation,
) -> Option<Candidate> {
    let (total, rows) = node;
    let sums = scale.unpack(total);
    let share = (rules.min_samples_leaf as f64 - 0.5) / rows as f64;
    let parent = rules.score(sums);
    let mut search = Search {
        rules,
        units: scale.units(),
        total,
        sums,
        least: rules.min_child_weight.max(share * sums.hessian),
        best: None,
        bar: parent + rules.min_split_gain.max(SMALLEST_GAIN),
    };
    for (index, feature) in matrix.features.iter().enumerate() {
        if !wanted[index] || feature.bins.width() < 2 {
            continue;
        }
        let (values, missing) = histogram[layout.range(index)].split_at(feature.bins.value_bins());
        let missing = missing.first().copied().unwrap_or(0);
        if missing == 0 {
            search.scan(index, &values[..values.len() - 1], 0, None);
        } else {
            search.scan(index, values, 0, Some(false));
            search.scan(index, &values[..values.len() - 1], missing, Some(true));
        }
    }
    search.best.map(|best| Candidate { gain: best.gain - parent, ..best })
}

impl Search<'_> {
    /// Tries a split after each of `cells`. `start` always goes left. If no value is missing in the
    /// node, missing values of later rows follow the child with more weight.
    #[inline(never)]
    fn scan(&mut self, feature: usize, cells: &[u64], start: u64, missing_left: Option<bool>) {
        let (gradient_unit, hessian_unit) = self.units;
        let lambda = self.rules.lambda;
        let mut left = start;
        for (bin, &cell) in cells.iter().enumerate() {
            if cell == 0 {
                continue;
            }
            left = left.wrapping_add(cell);
            let left_hessian = f64::from(left as i32) * hessian_unit;
            let right_hessian = self.sums.hessian - left_hessian;
            if left_hessian < self.least {
                continue;
            }
            if right_hessian < self.least || left as u32 >= self.total as u32 {
                break;
            }
            let left_gradient = f64::from((left >> 32) as i32) * gradient_unit;
            let left_shrunk = self.rules.shrunk(left_gradient);
            let right_shrunk = self.rules.shrunk(self.sums.gradient - left_gradient);
            let (left_weight, right_weight) = (left_hessian + lambda, right_hessian + lambda);
            // Both scores have a common denominator and are compared without dividing, so only an
            // improvement costs a division.
            let numerator = left_shrunk * left_shrunk * right_weight + right_shrunk * right_shrunk * left_weight;
            let denominator = left_weight * right_weight;
            if numerator > self.bar * denominator {
                self.bar = numerator / denominator;
                self.best = Some(Candidate {
                    gain: self.bar,
                    feature: feature as u32,
                    bin: bin as u8,
                    missing_left: missing_left.unwrap_or(left_hessian >= right_hessian),
                    left,
                });
            }
        }
    }
}
