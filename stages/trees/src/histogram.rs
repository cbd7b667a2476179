//! Histograms of gradients, in integers.
//!
//! A cell is 64 bits: the sum of gradients in the upper half (two's complement) and the sum of hessians in the lower. One
//! addition adds both. Gradients and hessians are scaled so that the sums of a whole table fit ([`Scale`]); LightGBM has
//! shown that far fewer bits do (Shi et al., "Quantized training of gradient boosting decision trees", NeurIPS 2022). That
//! is not only fast: integer sums do not depend on their order, so a child's histogram by subtraction equals the one built
//! from its rows bit for bit, and results are the same on every machine. Floats would need 16 bytes a cell. Leaf
//! values are computed from the gradients themselves, not from these sums.

use crate::bundles::Bundles;
use crate::matrix::BinnedMatrix;

/// Cells per bundle: 256 for the codes and a few more, so that the same code's cells of neighbouring bundles do not fall
/// at equal distances of 4,096 bytes, where a processor takes a load for one of a recent store.
pub(crate) const STRIDE: usize = 264;

/// The cells of one bundle. Indexed by a byte, so without a check.
pub(crate) type BundleCells = [u64; STRIDE];

/// What sums of gradients and hessians may grow to.
const LARGEST_SUM: f64 = (1u64 << 30) as f64;

/// Adding this and taking the low bits rounds a double to the nearest integer (of at most 51 bits) without a conversion.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// How many units of a histogram a gradient or a hessian of 1 is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    gradient: f64,
    hessian: f64,
}

/// A sum of gradients and hessians, in their own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    pub(crate) gradient: f64,
    pub(crate) hessian: f64,
}

impl Scale {
    /// The finest scale on which the sum of all absolute gradients, and that of all hessians, fits.
    pub(crate) fn new(gradients: f64, hessians: f64) -> Self {
        let units = |sum: f64| if sum > 0.0 { (LARGEST_SUM / sum).min(1e30) } else { 1.0 };
        Self { gradient: units(gradients), hessian: units(hessians) }
    }

    /// A row's cell. The hessian is at least one unit: a cell of 0 is a bin without rows.
    pub(crate) fn pack(self, gradient: f64, hessian: f64) -> u64 {
        let gradient = (gradient * self.gradient + ROUND).to_bits() as u32;
        let hessian = hessian * self.hessian;
        // A comparison, not `max`: that is a call in Wasm, where no instruction does the same.
        let hessian = (if hessian > 1.0 { hessian } else { 1.0 } + ROUND).to_bits() as u32;
        u64::from(gradient) << 32 | u64::from(hessian)
    }

    /// What a cell holds.
    pub(crate) fn unpack(self, cell: u64) -> Sums {
        Sums {
            gradient: f64::from((cell >> 32) as i32) / self.gradient,
            hessian: f64::from(cell as i32) / self.hessian,
        }
    }

    /// The size of a unit of gradient and of hessian.
    pub(crate) fn units(self) -> (f64, f64) {
        (1.0 / self.gradient, 1.0 / self.hessian)
    }
}

/// A node's histogram: the bins of all features, one after the other.
pub(crate) type Histogram = Vec<u64>;

/// Builds histograms and keeps those that are not in use for the next node.
#[derive(Debug)]
pub(crate) struct Histograms {
    /// Where each feature's bins begin; one more than there are features.
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

    /// Where feature `index` has its bins in a histogram.
    pub(crate) fn range(&self, index: usize) -> std::ops::Range<usize> {
        self.offsets[index]..self.offsets[index + 1]
    }

    /// The bytes of a histogram.
    pub(crate) fn bytes(&self) -> usize {
        self.offsets[self.offsets.len() - 1] * size_of::<u64>()
    }

    /// A histogram that holds anything.
    pub(crate) fn take(&mut self) -> Histogram {
        self.free.pop().unwrap_or_else(|| vec![0; self.offsets[self.offsets.len() - 1]])
    }

    /// Takes a histogram back.
    pub(crate) fn give(&mut self, histogram: Histogram) {
        self.free.push(histogram);
    }

    /// Fills `histogram` with the sums over `rows`, for the features that are `wanted`; the others' bins hold anything.
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

/// Turns a parent's histogram into that of the child whose sibling's is `sibling`.
#[inline(never)]
pub(crate) fn subtract(parent: &mut Histogram, sibling: &Histogram) {
    for (cell, &other) in parent.iter_mut().zip(sibling) {
        *cell = cell.wrapping_sub(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_packed_cells_are_the_sums_of_their_halves() {
        let scale = Scale::new(100.0, 10.0);
        let rows = [(-30.0, 1.0), (20.0, 2.5), (-40.0, 3.0), (10.0, 3.5)];
        let cell = rows.iter().fold(0u64, |sum, &(g, h)| sum.wrapping_add(scale.pack(g, h)));
        let sums = scale.unpack(cell);
        assert!((sums.gradient + 40.0).abs() < 1e-6 && (sums.hessian - 10.0).abs() < 1e-7, "{sums:?}");
    }

    #[test]
    fn a_row_of_almost_no_hessian_still_counts() {
        assert_ne!(Scale::new(1.0, 1e12).pack(0.0, 1e-9), 0);
    }
}
