//! A trained model: trees with thresholds on raw values, and the names and importances of the
//! features.

use crate::error::TreesError;
use crate::matrix::BinnedMatrix;
use crate::tree::GrownTree;

/// The meaning of the leaves' values, and of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The sigmoid of the base plus the sum of the leaves is the probability of class 1 (boosting).
    Logistic,
    /// The base plus the sum of the leaves is the value (boosting, regression).
    Value,
    /// The mean of the leaves is the probability of class 1 (forest).
    MeanProbability,
}

/// The bit of [`Node::feature`] for missing values that go left.
pub(crate) const MISSING_LEFT: u32 = 1 << 31;

/// A split or a leaf, as in the format: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    /// The largest value that goes left, for a split; the value, for a leaf.
    pub(crate) value: f64,
    /// The number of the left child within the tree, which the right child follows; 0 for a leaf.
    pub(crate) left: u32,
    /// The feature of a split, combined with [`MISSING_LEFT`]; 0 for a leaf.
    pub(crate) feature: u32,
}

/// A trained model, which predicts from columns of raw numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeModel {
    pub(crate) objective: Objective,
    pub(crate) base: f64,
    /// The number of the first tree, which is not 0 in a later part of a forest.
    pub(crate) first_tree: u32,
    pub(crate) names: Vec<String>,
    /// The total gain of each feature over all trees, unnormalised.
    pub(crate) importance: Vec<f64>,
    /// The index of each tree's first node in `nodes`, and the total number of nodes.
    pub(crate) starts: Vec<usize>,
    pub(crate) nodes: Vec<Node>,
}

impl TreeModel {
    /// Creates a model without trees.
    pub(crate) fn empty(objective: Objective, base: f64, names: Vec<String>) -> Self {
        let importance = vec![0.0; names.len()];
        Self { objective, base, first_tree: 0, names, importance, starts: vec![0], nodes: Vec::new() }
    }

    /// Creates a model of boosted trees.
    pub(crate) fn from_grown(
        objective: Objective,
        base: f64,
        matrix: &BinnedMatrix,
        trees: &[GrownTree],
    ) -> Result<Self, TreesError> {
        let mut model = Self::empty(objective, base, matrix.names().map(str::to_owned).collect());
        for tree in trees {
            model.push_tree(matrix, tree);
            for node in tree.nodes.iter().filter(|node| node.left != 0) {
                model.importance[node.feature as usize] += node.gain;
            }
        }
        Ok(model)
    }

    /// Appends a tree, converting its bins to thresholds. Does not change the importance.
    pub(crate) fn push_tree(&mut self, matrix: &BinnedMatrix, tree: &GrownTree) {
        self.nodes.extend(tree.nodes.iter().map(|node| {
            if node.left == 0 {
                return Node { value: node.value, left: 0, feature: 0 };
            }
            let threshold = matrix.features[node.feature as usize].bins.threshold(node.bin);
            let missing = if node.missing_left { MISSING_LEFT } else { 0 };
            Node { value: threshold, left: node.left, feature: node.feature | missing }
        }));
        self.starts.push(self.nodes.len());
    }

    /// Returns the meaning of predictions.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Returns the number of trees.
    pub fn trees(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns the number of nodes of all trees.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the names of the features, in the order of the columns of predictions.
    pub fn feature_names(&self) -> &[String] {
        &self.names
    }

    /// Returns the share of each feature in the total gain. The shares sum to 1, or are all 0 if no
    /// tree has a split.
    pub fn importance(&self) -> Vec<f64> {
        let total: f64 = self.importance.iter().sum();
        self.importance.iter().map(|gain| if total > 0.0 { gain / total } else { 0.0 }).collect()
    }
}
