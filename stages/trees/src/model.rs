//! A trained model: trees with real thresholds, the features' names and their importance.

use crate::error::TreesError;
use crate::matrix::BinnedMatrix;
use crate::tree::GrownTree;

/// What the numbers in the leaves mean, and what is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The sigmoid of base plus the leaves' sum is the probability of class 1 (boosting).
    Logistic,
    /// Base plus the leaves' sum is the value (boosting, regression).
    Value,
    /// The leaves' mean is the probability of class 1 (forest).
    MeanProbability,
}

/// The bit of [`Node::feature`] that says that missing values go left.
pub(crate) const MISSING_LEFT: u32 = 1 << 31;

/// A split or a leaf, 16 bytes, as it also stands in the format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    /// Of a split, the largest value that goes left; of a leaf, its value.
    pub(crate) value: f64,
    /// The left child's number within its tree, the right one's is one more; 0 in a leaf.
    pub(crate) left: u32,
    /// The feature that is split on, and [`MISSING_LEFT`]; 0 in a leaf.
    pub(crate) feature: u32,
}

/// A trained model. Reads no more than it must: it predicts from columns of plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeModel {
    pub(crate) objective: Objective,
    pub(crate) base: f64,
    /// The number of the first tree; not 0 in a part of a forest.
    pub(crate) first_tree: u32,
    pub(crate) names: Vec<String>,
    /// How much each feature gained over all trees, as one unnormalised number.
    pub(crate) importance: Vec<f64>,
    /// Where each tree begins in `nodes`; one more than there are trees.
    pub(crate) starts: Vec<usize>,
    pub(crate) nodes: Vec<Node>,
}

impl TreeModel {
    /// A model without trees.
    pub(crate) fn empty(objective: Objective, base: f64, names: Vec<String>) -> Self {
        let importance = vec![0.0; names.len()];
        Self { objective, base, first_tree: 0, names, importance, starts: vec![0], nodes: Vec::new() }
    }

    /// A model of boosted trees.
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

    /// Appends a tree, its bins turned to thresholds; the importance stays.
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

    /// What is predicted.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The number of trees.
    pub fn trees(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of nodes of all trees.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The features' names, in the order in which columns are predicted.
    pub fn feature_names(&self) -> &[String] {
        &self.names
    }

    /// How much each feature gained, summing to 1 (all 0 if no tree has a split).
    pub fn importance(&self) -> Vec<f64> {
        let total: f64 = self.importance.iter().sum();
        self.importance.iter().map(|gain| if total > 0.0 { gain / total } else { 0.0 }).collect()
    }
}
