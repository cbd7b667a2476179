//! L2-penalised logistic regression by a truncated Newton method.
//!
//! Like scikit-learn's `LogisticRegression`, this minimises
//!
//! ```text
//! C * sum(s_i * log(1 + exp(-y_i * z_i))) + |w|^2 / 2,  z = X w + b
//! ```
//!
//! with `y` in {-1, 1} and the intercept `b` unpenalised, divided here by `C * sum(s_i)`. Newton's
//! direction comes from conjugate gradients on products with the Hessian, which is never built
//! (Lin, Weng and Keerthi, "Trust Region Newton Method for Large-Scale Logistic Regression", JMLR
//! 9, 2008), preconditioned by its diagonal (Hsia, Chiang and Lin, "Preconditioned Conjugate
//! Gradient Methods in Truncated Newton Frameworks", ACML 2018), with a backtracking line search.
//! So time and memory are proportional to rows times features. With an intercept, columns are
//! centred implicitly: this changes the intercept, not the coefficients, and columns far from zero
//! (years, timestamps) converge as fast as scaled ones.
//!
//! linfa-logistic's L-BFGS was rejected: it takes no weights, and depends on an optimiser framework
//! that needs a clock. This module implements linfa's `Fit` and `PredictInplace`.

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayView2, ShapeBuilder};

use crate::lanes::{LANES, Lanes};

/// The number of rows of a block, whose vectors stay in the first-level cache.
const BLOCK: usize = 512;

/// The most products with the Hessian for a direction. Each costs a pass over the data, so an
/// unfinished direction is used then.
const MAX_PRODUCTS: usize = 100;

/// The most halvings of a step. 2^-30 of a Newton step changes nothing in the digits of a double.
const MAX_HALVINGS: u32 = 30;

/// Why a fit failed.
#[derive(Debug, thiserror::Error)]
pub enum SolverError {
    /// All rows are of one class.
    #[error("the target has one class only")]
    OneClass,
    /// linfa rejected the dataset.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// The options of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// The inverse strength of the L2 penalty; positive.
    pub c: f64,
    /// The most Newton steps.
    pub max_iterations: u32,
    /// The fit has converged when no component of the gradient of the mean loss, per standard
    /// deviation of its feature, is larger than this.
    pub tolerance: f64,
    /// Whether the model has an intercept.
    pub fit_intercept: bool,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The coefficient of each feature.
    pub coefficients: Vec<f64>,
    /// The intercept.
    pub intercept: f64,
    /// The weighted standard deviation of each feature in the training rows.
    pub deviations: Vec<f64>,
    /// The number of Newton steps.
    pub iterations: u32,
    /// Whether the tolerance was reached.
    pub converged: bool,
    /// The objective (mean loss and penalty) after each step.
    pub losses: Vec<f64>,
}

impl LogisticRegression {
    /// Fits a model to `values` (rows by features, finite) and `target` (true for the positive
    /// class). `weights` has a positive weight for each row, 1 if `None`.
    ///
    /// # Errors
    /// [`SolverError::OneClass`].
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn fit_weighted(
        &self,
        values: ArrayView2<'_, f64>,
        target: &[bool],
        weights: Option<&[f64]>,
    ) -> Result<Fitted, SolverError> {
        assert_eq!(values.nrows(), target.len());
        assert!(weights.is_none_or(|weights| weights.len() == target.len()));
        if target.iter().all(|&positive| positive) || target.iter().all(|&positive| !positive) {
            return Err(SolverError::OneClass);
        }
        // Blocks of columns must be contiguous.
        let owned: Array2<f64>;
        let columns = if values.t().is_standard_layout() {
            values.reborrow()
        } else {
            let mut copy = Array2::zeros(values.raw_dim().f());
            copy.assign(&values);
            owned = copy;
            owned.view()
        };
        let problem = Problem::new(self, columns, target, weights);
        Ok(problem.solve(self))
    }
}

/// The data, and everything that stays constant during the fit.
struct Problem<'a> {
    /// The values, column after column.
    values: &'a [f64],
    rows: usize,
    features: usize,
    target: &'a [bool],
    /// The share of each row; the shares sum to 1.
    shares: Vec<f64>,
    /// The means of the features; 0 without an intercept.
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// `1 / (C * sum of weights)`.
    penalty: f64,
    fit_intercept: bool,
}

/// A point of the search: everything that depends on the coefficients.
struct Point {
    /// The coefficients of the centred features, then the intercept.
    coefficients: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
    /// `share * p * (1 - p)` of each row.
    curvature: Vec<f64>,
}

impl<'a> Problem<'a> {
    fn new(
        settings: &LogisticRegression,
        values: ArrayView2<'a, f64>,
        target: &'a [bool],
        weights: Option<&[f64]>,
    ) -> Self {
        let (rows, features) = values.dim();
        let values = values.reversed_axes().to_slice().expect("the caller made columns contiguous");
        let total = weights.map_or(rows as f64, |weights| weights.iter().sum());
        let shares = match weights {
            Some(weights) => weights.iter().map(|weight| weight / total).collect(),
            None => vec![1.0 / total; rows],
        };
        let mut problem = Self {
            values,
            rows,
            features,
            target,
            shares,
            means: vec![0.0; features],
            deviations: vec![0.0; features],
            penalty: 1.0 / (settings.c * total),
            fit_intercept: settings.fit_intercept,
        };
        for feature in 0..features {
            let column = problem.column(feature);
            let mean = dot(column, &problem.shares);
            problem.deviations[feature] = squares_about(mean, column, &problem.shares).sqrt();
            if problem.fit_intercept {
                problem.means[feature] = mean;
            }
        }
        problem
    }

    fn column(&self, feature: usize) -> &'a [f64] {
        &self.values[feature * self.rows..(feature + 1) * self.rows]
    }

    fn solve(&self, settings: &LogisticRegression) -> Fitted {
        let mut point = self.at(vec![0.0; self.features + 1]);
        let mut losses = Vec::new();
        let mut converged = self.is_flat(&point, settings.tolerance);
        while !converged && losses.len() < settings.max_iterations as usize {
            let direction = self.direction(&point);
            let Some(next) = self.descend(&point, &direction) else {
                // No step improves the loss: only rounding errors are left of the gradient.
                converged = true;
                break;
            };
            point = next;
            losses.push(point.loss);
            converged = self.is_flat(&point, settings.tolerance);
        }
        let mut coefficients = point.coefficients;
        let centred = coefficients.pop().unwrap_or_default();
        let intercept = centred - dot(&coefficients, &self.means);
        Fitted {
            coefficients,
            intercept,
            deviations: self.deviations.clone(),
            iterations: losses.len() as u32,
            converged,
            losses,
        }
    }

    /// Returns whether the gradient is small, measured as if every feature had standard deviation
    /// 1.
    fn is_flat(&self, point: &Point, tolerance: f64) -> bool {
        let scales = self.deviations.iter().map(|&deviation| if deviation > 0.0 { deviation } else { 1.0 });
        point.gradient.iter().zip(scales.chain([1.0])).all(|(slope, scale)| slope.abs() <= tolerance * scale)
    }

    /// Computes loss, gradient and curvature at some coefficients.
    fn at(&self, coefficients: Vec<f64>) -> Point {
        let (slopes, intercept) = coefficients.split_at(self.features);
        let shift = intercept[0] - dot(slopes, &self.means);
        let mut curvature = vec![0.0; self.rows];
        let mut gradient = vec![0.0; self.features + 1];
        let mut loss = 0.5 * self.penalty * dot(slopes, slopes);
        let mut sums = [0.0; BLOCK];
        for start in (0..self.rows).step_by(BLOCK) {
            let end = self.rows.min(start + BLOCK);
            let sums = &mut sums[..end - start];
            self.block_sums(start, slopes, shift, sums);
            for (offset, sum) in sums.iter_mut().enumerate() {
                let row = start + offset;
                let share = self.shares[row];
                let margin = if self.target[row] { *sum } else { -*sum };
                // exp(-|margin|) never overflows, and gives both the loss and the probability.
                let tail = (-margin.abs()).exp();
                loss += share * (tail.ln_1p() + (-margin).max(0.0));
                let wrong = if margin >= 0.0 { tail / (1.0 + tail) } else { 1.0 / (1.0 + tail) };
                curvature[row] = share * wrong * (1.0 - wrong);
                *sum = if self.target[row] { -share * wrong } else { share * wrong };
            }
            self.block_products(start, sums, &mut gradient);
        }
        self.finish_product(&mut gradient, slopes);
        Point { coefficients, loss, gradient, curvature }
    }

    /// Computes `sums[i] = x[start + i] * slopes + shift`, for centred rows if `shift` contains the
    /// part of the means.
    fn block_sums(&self, start: usize, slopes: &[f64], shift: f64, sums: &mut [f64]) {
        sums.fill(shift);
        let end = start + sums.len();
        let (fours, rest) = slopes.as_chunks::<4>();
        for (four, slopes) in fours.iter().enumerate() {
            add_four(sums, std::array::from_fn(|place| &self.column(4 * four + place)[start..end]), slopes);
        }
        for (feature, &slope) in (4 * fours.len()..).zip(rest) {
            add_scaled(sums, slope, &self.column(feature)[start..end]);
        }
    }

    /// Adds the block's part of `X' residuals`, not yet centred, and of the sum of the residuals.
    fn block_products(&self, start: usize, residuals: &[f64], product: &mut [f64]) {
        let end = start + residuals.len();
        let (sums, total) = product.split_at_mut(self.features);
        let (pairs, rest) = sums.as_chunks_mut::<2>();
        let last = 2 * pairs.len();
        for (pair, sums) in pairs.iter_mut().enumerate() {
            let columns = [2 * pair, 2 * pair + 1].map(|feature| &self.column(feature)[start..end]);
            let products = dot_two(columns, residuals);
            sums[0] += products[0];
            sums[1] += products[1];
        }
        for (feature, sum) in (last..).zip(rest) {
            *sum += dot(&self.column(feature)[start..end], residuals);
        }
        total[0] += sum_of(residuals);
    }

    /// Centres a product and adds the part of the penalty.
    fn finish_product(&self, product: &mut [f64], slopes: &[f64]) {
        let (sums, total) = product.split_at_mut(self.features);
        for ((sum, mean), slope) in sums.iter_mut().zip(&self.means).zip(slopes) {
            *sum += self.penalty * slope - mean * total[0];
        }
        if !self.fit_intercept {
            total[0] = 0.0;
        }
    }

    /// Multiplies the Hessian at a point with a vector.
    fn hessian_product(&self, point: &Point, vector: &[f64]) -> Vec<f64> {
        let (slopes, intercept) = vector.split_at(self.features);
        let shift = intercept[0] - dot(slopes, &self.means);
        let mut product = vec![0.0; self.features + 1];
        let mut sums = [0.0; BLOCK];
        for start in (0..self.rows).step_by(BLOCK) {
            let end = self.rows.min(start + BLOCK);
            let sums = &mut sums[..end - start];
            self.block_sums(start, slopes, shift, sums);
            for (sum, curvature) in sums.iter_mut().zip(&point.curvature[start..end]) {
                *sum *= curvature;
            }
            self.block_products(start, sums, &mut product);
        }
        self.finish_product(&mut product, slopes);
        product
    }

    /// Returns the diagonal of the Hessian, for the preconditioner, with 1 for 0.
    fn hessian_diagonal(&self, point: &Point) -> Vec<f64> {
        let feature =
            |feature: usize| squares_about(self.means[feature], self.column(feature), &point.curvature) + self.penalty;
        let mut diagonal: Vec<f64> = (0..self.features).map(feature).collect();
        diagonal.push(if self.fit_intercept { sum_of(&point.curvature) } else { 1.0 });
        for entry in &mut diagonal {
            if *entry <= 0.0 {
                *entry = 1.0;
            }
        }
        diagonal
    }

    /// Solves `Hessian * direction = -gradient` approximately, the more exactly the smaller the
    /// gradient.
    fn direction(&self, point: &Point) -> Vec<f64> {
        let diagonal = self.hessian_diagonal(point);
        let precondition = |residual: &[f64]| residual.iter().zip(&diagonal).map(|(r, d)| r / d).collect::<Vec<_>>();
        let mut direction = vec![0.0; self.features + 1];
        let mut residual: Vec<f64> = point.gradient.iter().map(|slope| -slope).collect();
        let mut preconditioned = precondition(&residual);
        let mut search = preconditioned.clone();
        let mut norm = dot(&residual, &preconditioned);
        // Superlinear convergence (Dembo, Eisenstat and Steihaug, "Inexact Newton Methods", 1982).
        let enough = norm * norm.sqrt().min(0.25);
        for _ in 0..MAX_PRODUCTS {
            if norm <= enough || norm == 0.0 {
                break;
            }
            let product = self.hessian_product(point, &search);
            let curvature = dot(&search, &product);
            if curvature <= 0.0 {
                break;
            }
            let step = norm / curvature;
            add_scaled(&mut direction, step, &search);
            add_scaled(&mut residual, -step, &product);
            preconditioned = precondition(&residual);
            let next = dot(&residual, &preconditioned);
            let keep = next / norm;
            norm = next;
            for (search, new) in search.iter_mut().zip(&preconditioned) {
                *search = new + keep * *search;
            }
        }
        direction
    }

    /// Returns the first of the steps 1, 1/2, 1/4, ... that lowers the loss enough (Armijo), or
    /// `None` if none does.
    fn descend(&self, point: &Point, direction: &[f64]) -> Option<Point> {
        let slope = dot(&point.gradient, direction);
        let mut step = 1.0;
        for _ in 0..MAX_HALVINGS {
            let mut coefficients = point.coefficients.clone();
            add_scaled(&mut coefficients, step, direction);
            let next = self.at(coefficients);
            if next.loss < point.loss && next.loss <= point.loss + 1e-4 * step * slope {
                return Some(next);
            }
            step *= 0.5;
        }
        None
    }
}

#[inline(never)]
fn add_scaled(vector: &mut [f64], factor: f64, other: &[f64]) {
    for (value, other) in vector.iter_mut().zip(other) {
        *value += factor * other;
    }
}

/// Adds four columns, each times its slope, in their order. `sums` are loaded and stored once
/// instead of four times.
// A separate function, like all hot loops here: within a large function, Wasm's compiler keeps the
// loop's values on the stack.
#[inline(never)]
fn add_four(sums: &mut [f64], columns: [&[f64]; 4], slopes: &[f64; 4]) {
    let [a, b, c, d] = columns.map(|column| &column[..sums.len()]);
    let [by_a, by_b, by_c, by_d] = *slopes;
    for (row, sum) in sums.iter_mut().enumerate() {
        *sum = *sum + by_a * a[row] + by_b * b[row] + by_c * c[row] + by_d * d[row];
    }
}

/// Returns the inner product, summed in lanes.
#[inline(never)]
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks(), right.as_chunks());
    let mut lanes = Lanes::default();
    for (a, b) in left.iter().zip(right) {
        lanes.add(Lanes::of(a).times(Lanes::of(b)));
    }
    lanes.sum() + left_rest.iter().zip(right_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Returns the inner products of two columns with the same numbers, each as [`dot`] sums it. The
/// numbers are loaded once.
#[inline(never)]
fn dot_two(columns: [&[f64]; 2], right: &[f64]) -> [f64; 2] {
    let ([first, second], (right, right_rest)) = (columns.map(<[f64]>::as_chunks), right.as_chunks());
    let (mut of_first, mut of_second) = (Lanes::default(), Lanes::default());
    for ((a, b), right) in first.0.iter().zip(second.0).zip(right) {
        let right = Lanes::of(right);
        of_first.add(Lanes::of(a).times(right));
        of_second.add(Lanes::of(b).times(right));
    }
    let whole = |lanes: Lanes, rest: &[f64]| lanes.sum() + rest.iter().zip(right_rest).map(|(a, b)| a * b).sum::<f64>();
    [whole(of_first, first.1), whole(of_second, second.1)]
}

/// Returns the sum, in lanes.
fn sum_of(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks();
    let mut lanes = Lanes::default();
    for chunk in chunks {
        lanes.add(Lanes::of(chunk));
    }
    lanes.sum() + rest.iter().sum::<f64>()
}

/// Returns the weighted sum of squared distances from `centre`, in lanes.
#[inline(never)]
fn squares_about(centre: f64, values: &[f64], weights: &[f64]) -> f64 {
    let ((values, values_rest), (weights, weights_rest)) = (values.as_chunks(), weights.as_chunks());
    let centres = Lanes::of(&[centre; LANES]);
    let mut lanes = Lanes::default();
    for (x, weight) in values.iter().zip(weights) {
        let distance = Lanes::of(x).minus(centres);
        lanes.add(Lanes::of(weight).times(distance).times(distance));
    }
    let square = |(x, weight): (&f64, &f64)| weight * (x - centre) * (x - centre);
    lanes.sum() + values_rest.iter().zip(weights_rest).map(square).sum::<f64>()
}

impl Fitted {
    /// Returns the probability of the positive class for each row of `values`, rows by features.
    pub fn probabilities(&self, values: ArrayView2<'_, f64>) -> Vec<f64> {
        let mut sums = vec![self.intercept; values.nrows()];
        for (column, &coefficient) in values.columns().into_iter().zip(&self.coefficients) {
            for (sum, x) in sums.iter_mut().zip(column) {
                *sum += coefficient * x;
            }
        }
        sums.into_iter().map(sigmoid).collect()
    }
}

/// Returns `1 / (1 + exp(-x))`, without overflow.
pub fn sigmoid(x: f64) -> f64 {
    let tail = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + tail) } else { tail / (1.0 + tail) }
}

impl Fit<Array2<f64>, Array1<bool>, SolverError> for LogisticRegression {
    type Object = Fitted;

    fn fit(&self, dataset: &DatasetBase<Array2<f64>, Array1<bool>>) -> Result<Fitted, SolverError> {
        let weights: Option<Vec<f64>> =
            dataset.weights().map(|weights| weights.iter().copied().map(f64::from).collect());
        let target = dataset.targets.to_vec();
        self.fit_weighted(dataset.records.view(), &target, weights.as_deref())
    }
}

impl PredictInplace<Array2<f64>, Array1<f64>> for Fitted {
    fn predict_inplace<'a>(&'a self, x: &'a Array2<f64>, y: &mut Array1<f64>) {
        y.assign(&Array1::from(self.probabilities(x.view())));
    }

    fn default_target(&self, x: &Array2<f64>) -> Array1<f64> {
        Array1::zeros(x.nrows())
    }
}

#[cfg(test)]
mod tests;
