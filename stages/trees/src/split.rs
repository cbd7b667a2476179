//! The best split of a node: XGBoost's gain (Chen and Guestrin, 2016, equation 7, without the factor 1/2, as the
//! libraries compute it) over a node's histogram, with a learned direction for missing values (section 3.4).

use crate::cells::{Scale, Sums};
use crate::histogram::{Histogram, Histograms};
use crate::matrix::BinnedMatrix;

/// A gain below this is rounding, not structure.
const SMALLEST_GAIN: f64 = 1e-6;

/// What keeps leaves from following single rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Regularisation {
    /// L2: added to every sum of hessians.
    pub(crate) lambda: f64,
    /// L1: every sum of gradients is moved this much towards 0.
    pub(crate) alpha: f64,
    /// What a split must gain.
    pub(crate) min_split_gain: f64,
    /// The least sum of hessians of a child.
    pub(crate) min_child_weight: f64,
    /// The least number of rows of a child, estimated from its share of the node's hessians as LightGBM does.
    pub(crate) min_samples_leaf: usize,
}

impl Regularisation {
    fn shrunk(&self, gradient: f64) -> f64 {
        if self.alpha == 0.0 { gradient } else { gradient.signum() * (gradient.abs() - self.alpha).max(0.0) }
    }

    /// How much a leaf of these sums lowers the loss (times two).
    fn score(&self, sums: Sums) -> f64 {
        let gradient = self.shrunk(sums.gradient);
        gradient * gradient / (sums.hessian + self.lambda)
    }

    /// The value of a leaf that lowers the loss the most.
    pub(crate) fn leaf_value(&self, sums: Sums) -> f64 {
        let denominator = sums.hessian + self.lambda;
        if denominator > 0.0 { -self.shrunk(sums.gradient) / denominator } else { 0.0 }
    }
}

/// A split that a node could have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) gain: f64,
    pub(crate) feature: u32,
    pub(crate) bin: u8,
    pub(crate) missing_left: bool,
    /// The sum of the cells that go left.
    pub(crate) left: u64,
}

/// A node whose best split is sought.
struct Search<'a> {
    rules: &'a Regularisation,
    /// The size of a unit of gradient and of hessian.
    units: (f64, f64),
    total: u64,
    sums: Sums,
    /// The least sum of hessians of a child, by weight and by rows.
    least: f64,
    best: Option<Candidate>,
    /// The two children's score that is to beat.
    bar: f64,
}

/// The best split of a node of `rows` rows and the sum `total`; none if none gains enough. Of equally good ones, the one of the
/// first feature and the lowest bin.
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
    /// Tries a split after each of `cells`. `start` goes left in any case. Without missing values in the node, those of later rows follow
    /// the heavier child.
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
            // Both scores over one denominator, compared without dividing: only an improvement costs a division.
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
