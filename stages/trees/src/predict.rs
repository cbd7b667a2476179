//! Prediction: blocks of rows through one tree after the other.
//!
//! A block's values are turned row by row, so that the features of a row lie together, and its rows go through a tree side by side:
//! eight independent walks hide each other's waiting, and a step has no branch to guess. Leaves lead to themselves, so all eight
//! take the same number of steps. A tree stays in the cache for the whole block.

use crate::error::TreesError;
use crate::loss::sigmoid;
use crate::model::{MISSING_LEFT, Node, Objective, TreeModel};

/// Rows of a block: 256 rows of 45 features are 92 KB, which a second-level cache holds beside a tree.
const BLOCK: usize = 256;

/// Rows that walk side by side.
const LANES: usize = 8;

impl TreeModel {
    /// Predicts rows given as columns, one per feature in the order of [`TreeModel::feature_names`], and appends one number a row
    /// to `out`: the probability of class 1, or the value. NaN is a missing value; an infinity counts as the largest
    /// finite number of its sign.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if there is not one column per feature, or they differ in length.
    pub fn predict(&self, columns: &[&[f64]], out: &mut Vec<f64>) -> Result<(), TreesError> {
        if columns.len() != self.names.len() {
            return Err(TreesError::Shape { what: "columns", expected: self.names.len(), found: columns.len() });
        }
        let rows = columns.first().map_or(0, |column| column.len());
        if let Some(column) = columns.iter().find(|column| column.len() != rows) {
            return Err(TreesError::Shape { what: "rows of a column", expected: rows, found: column.len() });
        }
        let width = columns.len();
        let depths: Vec<usize> = self.starts.windows(2).map(|tree| depth(&self.nodes[tree[0]..tree[1]])).collect();
        let mut block = vec![0.0; BLOCK * width];
        out.reserve(rows);
        for start in (0..rows).step_by(BLOCK) {
            let length = BLOCK.min(rows - start);
            for (feature, column) in columns.iter().enumerate() {
                for (row, &value) in block.chunks_exact_mut(width).zip(&column[start..start + length]) {
                    row[feature] = value.clamp(f64::MIN, f64::MAX);
                }
            }
            let mut sums = [0.0; BLOCK];
            for (tree, &depth) in self.starts.windows(2).zip(&depths) {
                add_tree(
                    &self.nodes[tree[0]..tree[1]],
                    depth,
                    &block,
                    width,
                    &mut sums[..length.next_multiple_of(LANES)],
                );
            }
            out.extend(sums[..length].iter().map(|&sum| self.finish(sum)));
        }
        Ok(())
    }

    /// Turns the leaves' sum into what is predicted.
    fn finish(&self, sum: f64) -> f64 {
        match self.objective {
            Objective::Logistic => sigmoid(self.base + sum),
            Objective::Value => self.base + sum,
            Objective::MeanProbability => sum / self.trees().max(1) as f64,
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

/// Adds each row's leaf to its sum. `sums` is a multiple of [`LANES`] long; rows past the block's end hold old values and
/// their sums are not looked at.
fn add_tree(nodes: &[Node], depth: usize, block: &[f64], width: usize, sums: &mut [f64]) {
    let (sums, _) = sums.as_chunks_mut::<LANES>();
    for (values, sums) in block.chunks_exact(LANES * width).zip(sums) {
        let mut places = [0u32; LANES];
        for _ in 0..depth {
            let mut moved = 0;
            for (lane, place) in places.iter_mut().enumerate() {
                let node = nodes[*place as usize];
                let value = values[lane * width + (node.feature & !MISSING_LEFT) as usize];
                let right = !(value <= node.value) & !(value.is_nan() & (node.feature & MISSING_LEFT != 0));
                let next = if node.left == 0 { *place } else { node.left + u32::from(right) };
                moved |= next ^ *place;
                *place = next;
            }
            if moved == 0 {
                break;
            }
        }
        for (sum, place) in sums.iter_mut().zip(places) {
            *sum += nodes[place as usize].value;
        }
    }
}
