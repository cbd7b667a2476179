//! Prediction. Eight rows descend a tree side by side, or one row descends eight trees: their
//! independent steps hide each other's latency, and a step has no unpredictable branch. Leaves lead
//! to themselves, so all take the same number of steps.
//!
//! Rows come in blocks, and a tree stays in the cache for the whole block. Results do not depend on
//! which way a row takes.

use std::io::Read;

use crate::error::TreesError;
use crate::format;
use crate::layout::{Builder, Column, LANES, Layout, Small, Tree, Trees};
use crate::loss::sigmoid;
use crate::model::{Objective, TreeModel};

/// The number of rows of a block: 256 rows of 45 ranked features are 23 KB, which fits a first-level
/// cache with a tree.
const BLOCK: usize = 256;

/// The most rows after a block's last full group that are predicted one by one.
const MOST_SINGLE: usize = 3;

/// A feature with at most this number of thresholds is ranked by comparing them all.
const FEW: usize = 4;

/// A model that is prepared for prediction. Create it once and predict many batches. It takes 16
/// bytes a node.
#[derive(Debug, Clone)]
pub struct Predictor {
    objective: Objective,
    base: f64,
    width: usize,
    layout: Layout,
}

impl TreeModel {
    /// Prepares the model for prediction.
    pub fn predictor(&self) -> Predictor {
        let mut layout = Builder::new(self.names.len(), self.nodes.len());
        for tree in self.starts.windows(2) {
            layout.push(&self.nodes[tree[0]..tree[1]]);
        }
        Predictor { objective: self.objective, base: self.base, width: self.names.len(), layout: layout.finish() }
    }
}

/// Starts the layout of a model that is being read. Its count of nodes may be forged, the number of
/// its bytes is not.
fn room(model: &TreeModel, size: u64) -> Builder {
    let nodes = model.starts.last().copied().unwrap_or(0);
    let most = usize::try_from(size).unwrap_or(usize::MAX) / format::NODE_BYTES;
    Builder::new(model.names.len(), nodes.min(most))
}

impl Predictor {
    /// Reads a model of `size` bytes and prepares it for prediction, without holding its
    /// nodes in between. Also returns the importance of its features, as
    /// [`TreeModel::importance`] does.
    ///
    /// # Errors
    /// As for [`TreeModel::read_from`].
    pub fn read_from(reader: impl Read, size: u64) -> Result<(Self, Vec<f64>), TreesError> {
        let mut layout = None;
        let model = format::read_trees(reader, |model, nodes| {
            layout.get_or_insert_with(|| room(model, size)).push(nodes);
        })?;
        let layout = layout.unwrap_or_else(|| Builder::new(model.names.len(), 0)).finish();
        let importance = model.importance();
        Ok((Self { objective: model.objective, base: model.base, width: model.names.len(), layout }, importance))
    }

    /// Returns the meaning of predictions.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Returns the number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Predicts rows and appends one number a row to `out`: the probability of class 1, or the
    /// value. `columns` has a column for each feature, in the order of
    /// [`TreeModel::feature_names`](crate::TreeModel::feature_names). NaN is a missing value; an
    /// infinity counts as the largest finite number of its sign. The prediction of a row does not
    /// depend on other rows.
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
        let start = out.len();
        out.resize(start + rows, 0.0);
        self.predict_each(|feature| columns[feature], &mut out[start..]);
        Ok(())
    }

    /// Predicts rows, as [`Predictor::predict`] does, and writes a number for each to `out`.
    /// `numbers` has a column for each feature, column after column.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if the numbers are not as many rows of all features as `out` has room
    /// for.
    pub fn predict_matrix(&self, numbers: &[f64], out: &mut [f64]) -> Result<(), TreesError> {
        let rows = out.len();
        if numbers.len() != rows * self.width {
            return Err(TreesError::Shape { what: "numbers", expected: rows * self.width, found: numbers.len() });
        }
        self.predict_each(|feature| &numbers[feature * rows..][..rows], out);
        Ok(())
    }

    fn predict_each<'a>(&self, column: impl Fn(usize) -> &'a [f64], out: &mut [f64]) {
        match &self.layout {
            Layout::Small(trees) => trees.sum_leaves(column, out),
            Layout::Large(trees) => trees.sum_leaves(column, out),
        }
        match self.objective {
            Objective::Logistic => out.iter_mut().for_each(|sum| *sum = sigmoid(self.base + *sum)),
            Objective::Value => out.iter_mut().for_each(|sum| *sum += self.base),
            Objective::MeanProbability => {
                let trees = self.layout.trees().max(1) as f64;
                out.iter_mut().for_each(|sum| *sum /= trees);
            }
        }
    }
}

impl<S: Small> Trees<S> {
    /// Writes the sum of each row's leaves. `column` returns the values of a feature, one for each
    /// row.
    fn sum_leaves<'a>(&self, column: impl Fn(usize) -> &'a [f64], out: &mut [f64]) {
        let rows = out.len();
        let left = rows % LANES;
        let grouped = if left <= MOST_SINGLE { rows - left } else { rows };
        let groups = grouped.min(BLOCK).div_ceil(LANES);
        let mut ranks = vec![[S::default(); LANES]; self.columns.len() * groups];
        for start in (0..grouped).step_by(BLOCK) {
            let length = BLOCK.min(grouped - start);
            for (place, ranked) in self.columns.iter().enumerate() {
                let values = &column(ranked.feature)[start..start + length];
                self.rank(ranked, values, &mut ranks[place..]);
            }
            let groups = length.div_ceil(LANES);
            let mut sums = [[0.0; LANES]; BLOCK / LANES];
            for tree in &self.trees {
                self.walk_rows(*tree, &ranks[..groups * self.columns.len()], &mut sums[..groups]);
            }
            out[start..start + length].copy_from_slice(&sums.as_flattened()[..length]);
        }
        let mut ranks = vec![S::default(); if grouped < rows { self.columns.len() } else { 0 }];
        for (row, sum) in out.iter_mut().enumerate().skip(grouped) {
            for (ranked, rank) in self.columns.iter().zip(&mut ranks) {
                *rank = self.rank_of(ranked, column(ranked.feature)[row]);
            }
            *sum = self.walk_trees(&ranks);
        }
    }

    /// Writes the ranks of a column: those of `LANES` rows, then again after all other columns.
    fn rank(&self, column: &Column, values: &[f64], ranks: &mut [[S; LANES]]) {
        let groups = ranks.iter_mut().step_by(self.columns.len());
        for (values, ranks) in values.chunks(LANES).zip(groups) {
            for (rank, value) in ranks.iter_mut().zip(values) {
                *rank = self.rank_of(column, *value);
            }
        }
    }

    /// Returns the rank of a value: the number of thresholds below it. A missing value has a rank
    /// above or below all thresholds.
    #[inline]
    fn rank_of(&self, column: &Column, value: f64) -> S {
        if value.is_nan() {
            return if column.missing_left { S::default() } else { S::MAX };
        }
        let value = if value > f64::MAX { f64::MAX } else { value };
        let thresholds = &self.thresholds[column.first..column.end];
        let below = if thresholds.len() <= FEW {
            thresholds.iter().map(|threshold| usize::from(*threshold < value)).sum()
        } else {
            thresholds.partition_point(|threshold| *threshold < value)
        };
        S::of(below)
    }

    /// Adds the value of each row's leaf to its sum. Rows after the block's end have any ranks;
    /// their sums are not used.
    // A separate function: within a large function, Wasm's compiler keeps the loop's values on the
    // stack.
    #[inline(never)]
    fn walk_rows(&self, tree: Tree, ranks: &[[S; LANES]], sums: &mut [[f64; LANES]]) {
        for (ranks, sums) in ranks.chunks_exact(self.columns.len()).zip(sums) {
            let mut places = [tree.root; LANES];
            for _ in 0..tree.depth {
                let mut moved = 0;
                for (lane, place) in places.iter_mut().enumerate() {
                    let step = &self.steps[*place as usize];
                    let next = step.left + u32::from(ranks[step.column.number()][lane] > step.rank);
                    moved |= next ^ *place;
                    *place = next;
                }
                if moved == 0 {
                    break;
                }
            }
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum += self.values[place as usize];
            }
        }
    }

    /// Returns the sum of one row's leaves, in the order of the trees.
    #[inline(never)]
    fn walk_trees(&self, ranks: &[S]) -> f64 {
        let mut sum = 0.0;
        // The last step is a tree of one leaf, whose value is 0.
        let none = Tree { root: self.steps.len() as u32 - 1, depth: 0 };
        for trees in self.trees.chunks(LANES) {
            let mut places = [none.root; LANES];
            let mut deepest = 0;
            for (place, tree) in places.iter_mut().zip(trees) {
                *place = tree.root;
                deepest = deepest.max(tree.depth);
            }
            for _ in 0..deepest {
                let mut moved = 0;
                for place in &mut places {
                    let step = &self.steps[*place as usize];
                    let next = step.left + u32::from(ranks[step.column.number()] > step.rank);
                    moved |= next ^ *place;
                    *place = next;
                }
                if moved == 0 {
                    break;
                }
            }
            // Adding 0 leaves a sum as it is.
            for place in places {
                sum += self.values[place as usize];
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MISSING_LEFT, Node};

    /// A model of one split for each threshold, of feature 0; its value is the number of thresholds
    /// below the feature's.
    fn stumps(thresholds: impl Iterator<Item = f64>, missing: u32) -> TreeModel {
        let mut model = TreeModel::empty(Objective::Value, 0.0, vec!["x".to_owned()]);
        for value in thresholds {
            let leaf = |value| Node { value, left: 0, feature: 0 };
            model.nodes.extend([Node { value, left: 1, feature: missing }, leaf(0.0), leaf(1.0)]);
            model.starts.push(model.nodes.len());
        }
        model
    }

    #[test]
    fn a_model_with_more_thresholds_than_a_small_step_numbers_has_large_steps() {
        let values = [-1.0, 0.0, 0.5, 40_000.5, f64::INFINITY, f64::NAN, f64::NEG_INFINITY];
        for (count, is_small) in [(usize::from(u16::MAX), true), (1 << 16, false)] {
            for (missing, of_nan) in [(MISSING_LEFT, 0.0), (0, count as f64)] {
                let model = stumps((0..count).rev().map(|number| number as f64), missing);
                let predictor = model.predictor();
                assert_eq!(matches!(predictor.layout, Layout::Small(_)), is_small, "{count}");
                let mut out = Vec::new();
                predictor.predict(&[&values], &mut out).unwrap();
                assert_eq!(out, [0.0, 0.0, 1.0, 40_001.0, count as f64, of_nan, 0.0]);
            }
        }
    }

    #[test]
    fn rows_are_predicted_alike_alone_in_groups_and_in_blocks() {
        let model = stumps((0..100).map(|number| f64::from(number * 37 % 101) / 3.0), 0);
        let predictor = model.predictor();
        let values: Vec<f64> = (0..600).map(|row| f64::from(row * 53 % 407) / 11.0).collect();
        let mut whole = vec![0.0; values.len()];
        predictor.predict_matrix(&values, &mut whole).unwrap();
        for length in 1..BLOCK + 20 {
            let mut part = vec![0.0; length];
            predictor.predict_matrix(&values[600 - length..], &mut part).unwrap();
            assert_eq!(part, whole[600 - length..], "{length}");
        }
        for (value, predicted) in values.iter().zip(whole) {
            let below = model.nodes.iter().filter(|node| node.left != 0 && node.value < *value).count();
            assert_eq!(predicted, below as f64);
        }
    }

    #[test]
    fn numbers_of_another_width_are_refused() {
        let predictor = stumps([0.0].into_iter(), 0).predictor();
        assert!(matches!(predictor.predict_matrix(&[0.0; 3], &mut [0.0; 2]), Err(TreesError::Shape { .. })));
    }
}
