//! Gradient boosting on histograms (Friedman, 2001; second order as in Chen and Guestrin,
//! "XGBoost", KDD 2016; leaf-wise growth as in Ke et al., "LightGBM", NIPS 2017).
//!
//! Depth-wise growth corresponds to XGBoost's `hist` method, leaf-wise growth to LightGBM. Random
//! choices depend on the seed and the number of the round, so the same call gives the same model.

mod options;

use crate::cells::{Scale, Sums};
use crate::error::TreesError;
use crate::growth::{Grower, Grown, Round};
use crate::loss::{logistic_loss, miss_probabilities};
use crate::matrix::TrainingSet;
use crate::model::{Objective, TreeModel};
use crate::random::Random;
use crate::tree::{GrownTree, add_value};
pub use options::{BoostedOptions, BoostedValidParams, Growth, Loss};

/// The result of a round of boosting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundReport {
    /// The round, counted from 0.
    pub round: u32,
    /// The mean loss on the training rows after the round, if requested.
    pub training_loss: Option<f64>,
    /// The mean loss on the validation rows after the round, if there are any.
    pub validation_loss: Option<f64>,
}

/// A callback during training.
pub struct Watcher<'a> {
    /// Whether to compute the training loss, which costs about a tenth of a round.
    pub training_loss: bool,
    /// Called after every round.
    pub after_round: &'a mut dyn FnMut(RoundReport),
}

/// Trains a model on `train`. With `validation` (encoded with the bins of `train` by
/// [`crate::BinnedMatrix::encode`]) and `early_stopping_rounds`, the trees after the best round are
/// dropped.
///
/// # Errors
/// [`TreesError`] if the data cannot be learnt from (shapes, targets, weights, a single class), or
/// if early stopping is requested without a validation set.
pub fn train(
    params: &BoostedValidParams,
    train: TrainingSet<'_>,
    validation: Option<TrainingSet<'_>>,
    watcher: Option<Watcher<'_>>,
) -> Result<TreeModel, TreesError> {
    train.check(params.loss == Loss::Logistic)?;
    if let Some(validation) = &validation {
        validation.check_shapes()?;
        validation.check_targets(params.loss == Loss::Logistic)?;
        if validation.features.width() != train.features.width() {
            return Err(TreesError::Shape {
                what: "validation features",
                expected: train.features.width(),
                found: validation.features.width(),
            });
        }
    } else if let Some(rounds) = params.early_stopping_rounds {
        let expected = "early stopping needs a validation set";
        return Err(TreesError::Parameter { parameter: "early_stopping_rounds", value: rounds.to_string(), expected });
    }
    Booster::new(params, train, validation).run(watcher)
}

/// The state between rounds.
struct Booster<'a> {
    params: &'a BoostedValidParams,
    train: TrainingSet<'a>,
    grower: Grower<'a>,
    base: f64,
    /// The rows with a positive weight.
    rows: Vec<u32>,
    weights: Vec<f32>,
    scores: Vec<f64>,
    /// The gradient and the hessian of each row.
    gradients: Vec<[f32; 2]>,
    payloads: Vec<u64>,
    /// A buffer for as many rows as the larger of the tables.
    spare: Vec<u32>,
    trees: Vec<GrownTree>,
    validation: Option<Validation<'a>>,
}

/// The validation rows, for early stopping.
struct Validation<'a> {
    set: TrainingSet<'a>,
    scores: Vec<f64>,
    best_loss: f64,
    /// The number of trees at the best loss.
    best_trees: usize,
}

impl<'a> Booster<'a> {
    fn new(params: &'a BoostedValidParams, train: TrainingSet<'a>, validation: Option<TrainingSet<'a>>) -> Self {
        let rows = train.features.rows();
        let positive = |row: usize| {
            if params.loss == Loss::Logistic && train.targets[row] == 1.0 { params.scale_pos_weight } else { 1.0 }
        };
        let weights: Vec<f32> = (0..rows).map(|row| (train.weight(row) * positive(row)) as f32).collect();
        let base = base_score(params.loss, train.targets, &weights);
        let validation = validation.map(|set| Validation {
            scores: vec![base; set.features.rows()],
            set,
            best_loss: f64::INFINITY,
            best_trees: 0,
        });
        Self {
            params,
            train,
            grower: Grower::new(train.features, params.extent(), params.rules()),
            base,
            rows: (0..rows as u32).filter(|&row| weights[row as usize] > 0.0).collect(),
            weights,
            scores: vec![base; rows],
            gradients: vec![[0.0; 2]; rows],
            payloads: vec![0; rows],
            spare: vec![0; rows.max(validation.as_ref().map_or(0, |validation| validation.scores.len()))],
            trees: Vec::with_capacity(params.n_estimators as usize),
            validation,
        }
    }

    fn run(mut self, mut watcher: Option<Watcher<'_>>) -> Result<TreeModel, TreesError> {
        for round in 0..self.params.n_estimators {
            self.grow(round);
            let validation_loss = self.validate();
            if let Some(watcher) = &mut watcher {
                let training_loss =
                    watcher.training_loss.then(|| mean_loss(self.params.loss, &self.train, &self.scores));
                (watcher.after_round)(RoundReport { round, training_loss, validation_loss });
            }
            if self.should_stop() {
                break;
            }
        }
        if let (Some(validation), Some(_)) = (&self.validation, self.params.early_stopping_rounds) {
            self.trees.truncate(validation.best_trees);
        }
        let objective = match self.params.loss {
            Loss::Logistic => Objective::Logistic,
            Loss::SquaredError => Objective::Value,
        };
        TreeModel::from_grown(objective, self.base, self.train.features, &self.trees)
    }

    /// Grows one tree and adds it to the scores.
    fn grow(&mut self, round: u32) {
        let scale = self.compute_gradients();
        let mut rows = self.rows.clone();
        let mut grown_on = rows.len();
        if self.params.subsample < 1.0 {
            grown_on = ((grown_on as f64 * self.params.subsample) as usize).max(1);
            rows = Random::new(self.params.seed, 2 * u64::from(round)).choose(grown_on, &rows);
        }
        let (rows, others) = rows.split_at_mut(grown_on);
        let wanted = self.choose_features(round);
        let Grown { mut tree, ranges } =
            self.grower.grow(rows, Round { payloads: &self.payloads, scale, wanted: &wanted });
        let rules = self.params.rules();
        for (node, range) in tree.nodes.iter_mut().zip(ranges) {
            if node.left != 0 {
                continue;
            }
            let leaf = &rows[range];
            node.value = rules.leaf_value(sums_of(leaf, &self.gradients)) * self.params.learning_rate;
            add_value(leaf, node.value, &mut self.scores);
        }
        // Rows without weight are in neither part, since their scores do not matter.
        tree.add_to(self.train.features, others, &mut self.spare, &mut self.scores);
        self.trees.push(tree);
    }

    /// Computes each row's gradient, hessian and histogram cell from its score.
    fn compute_gradients(&mut self) -> Scale {
        let mut totals = [0.0; 2];
        let loss = self.params.loss;
        // In blocks, so that sums in single precision have few terms.
        for start in (0..self.scores.len()).step_by(BLOCK) {
            let end = self.scores.len().min(start + BLOCK);
            let sums = gradients(
                loss,
                &self.scores[start..end],
                &self.train.targets[start..end],
                &self.weights[start..end],
                &mut self.gradients[start..end],
            );
            totals[0] += f64::from(sums[0]);
            totals[1] += f64::from(sums[1]);
        }
        let scale = Scale::new(totals[0], totals[1]);
        pack(scale, &self.gradients, &mut self.payloads);
        scale
    }

    /// Chooses the features that the tree of a round may use.
    fn choose_features(&self, round: u32) -> Vec<bool> {
        let total = self.train.features.width();
        if self.params.colsample >= 1.0 {
            return vec![true; total];
        }
        let count = ((total as f64 * self.params.colsample) as usize).max(1);
        let all: Vec<u32> = (0..total as u32).collect();
        let mut wanted = vec![false; total];
        for &feature in &Random::new(self.params.seed, 2 * u64::from(round) + 1).choose(count, &all)[..count] {
            wanted[feature as usize] = true;
        }
        wanted
    }

    /// Adds the newest tree to the validation scores and returns the loss.
    fn validate(&mut self) -> Option<f64> {
        let validation = self.validation.as_mut()?;
        if let Some(tree) = self.trees.last() {
            let mut rows: Vec<u32> = (0..validation.scores.len() as u32).collect();
            tree.add_to(validation.set.features, &mut rows, &mut self.spare, &mut validation.scores);
        }
        let loss = mean_loss(self.params.loss, &validation.set, &validation.scores);
        if loss < validation.best_loss {
            validation.best_loss = loss;
            validation.best_trees = self.trees.len();
        }
        Some(loss)
    }

    fn should_stop(&self) -> bool {
        match (&self.validation, self.params.early_stopping_rounds) {
            (Some(validation), Some(rounds)) => self.trees.len() - validation.best_trees >= rounds as usize,
            _ => false,
        }
    }
}

/// The number of rows whose gradients are summed in single precision before the sums are added up.
const BLOCK: usize = 1_024;

/// The number of rows that are processed together: a SIMD register in Wasm.
const LANES: usize = 4;

/// Computes gradients and hessians, and returns the sums of their absolute values, each as the
/// total of eight interleaved sums.
#[inline(never)]
fn gradients(loss: Loss, scores: &[f64], targets: &[f64], weights: &[f32], out: &mut [[f32; 2]]) -> [f32; 2] {
    let mut sums = [[[0.0f32; LANES]; 2]; 2];
    let inputs = scores.chunks(LANES).zip(targets.chunks(LANES)).zip(weights.chunks(LANES));
    for (group, (((scores, targets), weights), out)) in inputs.zip(out.chunks_mut(LANES)).enumerate() {
        let [gradient, hessian] = match loss {
            Loss::Logistic => logistic_gradients(scores, targets, weights),
            Loss::SquaredError => square_gradients(scores, targets, weights),
        };
        let [gradients, hessians] = &mut sums;
        for lane in 0..LANES {
            gradients[group % 2][lane] += gradient[lane].abs();
            hessians[group % 2][lane] += hessian[lane];
        }
        for (out, pair) in out.iter_mut().zip(gradient.into_iter().zip(hessian)) {
            *out = pair.into();
        }
    }
    sums.map(|lanes| lanes.as_flattened().iter().sum())
}

/// Computes the gradients and hessians of a few rows. Lanes after the last row have weight 0.
#[inline(always)]
fn logistic_gradients(scores: &[f64], targets: &[f64], weights: &[f32]) -> [[f32; LANES]; 2] {
    let (mut side, mut margin, mut weight) = ([1.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    for (lane, ((&score, &target), &weighs)) in scores.iter().zip(targets).zip(weights).enumerate() {
        side[lane] = 2.0 * target as f32 - 1.0;
        margin[lane] = score as f32 * side[lane];
        weight[lane] = weighs;
    }
    let miss = miss_probabilities(margin);
    let (mut gradient, mut hessian) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        gradient[lane] = -side[lane] * miss[lane] * weight[lane];
        // A comparison instead of `f32::max`, which is a function call in Wasm.
        let curvature = miss[lane] * (1.0 - miss[lane]);
        hessian[lane] = if curvature > 1e-16 { curvature } else { 1e-16 } * weight[lane];
    }
    [gradient, hessian]
}

/// Computes the same for the squared error.
#[inline(always)]
fn square_gradients(scores: &[f64], targets: &[f64], weights: &[f32]) -> [[f32; LANES]; 2] {
    let mut pair = [[0.0; LANES]; 2];
    for (lane, ((score, target), &weight)) in scores.iter().zip(targets).zip(weights).enumerate() {
        pair[0][lane] = (score - target) as f32 * weight;
        pair[1][lane] = weight;
    }
    pair
}

/// Turns each row's gradient and hessian into its cell.
#[inline(never)]
fn pack(scale: Scale, gradients: &[[f32; 2]], payloads: &mut [u64]) {
    for (payload, &[gradient, hessian]) in payloads.iter_mut().zip(gradients) {
        *payload = scale.pack(f64::from(gradient), f64::from(hessian));
    }
}

/// Returns the sums over some rows.
#[inline(never)]
fn sums_of(rows: &[u32], gradients: &[[f32; 2]]) -> Sums {
    let mut sums = Sums { gradient: 0.0, hessian: 0.0 };
    for &row in rows {
        let [gradient, hessian] = gradients[row as usize];
        sums.gradient += f64::from(gradient);
        sums.hessian += f64::from(hessian);
    }
    sums
}

/// Returns the best constant score: the log odds or the mean.
fn base_score(loss: Loss, targets: &[f64], weights: &[f32]) -> f64 {
    let (mut weighted, mut total) = (0.0, 0.0);
    for (&target, &weight) in targets.iter().zip(weights) {
        weighted += target * f64::from(weight);
        total += f64::from(weight);
    }
    match loss {
        Loss::Logistic => (weighted / (total - weighted)).ln(),
        Loss::SquaredError => weighted / total,
    }
}

/// Returns the weighted mean loss of scores.
fn mean_loss(loss: Loss, set: &TrainingSet<'_>, scores: &[f64]) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, (&score, &target)) in scores.iter().zip(set.targets).enumerate() {
        let weight = set.weight(row);
        sum += weight
            * match loss {
                Loss::Logistic => logistic_loss(score, target == 1.0),
                Loss::SquaredError => 0.5 * (score - target) * (score - target),
            };
        total += weight;
    }
    sum / total
}
