//! Builds the histograms of a tree's nodes.

use crate::bundles::Bundles;
use crate::cells::{BundleCells, STRIDE};
use crate::matrix::BinnedMatrix;

/// The histogram of a node: the bins of all features, one feature after the other.
pub(crate) type Histogram = Vec<u64>;

/// Builds histograms, and reuses the memory of those that are no longer needed.
#[derive(Debug)]
pub(crate) struct Histograms {
    /// The index of each feature's first bin, and the total number of bins.
    offsets: Vec<usize>,
    free: Vec<Histogram>,
    bundle_cells: Vec<BundleCells>,
}

impl Histograms {
    pub(crate) fn new(matrix: &BinnedMatrix, bundles: &Bundles) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        for feature in &matrix.features {
            end += feature.bins.width();
            offsets.push(end);
        }
        Self { offsets, free: Vec::new(), bundle_cells: vec![[0; STRIDE]; bundles.len()] }
    }

    /// Returns the bins of feature `index` in a histogram.
    pub(crate) fn range(&self, index: usize) -> std::ops::Range<usize> {
        self.offsets[index]..self.offsets[index + 1]
    }

    /// Returns the size of a histogram in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.offsets[self.offsets.len() - 1] * size_of::<u64>()
    }

    /// Returns a histogram with unspecified contents.
    pub(crate) fn take(&mut self) -> Histogram {
        self.free.pop().unwrap_or_else(|| vec![0; self.offsets[self.offsets.len() - 1]])
    }

    /// Returns a histogram that is no longer needed.
    pub(crate) fn put_back(&mut self, histogram: Histogram) {
        self.free.push(histogram);
    }

    /// Fills `histogram` with the sums over `rows` for the features that are `wanted`. The bins of
    /// other features are unspecified.
    pub(crate) fn build(
        &mut self,
        bundles: &Bundles,
        rows: &[u32],
        payloads: &[u64],
        wanted: &[bool],
        histogram: &mut Histogram,
    ) {
        self.bundle_cells.as_flattened_mut().fill(0);
        bundles.accumulate(rows, payloads, &mut self.bundle_cells);
        bundles.distribute(&self.bundle_cells, &self.offsets, wanted, histogram);
    }
}

/// Subtracts a child's histogram from its parent's, which gives the histogram of the other child.
#[inline(never)]
pub(crate) fn subtract(parent: &mut Histogram, sibling: &Histogram) {
    for (cell, &other) in parent.iter_mut().zip(sibling) {
        *cell = cell.wrapping_sub(other);
    }
}
