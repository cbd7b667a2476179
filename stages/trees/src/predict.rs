//! Prediction. Sixteen rows pass a tree's top at once, and eight then descend side by side; or one
//! row descends eight trees. Independent steps hide each other's latency, and a step has no
//! unpredictable branch. Leaves lead to themselves, so all take the same number of steps.
//!
//! Rows come in blocks, and a tree stays in the cache for the whole block. A row's prediction does
//! not depend on the rows that it comes with.

use std::io::Read;

use crate::bytes16::Bytes16;
use crate::error::TreesError;
use crate::format;
use crate::layout::{Builder, Column, GROUP, Layout, Rank, TopNode, Tree, Trees, WAYS};
use crate::loss::sigmoid;
use crate::model::{Objective, TreeModel};

/// The number of rows of a block: 256 rows of 45 ranked features are 12 KB, which fits a
/// first-level cache with a tree.
const BLOCK: usize = 256;

/// The number of rows, or of trees, that descend side by side.
const LANES: usize = 8;

/// The most rows after the last full group that are predicted one by one, if trees are deeper than
/// their tops.
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
            Layout::Bytes(trees) => trees.sum_leaves(column, out),
            Layout::Numbers(trees) => trees.sum_leaves(column, out),
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

/// The rows that a tree's top is walked for at once.
type Group<R> = [R; GROUP];

impl<R: Walked> Trees<R> {
    /// Writes the sum of each row's leaves. `column` returns the values of a feature, one for each
    /// row.
    fn sum_leaves<'a>(&self, column: impl Fn(usize) -> &'a [f64], out: &mut [f64]) {
        let rows = out.len();
        let left = rows % GROUP;
        let grouped = if left <= self.most_single() { rows - left } else { rows };
        let groups = grouped.min(BLOCK).div_ceil(GROUP);
        let mut ranks = vec![[R::NONE; GROUP]; self.columns.len() * groups];
        for start in (0..grouped).step_by(BLOCK) {
            let length = BLOCK.min(grouped - start);
            for (place, ranked) in self.columns.iter().enumerate() {
                let values = &column(ranked.feature)[start..start + length];
                self.rank(ranked, values, &mut ranks[place..]);
            }
            let mut sums = [[0.0; LANES]; BLOCK / LANES];
            let lanes = length.div_ceil(LANES);
            for tree in &self.trees {
                self.walk_rows(tree, &ranks, &mut sums[..lanes]);
            }
            out[start..start + length].copy_from_slice(&sums.as_flattened()[..length]);
        }
        let mut ranks = vec![R::NONE; if grouped < rows { self.columns.len() } else { 0 }];
        for (row, sum) in out.iter_mut().enumerate().skip(grouped) {
            for (ranked, rank) in self.columns.iter().zip(&mut ranks) {
                *rank = self.rank_of(ranked, column(ranked.feature)[row]);
            }
            *sum = self.walk_trees(&ranks);
        }
    }

    /// Returns the most rows that cost less one by one than as a group.
    fn most_single(&self) -> usize {
        let is_all_top = self.trees.iter().all(|tree| tree.depth == tree.top);
        if is_all_top { 1 } else { MOST_SINGLE }
    }

    /// Writes the ranks of a column: those of a group, then again after all other columns.
    // A separate function, for Wasm's compiler: see `walk_rows`.
    #[inline(never)]
    fn rank(&self, column: &Column, values: &[f64], ranks: &mut [Group<R>]) {
        let groups = values.chunks(GROUP).zip(ranks.iter_mut().step_by(self.columns.len()));
        // A feature of 0 and 1 has one threshold.
        if let [threshold] = self.thresholds[column.first..column.end] {
            let [of_missing, below, above] = [column.rank_of_missing(), R::of(0), R::of(1)];
            for (values, ranks) in groups {
                for (rank, &value) in ranks.iter_mut().zip(values) {
                    let is_above = (value > threshold) & (threshold < f64::MAX);
                    let rank_of_number = if is_above { above } else { below };
                    *rank = if value.is_nan() { of_missing } else { rank_of_number };
                }
            }
            return;
        }
        for (values, ranks) in groups {
            for (rank, value) in ranks.iter_mut().zip(values) {
                *rank = self.rank_of(column, *value);
            }
        }
    }

    /// Returns the rank of a value.
    #[inline]
    fn rank_of(&self, column: &Column, value: f64) -> R {
        if value.is_nan() {
            return column.rank_of_missing();
        }
        let value = if value > f64::MAX { f64::MAX } else { value };
        let thresholds = &self.thresholds[column.first..column.end];
        let below = if thresholds.len() <= FEW {
            thresholds.iter().map(|threshold| usize::from(*threshold < value)).sum()
        } else {
            thresholds.partition_point(|threshold| *threshold < value)
        };
        R::of(below)
    }

    /// Adds the value of each row's leaf to its sum. Rows after the block's end have any ranks;
    /// their sums are not used.
    // A separate function: within a large function, Wasm's compiler keeps the loop's values on the
    // stack.
    #[inline(never)]
    fn walk_rows(&self, tree: &Tree, ranks: &[Group<R>], sums: &mut [[f64; LANES]]) {
        let top = &self.tops[tree.first_top..][..(1 << tree.top) - 1];
        let groups = ranks.chunks_exact(self.columns.len()).zip(sums.chunks_mut(GROUP / LANES));
        if tree.depth == tree.top {
            let Some(values) = self.exit_values[tree.first_exit..].first_chunk::<WAYS>() else { return };
            for (ranks, sums) in groups {
                for (sums, ways) in sums.iter_mut().zip(R::walk_top(tree.top, top, ranks)) {
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        *sum += values[way(ways, lane)];
                    }
                }
            }
            return;
        }
        let Some(exits) = self.exits[tree.first_exit..].first_chunk::<WAYS>() else { return };
        for (ranks, sums) in groups {
            for (half, (sums, ways)) in sums.iter_mut().zip(R::walk_top(tree.top, top, ranks)).enumerate() {
                let mut places = std::array::from_fn(|lane| exits[way(ways, lane)]);
                self.walk_on(&mut places, tree.depth - tree.top, ranks, half * LANES);
                for (sum, place) in sums.iter_mut().zip(places) {
                    *sum += self.values[place as usize];
                }
            }
        }
    }

    /// Leads rows from their places down to their leaves, which are at most `depth` steps away.
    /// `first` is the place of the first row in its group.
    #[inline(always)]
    fn walk_on(&self, places: &mut [u32; LANES], depth: u32, ranks: &[Group<R>], first: usize) {
        for _ in 0..depth {
            let mut moved = 0;
            for (lane, place) in places.iter_mut().enumerate() {
                let step = &self.steps[*place as usize];
                let next = step.left + u32::from(ranks[R::place(step.column)][(first + lane) % GROUP] > step.rank);
                moved |= next ^ *place;
                *place = next;
            }
            if moved == 0 {
                break;
            }
        }
    }

    /// Returns the sum of one row's leaves, in the order of the trees.
    #[inline(never)]
    fn walk_trees(&self, ranks: &[R]) -> f64 {
        let mut sum = 0.0;
        // The last step is a tree of one leaf, whose value is 0.
        let none = self.steps.len() as u32 - 1;
        for trees in self.trees.chunks(LANES) {
            let mut places = [none; LANES];
            let mut deepest = 0;
            for (place, tree) in places.iter_mut().zip(trees) {
                *place = tree.root;
                deepest = deepest.max(tree.depth);
            }
            for _ in 0..deepest {
                let mut moved = 0;
                for place in &mut places {
                    let step = &self.steps[*place as usize];
                    let next = step.left + u32::from(ranks[R::place(step.column)] > step.rank);
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

/// Returns the way of a row, of eight.
#[inline(always)]
fn way(ways: u64, lane: usize) -> usize {
    (ways >> (8 * lane)) as usize % WAYS
}

impl Column {
    /// Returns the rank of a missing value, which is above or below all thresholds.
    fn rank_of_missing<R: Rank>(&self) -> R {
        if self.missing_left { R::NONE } else { R::MAX }
    }
}

/// A rank whose tops can be walked.
pub(crate) trait Walked: Rank {
    /// Returns the way of each row through a top of `levels` levels, a byte each: a bit for each
    /// turn to the right, the first turn's highest.
    fn walk_top(levels: u32, top: &[TopNode<Self>], ranks: &[Group<Self>]) -> [u64; GROUP / LANES];
}

impl Walked for u32 {
    /// Returns 0: these trees have no tops.
    fn walk_top(_: u32, _: &[TopNode<Self>], _: &[Group<Self>]) -> [u64; GROUP / LANES] {
        [0; GROUP / LANES]
    }
}

impl Walked for i8 {
    #[inline(always)]
    fn walk_top(levels: u32, top: &[TopNode<Self>], ranks: &[Group<Self>]) -> [u64; GROUP / LANES] {
        let mut ways = Bytes16::splat(0);
        let mut turns = [ways; Self::TOP as usize];
        /// Takes the turns of a level.
        macro_rules! level {
            ($level:literal) => {
                if levels > $level {
                    turns[$level] = turn::<{ 1 << $level }>(&top[(1 << $level) - 1..], ranks, &turns[..$level]);
                    ways = ways.with_bit(turns[$level]);
                }
            };
        }
        level!(0);
        level!(1);
        level!(2);
        level!(3);
        level!(4);
        ways.halves()
    }
}

/// Returns the mask of the rows that turn right at a level of `NODES` nodes, of which each row is
/// at the one where its turns before lead. All nodes are compared, and the row's is selected.
#[inline(always)]
fn turn<const NODES: usize>(level: &[TopNode<i8>], ranks: &[Group<i8>], turns: &[Bytes16]) -> Bytes16 {
    let Some(level) = level.first_chunk::<NODES>() else { return Bytes16::splat(0) };
    let above = |node: &TopNode<i8>| Bytes16::of(&ranks[usize::from(node.column)]).above(Bytes16::of(&node.ranks));
    let mut masks = level.each_ref().map(above);
    let mut width = NODES;
    for turn in turns {
        width /= 2;
        for place in 0..width {
            masks[place] = turn.select(masks[place + width], masks[place]);
        }
    }
    masks[0]
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
    fn a_model_with_more_thresholds_than_a_byte_counts_has_larger_ranks() {
        let values = [-1.0, 0.0, 0.5, 250.5, f64::INFINITY, f64::NAN, f64::NEG_INFINITY];
        for (count, is_small) in [(254, true), (255, true), (256, false), (1000, false)] {
            for (missing, of_nan) in [(MISSING_LEFT, 0.0), (0, count as f64)] {
                let model = stumps((0..count).rev().map(|number| number as f64), missing);
                let predictor = model.predictor();
                assert_eq!(matches!(predictor.layout, Layout::Bytes(_)), is_small, "{count}");
                let mut out = Vec::new();
                predictor.predict(&[&values], &mut out).unwrap();
                assert_eq!(out, [0.0, 0.0, 1.0, 251.0, count as f64, of_nan, 0.0]);
            }
        }
    }

    /// Walks each tree of a model for one row, node by node.
    fn walked(model: &TreeModel, row: &[f64]) -> f64 {
        let leaf = |nodes: &[Node]| {
            let mut node = &nodes[0];
            while node.left != 0 {
                let value = row[(node.feature & !MISSING_LEFT) as usize];
                let is_right = value > node.value || value.is_nan() && node.feature & MISSING_LEFT == 0;
                node = &nodes[node.left as usize + usize::from(is_right)];
            }
            node.value
        };
        model.starts.windows(2).map(|tree| leaf(&model.nodes[tree[0]..tree[1]])).fold(0.0, |sum, leaf| sum + leaf)
    }

    /// Makes a model of `trees` trees of at most `depth` levels, which split where a number says.
    fn grown(trees: usize, depth: u32, thresholds: u64) -> TreeModel {
        let mut model = TreeModel::empty(Objective::Value, 0.0, vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]);
        let mut state = 1u64;
        let mut number = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..trees {
            let mut nodes = vec![Node { value: 0.0, left: 0, feature: 0 }];
            let mut open = vec![(0, 0)];
            while let Some((place, level)) = open.pop() {
                if level == depth || number(8) == 0 {
                    nodes[place] = Node { value: number(1000) as f64 / 7.0, left: 0, feature: 0 };
                    continue;
                }
                let missing = if number(2) == 0 { MISSING_LEFT } else { 0 };
                let left = nodes.len();
                nodes[place] =
                    Node { value: number(thresholds) as f64, left: left as u32, feature: number(3) as u32 | missing };
                nodes.extend([Node { value: 0.0, left: 0, feature: 0 }; 2]);
                open.extend([(left, level + 1), (left + 1, level + 1)]);
            }
            model.nodes.extend(nodes);
            model.starts.push(model.nodes.len());
        }
        model
    }

    #[test]
    fn rows_are_predicted_alike_alone_in_groups_and_in_blocks() {
        let values: Vec<f64> = (0..3 * 280)
            .map(|place| if place % 11 == 3 { f64::NAN } else { f64::from(place as u32 * 53 % 407) / 4.0 })
            .collect();
        let columns: Vec<&[f64]> = values.chunks(280).collect();
        // Trees of less, as much and more than a top; and more thresholds than a byte counts.
        for (trees, depth, thresholds) in
            [(1, 0, 10), (9, 1, 10), (17, 3, 100), (20, 5, 100), (11, 6, 100), (30, 12, 100), (200, 6, 100_000)]
        {
            let model = grown(trees, depth, thresholds);
            let predictor = model.predictor();
            assert_eq!(matches!(predictor.layout, Layout::Numbers(_)), thresholds > 255);
            let expected: Vec<f64> =
                (0..280).map(|row| walked(&model, &[columns[0][row], columns[1][row], columns[2][row]])).collect();
            for length in (1..40).chain([64, 255, 256, 257, 260, 279, 280]) {
                let part: Vec<&[f64]> = columns.iter().map(|column| &column[280 - length..]).collect();
                let (mut by_columns, mut by_matrix) = (Vec::new(), vec![0.0; length]);
                predictor.predict(&part, &mut by_columns).unwrap();
                predictor.predict_matrix(&part.concat(), &mut by_matrix).unwrap();
                assert_eq!(by_columns, expected[280 - length..], "{trees} trees of {depth}, {length} rows");
                assert_eq!(by_matrix, by_columns);
            }
        }
    }

    #[test]
    fn numbers_of_another_width_are_refused() {
        let predictor = stumps([0.0].into_iter(), 0).predictor();
        assert!(matches!(predictor.predict_matrix(&[0.0; 3], &mut [0.0; 2]), Err(TreesError::Shape { .. })));
    }
}
