//! Random forests (Breiman, 2001) on histograms. The parameters have scikit-learn's meaning.
//!
//! Tree `t` only depends on the data, the seed and `t`. So a forest can be grown in parts
//! ([`train_trees`]) in any order and on any machine, and [`merge`] joins them to the bytes that
//! [`train`] would give.

mod grow;
mod options;
mod packing;

use crate::error::TreesError;
use crate::matrix::TrainingSet;
use crate::model::{Objective, TreeModel};
use grow::TreeGrower;
pub use options::{ForestOptions, ForestValidParams, MaxFeatures};
use std::ops::Range;

/// The unit of a tree's importance. Rounding to multiples of it makes sums over trees exact, so
/// that parts can be added in any order: the importances of 2^20 trees still fit the 53 bits of a
/// double.
const IMPORTANCE_UNIT: f64 = 1.0 / (1u64 << 32) as f64;

/// Trains a forest. `progress` is called with the number of trees grown so far.
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

/// Grows some trees of a forest, whose trees are `0..n_estimators`. `progress` is called with the
/// number of trees grown so far.
///
/// # Errors
/// As for [`train`]; [`TreesError::Parameter`] if the range is empty or exceeds `n_estimators`.
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

/// Merges parts that [`train_trees`] grew from the same data and parameters. They must be in the
/// order of their trees, without gaps, from tree 0 on.
///
/// # Errors
/// [`TreesError::Merge`] if the parts do not follow each other or their features differ.
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
