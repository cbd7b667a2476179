//! Grows one tree of boosting, depth-wise or leaf-wise.
//!
//! Both ways are one loop over open nodes and differ in which node is split next. Without a limit
//! on leaves, the order does not change a depth-wise tree, so it is grown depth-first, which needs
//! a histogram for each level rather than for each node.

use crate::bundles::Bundles;
use crate::cells::Scale;
use crate::histogram::{Histogram, Histograms, subtract};
use crate::matrix::BinnedMatrix;
use crate::split::{Candidate, Regularisation, best_split};
use crate::tree::{GrownNode, GrownTree, partition};

/// The most bytes of histograms that are kept for subtraction. Beyond that, both children's
/// histograms are built from their rows, which takes longer and gives the same result.
const KEPT_BYTES: usize = 48 << 20;

/// The limits of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The most splits between the root and a leaf.
    pub(crate) max_depth: usize,
    /// The most leaves. With a limit, the leaf with the largest gain is split first.
    pub(crate) max_leaves: Option<usize>,
}

/// A node that can be split.
#[derive(Debug)]
struct Open {
    node: usize,
    range: std::ops::Range<usize>,
    depth: usize,
    total: u64,
    histogram: Option<Histogram>,
    split: Candidate,
}

/// A child of a node that is being split.
struct Child {
    node: usize,
    range: std::ops::Range<usize>,
    total: u64,
    splittable: bool,
}

/// A grown tree and the rows of each node: those of node `n` are `rows[ranges[n]]`.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) tree: GrownTree,
    pub(crate) ranges: Vec<std::ops::Range<usize>>,
}

/// Grows trees on one table, and reuses its memory for all of them.
#[derive(Debug)]
pub(crate) struct Grower<'a> {
    matrix: &'a BinnedMatrix,
    bundles: Bundles,
    histograms: Histograms,
    spare: Vec<u32>,
    extent: Extent,
    rules: Regularisation,
}

/// The gradients of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round<'a> {
    /// A cell for each row of the table.
    pub(crate) payloads: &'a [u64],
    /// The scale of the cells.
    pub(crate) scale: Scale,
    /// The features that may be split on.
    pub(crate) wanted: &'a [bool],
}

impl<'a> Grower<'a> {
    pub(crate) fn new(matrix: &'a BinnedMatrix, extent: Extent, rules: Regularisation) -> Self {
        let bundles = Bundles::new(matrix);
        let histograms = Histograms::new(matrix, &bundles);
        Self { matrix, bundles, histograms, spare: vec![0; matrix.rows()], extent, rules }
    }

    /// Grows a tree on `rows`, which are reordered so that the rows of each leaf are contiguous.
    pub(crate) fn grow(&mut self, rows: &mut [u32], round: Round<'_>) -> Grown {
        let mut grown = Grown { tree: GrownTree::stump(), ranges: std::iter::once(0..rows.len()).collect() };
        let total = rows.iter().fold(0u64, |sum, &row| sum.wrapping_add(round.payloads[row as usize]));
        let mut open = Vec::new();
        if self.splittable(total, rows.len(), 0, round.scale) {
            let histogram = self.build(rows, round);
            let root = Child { node: 0, range: 0..rows.len(), total, splittable: true };
            self.open(root, 0, histogram, round, &mut open);
        }
        let mut leaves = 1;
        while let Some(next) = self.next(&mut open) {
            if self.extent.max_leaves.is_some_and(|limit| leaves >= limit) {
                self.put_back(next.histogram);
                continue;
            }
            leaves += 1;
            self.split(next, rows, round, &mut grown, &mut open);
        }
        grown
    }

    /// Returns the open node to split next: the last one or, with a limit on leaves, the one with
    /// the largest gain (of equals, the oldest).
    fn next(&self, open: &mut Vec<Open>) -> Option<Open> {
        if self.extent.max_leaves.is_none() {
            return open.pop();
        }
        let best = open
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.split.gain.total_cmp(&b.split.gain).then(b.node.cmp(&a.node)))?
            .0;
        Some(open.swap_remove(best))
    }

    /// Splits a node, and opens those of its children that can be split.
    fn split(&mut self, parent: Open, rows: &mut [u32], round: Round<'_>, grown: &mut Grown, open: &mut Vec<Open>) {
        let Candidate { gain, feature, bin, missing_left, left } = parent.split;
        let column = &self.matrix.features[feature as usize];
        let split = GrownNode { feature, bin, missing_left, gain, ..GrownNode::default() };
        let node = grown.tree.split(parent.node, split);
        let here = &mut rows[parent.range.clone()];
        let missing_code = column.bins.missing_code();
        let lefts = partition(here, &mut self.spare, |row| column.codes[row as usize], &split, missing_code);
        let middle = parent.range.start + lefts;
        let depth = parent.depth + 1;
        let right = parent.total.wrapping_sub(left);
        let child = |node, range: std::ops::Range<usize>, total| {
            let splittable = self.splittable(total, range.len(), depth, round.scale);
            Child { node, range, total, splittable }
        };
        let left = child(node, parent.range.start..middle, left);
        let right = child(node + 1, middle..parent.range.end, right);
        grown.ranges.extend([left.range.clone(), right.range.clone()]);
        let (small, large) = if left.range.len() <= right.range.len() { (left, right) } else { (right, left) };
        self.open_children(small, large, parent.histogram, (depth, round), rows, open);
    }

    /// Computes the children's histograms: the smaller child's from its rows, the larger child's by
    /// subtraction.
    fn open_children(
        &mut self,
        small: Child,
        large: Child,
        parent: Option<Histogram>,
        at: (usize, Round<'_>),
        rows: &[u32],
        open: &mut Vec<Open>,
    ) {
        let (depth, round) = at;
        let small_histogram = if small.splittable || (large.splittable && parent.is_some()) {
            Some(self.build(&rows[small.range.clone()], round))
        } else {
            None
        };
        if large.splittable {
            let histogram = match (parent, &small_histogram) {
                (Some(mut histogram), Some(sibling)) => {
                    subtract(&mut histogram, sibling);
                    histogram
                }
                (other, _) => {
                    self.put_back(other);
                    self.build(&rows[large.range.clone()], round)
                }
            };
            self.open(large, depth, histogram, round, open);
        } else {
            self.put_back(parent);
        }
        match small_histogram {
            Some(histogram) if small.splittable => self.open(small, depth, histogram, round, open),
            other => self.put_back(other),
        }
    }

    /// Adds a node to the open nodes if it has a split.
    fn open(&mut self, child: Child, depth: usize, histogram: Histogram, round: Round<'_>, open: &mut Vec<Open>) {
        let Child { node, range, total, .. } = child;
        let found = best_split(
            self.matrix,
            &self.histograms,
            &histogram,
            round.wanted,
            (total, range.len()),
            round.scale,
            &self.rules,
        );
        let Some(split) = found else {
            self.histograms.put_back(histogram);
            return;
        };
        let kept = if open.len() * self.histograms.bytes() < KEPT_BYTES {
            Some(histogram)
        } else {
            self.histograms.put_back(histogram);
            None
        };
        open.push(Open { node, range, depth, total, histogram: kept, split });
    }

    fn build(&mut self, rows: &[u32], round: Round<'_>) -> Histogram {
        let mut histogram = self.histograms.take();
        self.histograms.build(&self.bundles, rows, round.payloads, round.wanted, &mut histogram);
        histogram
    }

    fn put_back(&mut self, histogram: Option<Histogram>) {
        if let Some(histogram) = histogram {
            self.histograms.put_back(histogram);
        }
    }

    /// Returns whether a node is large and shallow enough to have a split.
    fn splittable(&self, total: u64, rows: usize, depth: usize, scale: Scale) -> bool {
        depth < self.extent.max_depth
            && rows >= 2 * self.rules.min_samples_leaf.max(1)
            && scale.unpack(total).hessian >= 2.0 * self.rules.min_child_weight
    }
}
