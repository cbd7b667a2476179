//! Prediction: each tree processes a block of rows.
//!
//! The values of a block are copied feature by feature, so that values of neighbouring rows are
//! contiguous. Several rows descend a tree side by side: their independent steps hide each other's
//! latency, and a step has no unpredictable branch. Leaves lead to themselves, so all rows take the
//! same number of steps. A tree stays in the cache for the whole block.

use crate::error::TreesError;
use crate::loss::sigmoid;
use crate::model::{MISSING_LEFT, Node, Objective, TreeModel};

/// The number of rows of a block: 256 rows of 45 features are 92 KB, which fits a second-level
/// cache with a tree.
const BLOCK: usize = 256;

/// The number of rows that descend side by side.
const LANES: usize = 8;

/// A node for prediction. A leaf leads to itself for every row.
#[derive(Debug, Clone, Copy)]
struct Step {
    threshold: f64,
    left: u32,
    feature: u32,
}

/// The steps of a tree.
#[derive(Debug, Clone, Copy)]
struct Tree {
    start: usize,
    end: usize,
    /// The most splits between the root and a leaf.
    depth: usize,
}

/// A model that is prepared for prediction. Create it once and predict many batches. It takes 24
/// bytes a node.
#[derive(Debug, Clone)]
pub struct Predictor {
    objective: Objective,
    base: f64,
    width: usize,
    trees: Vec<Tree>,
    steps: Vec<Step>,
    /// The values of leaves, by node.
    values: Vec<f64>,
}

impl TreeModel {
    /// Prepares the model for prediction.
    pub fn predictor(&self) -> Predictor {
        let mut steps = Vec::with_capacity(self.nodes.len());
        let mut trees = Vec::with_capacity(self.trees());
        for tree in self.starts.windows(2) {
            let nodes = &self.nodes[tree[0]..tree[1]];
            steps.extend(nodes.iter().enumerate().map(|(number, node)| match node.left {
                0 => Step { threshold: f64::MAX, left: number as u32, feature: MISSING_LEFT },
                left => Step { threshold: node.value, left, feature: node.feature },
            }));
            trees.push(Tree { start: tree[0], end: tree[1], depth: depth(nodes) });
        }
        Predictor {
            objective: self.objective,
            base: self.base,
            width: self.names.len(),
            trees,
            steps,
            values: self.nodes.iter().map(|node| node.value).collect(),
        }
    }
}

impl Predictor {
    /// Returns the meaning of predictions.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Predicts rows and appends one number a row to `out`: the probability of class 1, or the
    /// value. `columns` has a column for each feature, in the order of
    /// [`TreeModel::feature_names`]. NaN is a missing value; an infinity counts as the largest
    /// finite number of its sign. The prediction of a row does not depend on other rows.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if there is not one column for each feature, or they differ in length.
    pub fn predict(&self, columns: &[&[f64]], out: &mut Vec<f64>) -> Result<(), TreesError> {
        if columns.len() != self.width {
            return Err(TreesError::Shape { what: "columns", expected: self.width, found: columns.len() });
        }
        let rows = columns.first().map_or(0, |column| column.len());
        if let Some(column) = columns.iter().find(|column| column.len() != rows) {
            return Err(TreesError::Shape { what: "rows of a column", expected: rows, found: column.len() });
        }
        let mut block = vec![[0.0; BLOCK]; self.width];
        out.reserve(rows);
        for start in (0..rows).step_by(BLOCK) {
            let length = BLOCK.min(rows - start);
            let mut missing = false;
            for (copy, column) in block.iter_mut().zip(columns) {
                for (copy, &value) in copy.iter_mut().zip(&column[start..start + length]) {
                    missing |= value.is_nan();
                    *copy = value.clamp(f64::MIN, f64::MAX);
                }
            }
            let mut sums = [0.0; BLOCK];
            let lanes = &mut sums[..length.next_multiple_of(LANES)];
            for tree in &self.trees {
                if missing {
                    self.walk::<true>(tree, &block, lanes);
                } else {
                    self.walk::<false>(tree, &block, lanes);
                }
            }
            out.extend(sums[..length].iter().map(|&sum| self.finish(sum)));
        }
        Ok(())
    }

    /// Adds the value of each row's leaf to its sum. Rows after the block's end hold old values;
    /// their sums are not used. `MISSING` tells whether values may be missing.
    // A separate function: within a large function, Wasm's compiler keeps the loop's values on the
    // stack.
    #[inline(never)]
    fn walk<const MISSING: bool>(&self, tree: &Tree, block: &[[f64; BLOCK]], sums: &mut [f64]) {
        let steps = &self.steps[tree.start..tree.end];
        let values = &self.values[tree.start..tree.end];
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        for (group, sums) in sums.iter_mut().enumerate() {
            let mut places = [0u32; LANES];
            for _ in 0..tree.depth {
                let mut moved = 0;
                for (lane, place) in places.iter_mut().enumerate() {
                    let step = steps[*place as usize];
                    let value = block[(step.feature & !MISSING_LEFT) as usize][(group * LANES + lane) % BLOCK];
                    let mut right = value > step.threshold;
                    if MISSING {
                        right |= value.is_nan() & (step.feature & MISSING_LEFT == 0);
                    }
                    let next = step.left + u32::from(right);
                    moved |= next ^ *place;
                    *place = next;
                }
                if moved == 0 {
                    break;
                }
            }
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum += values[place as usize];
            }
        }
    }

    /// Converts the sum of the leaves into a prediction.
    fn finish(&self, sum: f64) -> f64 {
        match self.objective {
            Objective::Logistic => sigmoid(self.base + sum),
            Objective::Value => self.base + sum,
            Objective::MeanProbability => sum / self.trees.len().max(1) as f64,
        }
    }
}

/// The most splits between the root and a leaf.
fn depth(nodes: &[Node]) -> usize {
    let mut depths = vec![0u32; nodes.len()];
    let mut deepest = 0;
    for (number, node) in nodes.iter().enumerate() {
        if node.left != 0 {
            let below = depths[number] + 1;
            deepest = deepest.max(below);
            depths[node.left as usize] = below;
            depths[node.left as usize + 1] = below;
        }
    }
    deepest as usize
}
