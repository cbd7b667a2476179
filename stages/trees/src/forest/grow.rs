//! Growing one tree of a forest: bootstrap, random features at each node, the best gini split among them.
//!
//! A cell holds the weight of the rows in its upper half's class 1 and in its lower half altogether, as whole numbers: one addition
//! a row and feature. Only the features that were drawn are looked at, so histograms are per feature and are not kept. Features
//! that are constant in a node are so in all nodes below, and are not looked at again.

use super::ForestValidParams;
use crate::bins::FeatureBins;
use crate::matrix::TrainingSet;
use crate::random::Random;
use crate::tree::{GrownNode, GrownTree, left_codes, partition};

/// What the weights of a tree's rows may sum to, in units.
const LARGEST_SUM: f64 = (1u64 << 31) as f64;

/// The weight of class 1 and of all rows in a cell.
fn weights(cell: u64) -> (f64, f64) {
    (f64::from((cell >> 32) as u32), f64::from(cell as u32))
}

/// A node that waits for its split.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    node: usize,
    start: usize,
    end: usize,
    depth: u32,
    total: u64,
}

/// The best split of a node so far.
#[derive(Debug, Clone, Copy)]
struct Best {
    feature: u32,
    bin: u8,
    missing_left: bool,
    left: u64,
    score: f64,
}

/// What looking at a feature showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// All rows of the node have the same code.
    Constant,
    /// They differ, whether or not that gave a better split.
    Varies,
}

/// Grows trees on one table; keeps its memory between them.
pub(super) struct TreeGrower<'a> {
    params: &'a ForestValidParams,
    set: TrainingSet<'a>,
    max_features: usize,
    rows: Vec<u32>,
    spare: Vec<u32>,
    /// A cell per row of the table.
    payloads: Vec<u64>,
    /// The cells of the current node's rows, in their order.
    gathered: Vec<u64>,
    /// The features, in the order in which they were drawn last.
    order: Vec<u32>,
    /// For each waiting node, a bit per feature that is constant in it.
    constants: Vec<u64>,
    /// The same for the current node.
    constant: Vec<u64>,
    histogram: Scratch,
}

/// The histogram of one feature.
struct Scratch {
    cells: [u64; 256],
    counts: [u32; 256],
}

impl<'a> TreeGrower<'a> {
    pub(super) fn new(params: &'a ForestValidParams, set: TrainingSet<'a>) -> Self {
        let (rows, width) = (set.features.rows(), set.features.width());
        Self {
            params,
            set,
            max_features: params.max_features.of(width),
            rows: Vec::with_capacity(rows),
            spare: vec![0; rows],
            payloads: vec![0; rows],
            gathered: vec![0; rows],
            order: Vec::new(),
            constants: Vec::new(),
            constant: vec![0; width.div_ceil(64)],
            histogram: Scratch { cells: [0; 256], counts: [0; 256] },
        }
    }

    /// Grows tree `number`.
    pub(super) fn grow(&mut self, number: u32) -> GrownTree {
        let mut random = Random::new(self.params.seed, u64::from(number));
        self.draw_rows(&mut random);
        self.order.clear();
        self.order.extend(0..self.set.features.width() as u32);
        self.constants.clear();
        self.constants.resize(self.constant.len(), 0);
        let total = self.rows.iter().map(|&row| self.payloads[row as usize]).sum();
        let mut tree = GrownTree::stump();
        let mut waiting = vec![Waiting { node: 0, start: 0, end: self.rows.len(), depth: 0, total }];
        while let Some(next) = waiting.pop() {
            let words = self.constant.len();
            let slot = waiting.len() * words;
            self.constant.copy_from_slice(&self.constants[slot..slot + words]);
            self.constants.truncate(slot);
            let best = if self.splittable(&next) { self.best_split(&next, &mut random) } else { None };
            match best {
                None => {
                    let (positive, all) = weights(next.total);
                    tree.nodes[next.node].value = positive / all;
                }
                Some(best) => {
                    waiting.extend(self.split(&next, best, &mut tree));
                    for _ in 0..2 {
                        self.constants.extend_from_slice(&self.constant);
                    }
                }
            }
        }
        tree
    }

    /// Draws the tree's rows, and turns how often each was drawn, times its weight, into whole units.
    fn draw_rows(&mut self, random: &mut Random) {
        let rows = self.payloads.len();
        self.payloads.fill(0);
        if self.params.bootstrap {
            for _ in 0..rows {
                self.payloads[random.below(rows as u32) as usize] += 1;
            }
        } else {
            self.payloads.fill(1);
        }
        let unit = self.units_of_weight();
        self.rows.clear();
        for (row, payload) in self.payloads.iter_mut().enumerate() {
            let weight = self.set.weight(row);
            if *payload == 0 || weight == 0.0 {
                continue;
            }
            // At least one unit: a cell of 0 is a bin without rows.
            let units = u64::from(((f64::from(*payload as u32) * weight * unit).round() as u32).max(1));
            let positive = if self.set.targets[row] == 1.0 { units } else { 0 };
            *payload = positive << 32 | units;
            self.rows.push(row as u32);
        }
    }

    /// How many units a weight of 1 is: 1 if all weights are whole numbers, else as many as fit.
    fn units_of_weight(&self) -> f64 {
        let Some(given) = self.set.weights else { return 1.0 };
        let total: f64 =
            given.iter().zip(&self.payloads).map(|(weight, &drawn)| weight * f64::from(drawn as u32)).sum();
        if total <= LARGEST_SUM && given.iter().all(|weight| weight.fract() == 0.0) { 1.0 } else { LARGEST_SUM / total }
    }

    /// Whether a node is large, shallow and mixed enough for a split.
    fn splittable(&self, node: &Waiting) -> bool {
        let rows = node.end - node.start;
        let (positive, all) = weights(node.total);
        self.params.max_depth.is_none_or(|limit| node.depth < limit)
            && rows >= self.params.min_samples_split as usize
            && rows >= 2 * self.params.min_samples_leaf as usize
            && positive > 0.0
            && positive < all
    }

    /// Draws features and returns the best split among them. Goes on past `max_features` until one of them varies.
    fn best_split(&mut self, node: &Waiting, random: &mut Random) -> Option<Best> {
        let rows = &self.rows[node.start..node.end];
        let gathered = &mut self.gathered[..rows.len()];
        for (cell, &row) in gathered.iter_mut().zip(rows) {
            *cell = self.payloads[row as usize];
        }
        let mut search = Search {
            rows,
            cells: gathered,
            total: node.total,
            least: if self.params.min_samples_leaf > 1 { self.params.min_samples_leaf } else { 0 },
            best: None,
        };
        let mut constants = 0;
        for drawn in 0..self.order.len() {
            if drawn >= self.max_features && drawn > constants {
                break;
            }
            let other = drawn + random.below((self.order.len() - drawn) as u32) as usize;
            self.order.swap(drawn, other);
            let feature = self.order[drawn];
            let (word, bit) = (feature as usize / 64, 1u64 << (feature % 64));
            if self.constant[word] & bit == 0 {
                let column = &self.set.features.features[feature as usize];
                if search.look(feature, &column.bins, &column.codes, &mut self.histogram) == Finding::Varies {
                    continue;
                }
                self.constant[word] |= bit;
            }
            constants += 1;
        }
        search.best
    }

    /// Splits a node and returns its children, the right one first: the left is taken next.
    fn split(&mut self, parent: &Waiting, best: Best, tree: &mut GrownTree) -> [Waiting; 2] {
        let column = &self.set.features.features[best.feature as usize];
        let ((positive, all), (left_positive, left_all)) = (weights(parent.total), weights(best.left));
        let right_positive = positive - left_positive;
        // Weight times impurity, of the node less that of its children.
        let gain = 2.0
            * (left_positive * left_positive / left_all + right_positive * right_positive / (all - left_all)
                - positive * positive / all);
        let split = GrownNode {
            feature: best.feature,
            bin: best.bin,
            missing_left: best.missing_left,
            gain: gain.max(0.0),
            ..GrownNode::default()
        };
        let left = tree.split(parent.node, split);
        let codes = left_codes(&split, column.bins.missing_code());
        let middle =
            parent.start + partition(&mut self.rows[parent.start..parent.end], &mut self.spare, &column.codes, &codes);
        let depth = parent.depth + 1;
        [
            Waiting { node: left + 1, start: middle, end: parent.end, depth, total: parent.total - best.left },
            Waiting { node: left, start: parent.start, end: middle, depth, total: best.left },
        ]
    }
}

/// The search for a node's best split.
struct Search<'a> {
    rows: &'a [u32],
    cells: &'a [u64],
    total: u64,
    /// The least number of rows of a child; 0: not to be counted.
    least: u32,
    best: Option<Best>,
}

/// The non-empty bins of a feature, ascending.
struct Present<'a> {
    feature: u32,
    histogram: &'a Scratch,
    bins: [u64; 4],
    /// The bins for values; a missing value's code is this.
    value_bins: usize,
}

impl Search<'_> {
    /// Looks at a feature: counts its bins, tries each split, and keeps the best.
    fn look(&mut self, feature: u32, bins: &FeatureBins, codes: &[u8], scratch: &mut Scratch) -> Finding {
        if bins.width() < 2 {
            return Finding::Constant;
        }
        let present = if self.least > 0 {
            self.count::<true>(codes, bins.width(), scratch)
        } else {
            self.count::<false>(codes, bins.width(), scratch)
        };
        if present.iter().map(|word| word.count_ones()).sum::<u32>() < 2 {
            return Finding::Constant;
        }
        let present = Present { feature, histogram: scratch, bins: present, value_bins: bins.value_bins() };
        let missing = present.missing();
        self.scan(&present, None);
        if missing {
            self.scan(&present, Some(bins.missing_code()));
        }
        Finding::Varies
    }

    /// Fills the histogram and returns which bins have rows.
    fn count<const ROWS: bool>(&self, codes: &[u8], width: usize, scratch: &mut Scratch) -> [u64; 4] {
        scratch.cells[..width].fill(0);
        if ROWS {
            scratch.counts[..width].fill(0);
        }
        for (&row, &cell) in self.rows.iter().zip(self.cells) {
            let code = usize::from(codes[row as usize]);
            scratch.cells[code] += cell;
            if ROWS {
                scratch.counts[code] += 1;
            }
        }
        let mut present = [0u64; 4];
        for (word, cells) in present.iter_mut().zip(scratch.cells[..width].chunks(64)) {
            for (bit, &cell) in cells.iter().enumerate() {
                *word |= u64::from(cell != 0) << bit;
            }
        }
        present
    }

    /// Tries a split between any two neighbouring bins that have rows. `missing` is the bin of missing values if they are
    /// to go left.
    fn scan(&mut self, present: &Present<'_>, missing: Option<u8>) {
        let Scratch { cells, counts } = present.histogram;
        let (mut left, mut rows) = missing.map_or((0, 0), |bin| (cells[usize::from(bin)], counts[usize::from(bin)]));
        let mut before = None;
        for (number, &word) in present.bins.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                let bin = number * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                if bin == present.value_bins && missing.is_some() {
                    break;
                }
                if let Some(before) = before {
                    self.try_split(present, (before, bin), (left, rows), missing.is_some());
                }
                left += cells[bin];
                rows += counts[bin];
                before = Some(bin);
            }
        }
    }

    /// Keeps a split if it is the best so far. Between two bins the cut is in the middle of the gap.
    fn try_split(&mut self, present: &Present<'_>, between: (usize, usize), left: (u64, u32), missing_left: bool) {
        let (left, rows) = left;
        if self.least > 0 && (rows < self.least || self.rows.len() as u32 - rows < self.least) {
            return;
        }
        let (positive, all) = weights(self.total);
        let (left_positive, left_all) = weights(left);
        let (right_positive, right_all) = (positive - left_positive, all - left_all);
        let numerator = left_positive * left_positive * right_all + right_positive * right_positive * left_all;
        let denominator = left_all * right_all;
        if numerator > self.best.map_or(-1.0, |best| best.score) * denominator {
            let last =
                if between.1 == present.value_bins { present.value_bins - 1 } else { (between.0 + between.1 - 1) / 2 };
            self.best = Some(Best {
                feature: present.feature,
                bin: last as u8,
                missing_left: if present.missing() { missing_left } else { left_all >= right_all },
                left,
                score: numerator / denominator,
            });
        }
    }
}

impl Present<'_> {
    /// Whether a row of the node is missing the value.
    fn missing(&self) -> bool {
        self.value_bins < 256 && self.bins[self.value_bins / 64] >> (self.value_bins % 64) & 1 == 1
    }
}
