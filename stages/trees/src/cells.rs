//! The cells of boosting's histograms: sums of gradients and hessians, as integers.
//!
//! A cell has 64 bits: the sum of gradients in the upper half, in two's complement, and the sum of
//! hessians in the lower half. One addition adds both. Gradients and hessians are scaled so that
//! the sums over a whole table fit ([`Scale`]); LightGBM has shown that far fewer bits suffice (Shi
//! et al., "Quantized training of gradient boosting decision trees", NeurIPS 2022).
//!
//! This is fast, and integer sums do not depend on the order of their terms. So the histogram of a
//! child by subtraction equals the one built from its rows bit for bit, and results are the same on
//! every machine. Floats would need 16 bytes a cell. Leaf values are computed from the gradients
//! themselves, not from these sums.

/// The number of cells of a bundle: 256 for the codes, and a few more. Without these, the same
/// code's cells of neighbouring bundles would be a multiple of 4,096 bytes apart, where processors
/// mistake a load for one of a recent store (4K aliasing).
pub(crate) const STRIDE: usize = 264;

/// The cells of one bundle. An index of type `u8` needs no bounds check.
pub(crate) type BundleCells = [u64; STRIDE];

/// The largest scaled sum of gradients or hessians.
const LARGEST_SUM: f64 = (1u64 << 30) as f64;

/// Adding this number and taking the low bits rounds a double to the nearest integer (of at most 51
/// bits) without a conversion.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The scale of a histogram: the number of units of a gradient and of a hessian of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    gradient: f64,
    hessian: f64,
}

/// A sum of gradients and a sum of hessians, unscaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    pub(crate) gradient: f64,
    pub(crate) hessian: f64,
}

impl Scale {
    /// Returns the finest scale for which the sum of all absolute gradients, `gradients`, and the
    /// sum of all hessians, `hessians`, fit.
    pub(crate) fn new(gradients: f64, hessians: f64) -> Self {
        let units = |sum: f64| if sum > 0.0 { (LARGEST_SUM / sum).min(1e30) } else { 1.0 };
        Self { gradient: units(gradients), hessian: units(hessians) }
    }

    /// Packs the gradient and the hessian of a row into a cell. The hessian is at least one unit,
    /// since a cell of 0 means a bin without rows.
    pub(crate) fn pack(self, gradient: f64, hessian: f64) -> u64 {
        let gradient = (gradient * self.gradient + ROUND).to_bits() as u32;
        let hessian = hessian * self.hessian;
        // A comparison instead of `f64::max`, which is a function call in Wasm.
        let hessian = (if hessian > 1.0 { hessian } else { 1.0 } + ROUND).to_bits() as u32;
        u64::from(gradient) << 32 | u64::from(hessian)
    }

    /// Unpacks the sums of a cell.
    pub(crate) fn unpack(self, cell: u64) -> Sums {
        Sums {
            gradient: f64::from((cell >> 32) as i32) / self.gradient,
            hessian: f64::from(cell as i32) / self.hessian,
        }
    }

    /// Returns the size of a unit of the gradient and of the hessian.
    pub(crate) fn units(self) -> (f64, f64) {
        (1.0 / self.gradient, 1.0 / self.hessian)
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
