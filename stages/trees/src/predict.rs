//! Prediction: blocks of rows through one tree after the other.
//!
//! A block's values are copied feature by feature, so that neighbouring rows lie together, and its rows go through a tree side
//! by side: independent walks hide each other's waiting, and a step has no branch to guess. Leaves lead to themselves,
//! so all rows take the same number of steps. A tree stays in the cache for the whole block.

use crate::error::TreesError;
use crate::loss::sigmoid;
use crate::model::{MISSING_LEFT, Node, Objective, TreeModel};

/// Rows of a block: 256 rows of 45 features are 92 KB, which a second-level cache holds beside a tree.
const BLOCK: usize = 256;

/// Rows that walk side by side.
const LANES: usize = 8;

/// A node as it is walked: a leaf leads to itself, whatever the row.
#[derive(Debug, Clone, Copy)]
struct Step {
    threshold: f64,
    left: u32,
    feature: u32,
}

/// A tree's place among the steps.
#[derive(Debug, Clone, Copy)]
struct Tree {
    start: usize,
    end: usize,
    /// The most splits between the root and a leaf.
    depth: usize,
}

/// A model made ready for prediction; make it once and predict many batches. Takes 24 bytes a node.
#[derive(Debug, Clone)]
pub struct Predictor {
    objective: Objective,
    base: f64,
    width: usize,
    trees: Vec<Tree>,
    steps: Vec<Step>,
    /// The leaves' values, at their nodes' numbers.
    values: Vec<f64>,
}

impl TreeModel {
    /// Makes the model ready for prediction.
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
    /// What is predicted.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Predicts rows given as columns, one per feature in the order of [`TreeModel::feature_names`], and appends one number
    /// a row to `out`: the probability of class 1, or the value. NaN is a missing value; an infinity counts as the largest
    /// finite number of its sign. A row's prediction does not depend on the other rows.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if there is not one column per feature, or they differ in length.
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

    /// Adds each row's leaf to its sum. Rows past the block's end hold old values, and their sums are not looked at. `MISSING`
    /// says whether there may be missing values.
    // On its own: within a large function, Wasm's compiler keeps what the loop needs on the stack.
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

    /// Turns the leaves' sum into what is predicted.
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
