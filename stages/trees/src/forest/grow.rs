//! Grows one tree of a forest: bootstrap, random features at each node, and the best Gini split
//! among them.
//!
//! A cell holds the weight of its rows, the weight of those of class 1 and, where there is room,
//! their number, as integers next to each other ([`Packing`]). So counting costs one addition a row
//! and feature. Only the drawn features are counted, so each feature has its own histogram, which
//! is not kept.
//!
//! Several features are counted in one pass over row-wise codes, so that the processor waits
//! neither for the memory of each feature's code nor for one addition after the other. Once the
//! rows of a node fit the second-level cache, they are copied there, and the whole subtree uses the
//! copy. A feature that is constant in a node is constant in all nodes below and is not counted
//! again.

use super::options::ForestValidParams;
use super::packing::Packing;
use crate::bins::FeatureBins;
use crate::cells::STRIDE;
use crate::matrix::{TrainingSet, by_rows};
use crate::random::Random;
use crate::tree::{GrownNode, GrownTree, partition};

/// The largest sum of the weights of a tree's rows, in units.
const LARGEST_SUM: f64 = (1u64 << 31) as f64;

/// The most features that are counted in one pass.
const GROUP: usize = 8;

/// The most bytes of codes of a node whose rows are copied. They fit a second-level cache of 512 KB
/// with other data.
const COPIED_BYTES: usize = 256 << 10;

/// The most rows of a node whose non-empty bins are collected row by row. For larger nodes, all
/// bins are scanned.
const FEW_ROWS: usize = 48;

/// A node that is not processed yet.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    node: usize,
    start: usize,
    end: usize,
    depth: u32,
    total: u64,
    /// Whether its rows are row numbers of the copy.
    copied: bool,
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

/// Grows trees on one table, and reuses its memory for all of them.
pub(super) struct TreeGrower<'a> {
    params: &'a ForestValidParams,
    set: TrainingSet<'a>,
    packing: Packing,
    max_features: usize,
    rows: Vec<u32>,
    spare: Vec<u32>,
    /// The whole table.
    table: RowTable,
    /// The rows of the current subtree, if they are few.
    copy: RowTable,
    /// The cells of the current node's rows, in the rows' order.
    gathered: Vec<u64>,
    /// The features, in the order of the last draw.
    order: Vec<u32>,
    /// For each waiting node, a bit for each feature that is constant in it.
    constants: Vec<u64>,
    /// The same bits for the current node.
    constant: Vec<u64>,
    /// The features drawn for the current node that must be counted.
    drawn: Vec<u32>,
    histograms: Vec<Histogram>,
}

/// Codes and cells, row by row.
struct RowTable {
    codes: Vec<u8>,
    stride: usize,
    /// A cell for each row.
    payloads: Vec<u64>,
}

impl RowTable {
    /// Returns the codes of a row.
    fn codes(&self, row: u32) -> &[u8] {
        let start = row as usize * self.stride;
        &self.codes[start..start + self.stride]
    }

    /// Copies rows of another table and renumbers them.
    fn copy_from(&mut self, other: &Self, rows: &mut [u32]) {
        self.codes.clear();
        self.payloads.clear();
        for (number, row) in rows.iter_mut().enumerate() {
            // A few bytes at a time: in Wasm, a copy of unknown length is a call into the runtime.
            for sixteen in other.codes(*row).as_chunks::<16>().0 {
                self.codes.extend(*sixteen);
            }
            self.payloads.push(other.payloads[*row as usize]);
            *row = number as u32;
        }
    }
}

/// The histogram of one feature. It is empty between uses.
#[derive(Clone)]
struct Histogram {
    cells: [u64; STRIDE],
    /// The number of distinct rows in each bin, if it is needed and the cells do not hold it.
    rows: [u32; STRIDE],
}

impl<'a> TreeGrower<'a> {
    pub(super) fn new(params: &'a ForestValidParams, set: TrainingSet<'a>) -> Self {
        let (rows, width) = (set.features.rows(), set.features.width());
        // Rows are aligned to 16 bytes, so that they span as few cache lines as possible.
        let stride = width.next_multiple_of(16);
        let columns = set.features.features.iter().map(|feature| feature.codes.as_slice());
        Self {
            params,
            packing: Packing::of(&set),
            set,
            table: RowTable { codes: by_rows(columns, rows, stride), stride, payloads: vec![0; rows] },
            copy: RowTable { codes: Vec::new(), stride, payloads: Vec::new() },
            max_features: params.max_features.of(width),
            rows: Vec::with_capacity(rows),
            spare: vec![0; rows],
            gathered: vec![0; rows],
            order: Vec::new(),
            constants: Vec::new(),
            constant: vec![0; width.div_ceil(64)],
            drawn: Vec::new(),
            histograms: vec![Histogram { cells: [0; STRIDE], rows: [0; STRIDE] }; GROUP],
        }
    }

    /// Grows the tree with this number.
    pub(super) fn grow(&mut self, number: u32) -> GrownTree {
        let mut random = Random::new(self.params.seed, u64::from(number));
        self.draw_rows(&mut random);
        self.order.clear();
        self.order.extend(0..self.set.features.width() as u32);
        self.constants.clear();
        self.constants.resize(self.constant.len(), 0);
        let total = self.rows.iter().map(|&row| self.table.payloads[row as usize]).sum();
        let mut tree = GrownTree::stump();
        let mut waiting = vec![Waiting { node: 0, start: 0, end: self.rows.len(), depth: 0, total, copied: false }];
        while let Some(mut next) = waiting.pop() {
            let words = self.constant.len();
            let slot = waiting.len() * words;
            self.constant.copy_from_slice(&self.constants[slot..slot + words]);
            self.constants.truncate(slot);
            let best = if self.splittable(&next) {
                if !next.copied && (next.end - next.start) * self.table.stride <= COPIED_BYTES {
                    self.copy.copy_from(&self.table, &mut self.rows[next.start..next.end]);
                    next.copied = true;
                }
                self.best_split(&next, &mut random)
            } else {
                None
            };
            match best {
                None => {
                    let (positive, all) = self.packing.weights(next.total);
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

    /// Draws the rows of the tree, and converts the number of draws of each row, times its weight,
    /// into units.
    fn draw_rows(&mut self, random: &mut Random) {
        let rows = self.table.payloads.len();
        self.table.payloads.fill(0);
        if self.params.bootstrap {
            for _ in 0..rows {
                self.table.payloads[random.below(rows as u32) as usize] += 1;
            }
        } else {
            self.table.payloads.fill(1);
        }
        let unit = self.units_of_weight();
        self.rows.clear();
        for (row, payload) in self.table.payloads.iter_mut().enumerate() {
            if *payload == 0 {
                continue;
            }
            let mut units = *payload;
            if self.set.weights.is_some() {
                let weight = self.set.weight(row);
                if weight == 0.0 {
                    continue;
                }
                // At least one unit, since a cell of 0 means a bin without rows.
                units = u64::from(((f64::from(*payload as u32) * weight * unit).round() as u32).max(1));
            }
            *payload = self.packing.cell(units, self.set.targets[row] == 1.0);
            self.rows.push(row as u32);
        }
    }

    /// Returns the number of units of a weight of 1: 1 if all weights are integers, else as many as
    /// fit.
    fn units_of_weight(&self) -> f64 {
        let Some(given) = self.set.weights else { return 1.0 };
        let total: f64 =
            given.iter().zip(&self.table.payloads).map(|(weight, &drawn)| weight * f64::from(drawn as u32)).sum();
        if total <= LARGEST_SUM && given.iter().all(|weight| weight.fract() == 0.0) { 1.0 } else { LARGEST_SUM / total }
    }

    /// Returns whether a node is large, shallow and mixed enough for a split.
    fn splittable(&self, node: &Waiting) -> bool {
        let rows = node.end - node.start;
        let (positive, all) = self.packing.weights(node.total);
        self.params.max_depth.is_none_or(|limit| node.depth < limit)
            && rows >= self.params.min_samples_split as usize
            && rows >= 2 * self.params.min_samples_leaf as usize
            && positive > 0.0
            && positive < all
    }

    /// Draws features and returns the best split among them. If all drawn features are constant, it
    /// draws beyond `max_features` until one is not.
    fn best_split(&mut self, node: &Waiting, random: &mut Random) -> Option<Best> {
        let rows = &self.rows[node.start..node.end];
        let table = if node.copied { &self.copy } else { &self.table };
        let gathered = &mut self.gathered[..rows.len()];
        gather(rows, &table.payloads, gathered);
        let mut search = Search {
            rows,
            table,
            cells: gathered,
            packing: self.packing,
            total: node.total,
            least: if self.params.min_samples_leaf > 1 { self.params.min_samples_leaf } else { 0 },
            best: None,
        };
        let (mut drawn, mut constants) = (0, 0);
        let total = self.order.len();
        while drawn < total && (drawn < self.max_features || drawn == constants) {
            // First those that are always considered, then one by one.
            let until = if drawn < self.max_features { self.max_features } else { drawn + 1 };
            self.drawn.clear();
            for place in drawn..until {
                let other = place + random.below((total - place) as u32) as usize;
                self.order.swap(place, other);
                let feature = self.order[place];
                if self.constant[feature as usize / 64] >> (feature % 64) & 1 == 0 {
                    self.drawn.push(feature);
                }
            }
            constants += until - drawn - self.drawn.len();
            drawn = until;
            for group in self.drawn.chunks(GROUP) {
                search.count(group, &mut self.histograms);
                for (&feature, histogram) in group.iter().zip(&mut self.histograms) {
                    let column = &self.set.features.features[feature as usize];
                    if !search.look(feature, &column.bins, histogram) {
                        self.constant[feature as usize / 64] |= 1 << (feature % 64);
                        constants += 1;
                    }
                }
            }
        }
        search.best
    }

    /// Splits a node and returns its children, the right one first, so that the left one is
    /// processed next.
    fn split(&mut self, parent: &Waiting, best: Best, tree: &mut GrownTree) -> [Waiting; 2] {
        let column = &self.set.features.features[best.feature as usize];
        let [(positive, all), (left_positive, left_all)] =
            [parent.total, best.left].map(|cell| self.packing.weights(cell));
        let right_positive = positive - left_positive;
        // The weighted impurity of the node minus that of its children.
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
        let here = &mut self.rows[parent.start..parent.end];
        let (spare, missing_code) = (&mut self.spare, column.bins.missing_code());
        // A column of the whole table is a 50th of its rows, so it stays in the cache.
        let lefts = if parent.copied {
            partition(here, spare, |row| self.copy.codes(row)[best.feature as usize], &split, missing_code)
        } else {
            partition(here, spare, |row| column.codes[row as usize], &split, missing_code)
        };
        let middle = parent.start + lefts;
        let (depth, copied) = (parent.depth + 1, parent.copied);
        [
            Waiting { node: left + 1, start: middle, end: parent.end, depth, total: parent.total - best.left, copied },
            Waiting { node: left, start: parent.start, end: middle, depth, total: best.left, copied },
        ]
    }
}

/// Copies the cells of rows.
#[inline(never)]
fn gather(rows: &[u32], payloads: &[u64], gathered: &mut [u64]) {
    for (cell, &row) in gathered.iter_mut().zip(rows) {
        *cell = payloads[row as usize];
    }
}

/// The search for a node's best split.
struct Search<'a> {
    rows: &'a [u32],
    /// The table that `rows` are row numbers of.
    table: &'a RowTable,
    /// The cells of the rows.
    cells: &'a [u64],
    packing: Packing,
    total: u64,
    /// The least number of rows of a child; 0 if rows need not be counted.
    least: u32,
    best: Option<Best>,
}

/// The non-empty bins of a feature.
struct Present<'a> {
    feature: u32,
    histogram: &'a Histogram,
    /// A bit for each bin.
    bins: [u64; 4],
    /// The number of bins for values, which is also the code of missing values.
    value_bins: usize,
}

impl Search<'_> {
    /// Fills the histograms of a group of features.
    fn count(&self, group: &[u32], histograms: &mut [Histogram]) {
        match *group {
            [a] => self.count_each([a], histograms),
            [a, b] => self.count_each([a, b], histograms),
            [a, b, c] => self.count_each([a, b, c], histograms),
            [a, b, c, d] => self.count_each([a, b, c, d], histograms),
            [a, b, c, d, e] => self.count_each([a, b, c, d, e], histograms),
            [a, b, c, d, e, f] => self.count_each([a, b, c, d, e, f], histograms),
            [a, b, c, d, e, f, g] => self.count_each([a, b, c, d, e, f, g], histograms),
            [a, b, c, d, e, f, g, h] => self.count_each([a, b, c, d, e, f, g, h], histograms),
            _ => unreachable!("groups have 1 to {GROUP} features"),
        }
    }

    fn count_each<const N: usize>(&self, group: [u32; N], histograms: &mut [Histogram]) {
        let Some((histograms, _)) = histograms.split_first_chunk_mut::<N>() else { return };
        if self.least > 0 && !self.packing.counts_rows() {
            self.count_rows::<N, true>(group, histograms);
        } else {
            self.count_rows::<N, false>(group, histograms);
        }
    }

    // A separate function, like all hot loops here: within a large function, Wasm's compiler keeps
    // the loop's values on the stack.
    #[inline(never)]
    fn count_rows<const N: usize, const ROWS: bool>(&self, group: [u32; N], into: &mut [Histogram; N]) {
        for (&row, &cell) in self.rows.iter().zip(self.cells) {
            let codes = self.table.codes(row);
            for (histogram, &feature) in into.iter_mut().zip(&group) {
                let code = usize::from(codes[feature as usize]);
                histogram.cells[code] += cell;
                if ROWS {
                    histogram.rows[code] += 1;
                }
            }
        }
    }

    /// Tries each split of a counted feature, keeps the best, and empties the histogram. Returns
    /// `false` if the feature is constant.
    #[inline(never)]
    fn look(&mut self, feature: u32, bins_of: &FeatureBins, histogram: &mut Histogram) -> bool {
        let width = bins_of.width();
        let mut bins = [0u64; 4];
        let few = self.rows.len() < FEW_ROWS;
        if few {
            for &row in self.rows {
                let code = self.table.codes(row)[feature as usize];
                bins[usize::from(code / 64)] |= 1 << (code % 64);
            }
        } else {
            for (word, cells) in bins.iter_mut().zip(histogram.cells[..width].chunks(64)) {
                for (bit, &cell) in cells.iter().enumerate() {
                    *word |= u64::from(cell != 0) << bit;
                }
            }
        }
        let varies = bins.iter().map(|word| word.count_ones()).sum::<u32>() > 1;
        if varies {
            let present = Present { feature, histogram, bins, value_bins: bins_of.value_bins() };
            self.scan(&present, None);
            if present.missing() {
                self.scan(&present, Some(bins_of.missing_code()));
            }
        }
        if few {
            for &row in self.rows {
                let code = usize::from(self.table.codes(row)[feature as usize]);
                histogram.cells[code] = 0;
                histogram.rows[code] = 0;
            }
        } else {
            histogram.cells[..width].fill(0);
            histogram.rows[..width].fill(0);
        }
        varies
    }

    /// Tries a split between any two neighbouring bins that have rows. `missing` is the bin of
    /// missing values if they are to go left.
    fn scan(&mut self, present: &Present<'_>, missing: Option<u8>) {
        let Histogram { cells, rows: counts } = present.histogram;
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

    /// Keeps a split if it is the best so far. Between two bins with rows, the cut is in the middle
    /// of the gap.
    fn try_split(&mut self, present: &Present<'_>, between: (usize, usize), left: (u64, u32), missing_left: bool) {
        let (left, counted) = left;
        let rows = if self.packing.counts_rows() { self.packing.rows(left) } else { counted };
        if self.least > 0 && (rows < self.least || self.rows.len() as u32 - rows < self.least) {
            return;
        }
        let (positive, all) = self.packing.weights(self.total);
        let (left_positive, left_all) = self.packing.weights(left);
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
    /// Returns whether the value is missing in a row of the node.
    fn missing(&self) -> bool {
        self.value_bins < 256 && self.bins[self.value_bins / 64] >> (self.value_bins % 64) & 1 == 1
    }
}
