//! Random forests (Breiman, 2001) on histograms, with scikit-learn's meaning of every parameter.
//!
//! Tree `t` of a seed is the same whoever grows it: its random numbers come from the seed and `t`. So a forest can be
//! grown in parts ([`train_trees`]) in any order and anywhere, and [`merge`] puts them together to the bytes that [`train`]
//! would have made.

mod grow;
mod packing;

use crate::error::TreesError;
use crate::matrix::TrainingSet;
use crate::model::{Objective, TreeModel};
use grow::TreeGrower;
use std::ops::Range;

/// A tree's importance is rounded to multiples of this, so that sums over trees are exact and parts can be added in any
/// grouping: 2^20 trees of importance 1 still fit a double's 53 bits.
const IMPORTANCE_UNIT: f64 = 1.0 / (1u64 << 32) as f64;

/// How many features a split looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxFeatures {
    /// The square root of their number.
    SquareRoot,
    /// The logarithm of their number to base 2.
    Logarithm,
    /// This many, at most all.
    Number(u32),
    /// This share of them, in (0, 1].
    Share(f64),
    /// All.
    All,
}

impl MaxFeatures {
    /// The number out of `total`, at least 1.
    fn of(self, total: usize) -> usize {
        let number = match self {
            Self::SquareRoot => (total as f64).sqrt() as usize,
            Self::Logarithm => total.checked_ilog2().unwrap_or(0) as usize,
            Self::Number(number) => number as usize,
            Self::Share(share) => (total as f64 * share) as usize,
            Self::All => total,
        };
        number.clamp(1, total.max(1))
    }
}

/// Hyperparameters of a forest, not yet checked. The defaults are scikit-learn's, but for 200 trees.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestOptions {
    /// The number of trees, at least 1 (200).
    pub n_estimators: u32,
    /// The most splits above a leaf, at least 1; `None`: no limit.
    pub max_depth: Option<u32>,
    /// A node of fewer different rows is a leaf; at least 2 (2).
    pub min_samples_split: u32,
    /// The least number of different rows of a leaf, at least 1 (1).
    pub min_samples_leaf: u32,
    /// How many features each split looks at (the square root).
    pub max_features: MaxFeatures,
    /// Whether each tree draws its rows with replacement (true).
    pub bootstrap: bool,
    /// Seeds rows and features (0).
    pub seed: u64,
}

impl Default for ForestOptions {
    fn default() -> Self {
        Self {
            n_estimators: 200,
            max_depth: None,
            min_samples_split: 2,
            min_samples_leaf: 1,
            max_features: MaxFeatures::SquareRoot,
            bootstrap: true,
            seed: 0,
        }
    }
}

/// Hyperparameters of a forest that have been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestValidParams(pub(crate) ForestOptions);

impl std::ops::Deref for ForestValidParams {
    type Target = ForestOptions;

    fn deref(&self) -> &ForestOptions {
        &self.0
    }
}

impl ForestOptions {
    /// Checks every value.
    ///
    /// # Errors
    /// [`TreesError::Parameter`] with the first that is out of range.
    pub fn check(self) -> Result<ForestValidParams, TreesError> {
        self.verify()?;
        Ok(ForestValidParams(self))
    }

    pub(crate) fn verify(&self) -> Result<(), TreesError> {
        let wrong = |parameter, value: &dyn ToString, expected| {
            Err(TreesError::Parameter { parameter, value: value.to_string(), expected })
        };
        if !(1..=1 << 20).contains(&self.n_estimators) {
            return wrong("n_estimators", &self.n_estimators, "must be at least 1 and at most 1048576");
        }
        if self.max_depth == Some(0) {
            return wrong("max_depth", &0, "must be at least 1");
        }
        if self.min_samples_split < 2 {
            return wrong("min_samples_split", &self.min_samples_split, "must be at least 2");
        }
        if self.min_samples_leaf < 1 {
            return wrong("min_samples_leaf", &self.min_samples_leaf, "must be at least 1");
        }
        match self.max_features {
            MaxFeatures::Number(0) => wrong("max_features", &0, "must be at least 1"),
            MaxFeatures::Share(share) if !(share > 0.0 && share <= 1.0) => {
                wrong("max_features", &share, "a share must be above 0 and at most 1")
            }
            _ => Ok(()),
        }
    }
}

/// Grows the whole forest. `progress` is called with the number of trees grown so far.
///
/// # Errors
/// [`TreesError`] if the data cannot be learnt from: shapes, targets, weights, a single class.
pub fn train(
    params: &ForestValidParams,
    set: TrainingSet<'_>,
    progress: &mut dyn FnMut(u32),
) -> Result<TreeModel, TreesError> {
    train_trees(params, set, 0..params.n_estimators, progress)
}

/// Grows some of the forest's trees, `0..n_estimators` being all. `progress` is called with the number grown so far.
///
/// # Errors
/// As [`train`]; [`TreesError::Parameter`] if the range is empty or goes past `n_estimators`.
pub fn train_trees(
    params: &ForestValidParams,
    set: TrainingSet<'_>,
    trees: Range<u32>,
    progress: &mut dyn FnMut(u32),
) -> Result<TreeModel, TreesError> {
    set.check(true)?;
    if trees.is_empty() || trees.end > params.n_estimators {
        let value = format!("{}..{}", trees.start, trees.end);
        return Err(TreesError::Parameter {
            parameter: "trees",
            value,
            expected: "must be a part of 0..n_estimators that is not empty",
        });
    }
    let names = set.features.names().map(str::to_owned).collect();
    let mut model = TreeModel::empty(Objective::MeanProbability, 0.0, names);
    model.first_tree = trees.start;
    let mut grower = TreeGrower::new(params, set);
    for (done, number) in trees.enumerate() {
        let tree = grower.grow(number);
        let total: f64 = tree.nodes.iter().filter(|node| node.left != 0).map(|node| node.gain).sum();
        let mut importance = vec![0.0; set.features.width()];
        for node in tree.nodes.iter().filter(|node| node.left != 0 && total > 0.0) {
            importance[node.feature as usize] += node.gain / total;
        }
        for (sum, part) in model.importance.iter_mut().zip(importance) {
            *sum += (part / IMPORTANCE_UNIT).round() * IMPORTANCE_UNIT;
        }
        model.push_tree(set.features, &tree);
        progress(done as u32 + 1);
    }
    Ok(model)
}

/// Puts parts together that were grown by [`train_trees`] from the same data and parameters, in the order of their trees, without gaps
/// and from tree 0 on.
///
/// # Errors
/// [`TreesError::Merge`] if they do not follow each other or their features differ.
pub fn merge(parts: impl IntoIterator<Item = TreeModel>) -> Result<TreeModel, TreesError> {
    let refuse = |reason: String| Err(TreesError::Merge { reason });
    let mut parts = parts.into_iter();
    let Some(mut whole) = parts.next() else { return refuse("there are none".to_owned()) };
    if whole.objective != Objective::MeanProbability || whole.first_tree != 0 {
        return refuse(format!(
            "the first begins with tree {} of a {:?} model, not with tree 0 of a forest",
            whole.first_tree, whole.objective
        ));
    }
    for part in parts {
        if part.objective != whole.objective || part.names != whole.names {
            return refuse(format!(
                "the part from tree {} on is of another kind or has other features",
                part.first_tree
            ));
        }
        if part.first_tree as usize != whole.trees() {
            return refuse(format!("tree {} follows tree {}", part.first_tree, whole.trees().saturating_sub(1)));
        }
        let offset = whole.nodes.len();
        whole.nodes.extend(part.nodes);
        whole.starts.extend(part.starts.iter().skip(1).map(|start| start + offset));
        for (sum, more) in whole.importance.iter_mut().zip(part.importance) {
            *sum += more;
        }
    }
    Ok(whole)
}
