//! The cells of a forest's histograms.

use crate::matrix::TrainingSet;

/// The layout of a cell: the weight of all rows in the lowest bits, the weight of the rows of class
/// 1 in as many bits above, and the number of distinct rows in the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    bits: u32,
}

impl Packing {
    /// Weights of up to 32 bits. Rows are counted separately.
    const WIDE: Self = Self { bits: 32 };

    /// All three numbers in one cell. If rows have no weights, each number is at most the number of
    /// rows.
    const NARROW: Self = Self { bits: 21 };

    pub(super) fn of(set: &TrainingSet<'_>) -> Self {
        if set.weights.is_none() && set.features.rows() < 1 << Self::NARROW.bits { Self::NARROW } else { Self::WIDE }
    }

    /// Returns whether cells hold the number of rows.
    pub(super) fn counts_rows(self) -> bool {
        self.bits < 32
    }

    /// Returns the cell of one row.
    pub(super) fn cell(self, units: u64, is_positive: bool) -> u64 {
        let positive = if is_positive { units } else { 0 };
        let row = if self.counts_rows() { 1 << (2 * self.bits) } else { 0 };
        row | positive << self.bits | units
    }

    /// Returns the weights of class 1 and of all rows.
    pub(super) fn weights(self, cell: u64) -> (f64, f64) {
        let mask = (1 << self.bits) - 1;
        (f64::from((cell >> self.bits & mask) as u32), f64::from((cell & mask) as u32))
    }

    /// Returns the number of distinct rows, for cells that hold it.
    pub(super) fn rows(self, cell: u64) -> u32 {
        (cell >> (2 * self.bits)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_cells_are_the_sums_of_their_parts_up_to_the_most_rows() {
        for packing in [Packing::NARROW, Packing::WIDE] {
            let most = (1_u64 << packing.bits) - 1;
            // One row of class 0 was drawn `most - 3` times and one of class 1 three times. No
            // number may carry over into another.
            let cell = packing.cell(most - 3, false) + packing.cell(3, true);
            assert_eq!(packing.weights(cell), (3.0, most as f64));
            if packing.counts_rows() {
                let rows = (0..most).fold(0, |sum, _| sum + packing.cell(1, true));
                assert_eq!((packing.weights(rows), packing.rows(rows)), ((most as f64, most as f64), most as u32));
            }
        }
    }
}
