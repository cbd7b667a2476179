//! Bundles of features that are read together, to build the histograms of boosting from rows.
//!
//! Features with few bins are joined into bundles. The code of a bundle stands for a combination of
//! its members' codes that occurs in the data; there are at most 256. A histogram over the codes of
//! a bundle contains the histograms of its members: the sum of a member's bin is the sum over the
//! combinations with this bin. So the 40 one-hot columns of a typical table cost three additions a
//! row instead of 40, with the same result.
//!
//! LightGBM's exclusive feature bundling (Ke et al., 2017, section 4) joins only features that are
//! never non-zero together. Combinations need no such condition, and one-hot groups, which have few
//! combinations, are found without a search.

use crate::cells::{BundleCells, STRIDE};
use crate::matrix::{BinnedMatrix, by_rows};

/// The most combinations of a bundle, whose codes are bytes.
const MAX_COMBINATIONS: usize = 256;

/// The most bins of a feature that is joined with others. More would give too many combinations.
const WIDEST_JOINED: usize = 128;

/// The number of rows that are tried first. They usually show that two features do not fit
/// together.
const FIRST_LOOK: usize = 4_096;

/// One or more features with a common code.
#[derive(Debug)]
struct Bundle {
    members: Vec<Member>,
    /// The number of combinations that occur.
    combinations: usize,
}

/// A feature in a bundle.
#[derive(Debug)]
struct Member {
    feature: usize,
    /// Its code in each combination of the bundle.
    codes: Vec<u8>,
}

/// All features with more than one bin, bundled, row by row.
#[derive(Debug)]
pub(crate) struct Bundles {
    bundles: Vec<Bundle>,
    /// The code of each bundle, row by row.
    rows: Vec<u8>,
}

impl Bundles {
    /// Bundles the features. Each joins the first bundle that has room for it.
    pub(crate) fn new(matrix: &BinnedMatrix) -> Self {
        let mut bundles: Vec<(Bundle, Vec<u8>)> = Vec::new();
        for (feature, column) in matrix.features.iter().enumerate() {
            let width = column.bins.width();
            if width < 2 {
                continue;
            }
            let joined = width <= WIDEST_JOINED
                && bundles.iter_mut().any(|(bundle, codes)| bundle.join(codes, feature, &column.codes, width));
            if !joined {
                let member = Member { feature, codes: (0..=255).take(width).collect() };
                bundles.push((Bundle { members: vec![member], combinations: width }, column.codes.clone()));
            }
        }
        let rows = by_rows(bundles.iter().map(|(_, codes)| codes.as_slice()), matrix.rows(), bundles.len());
        Self { bundles: bundles.into_iter().map(|(bundle, _)| bundle).collect(), rows }
    }

    /// Returns the number of bundles.
    pub(crate) fn len(&self) -> usize {
        self.bundles.len()
    }

    /// Adds the cells of `rows` to the bundles' cells.
    #[inline(never)]
    pub(crate) fn accumulate(&self, rows: &[u32], payloads: &[u64], cells: &mut [BundleCells]) {
        let stride = self.bundles.len();
        for &row in rows {
            let row = row as usize;
            let payload = payloads[row];
            let (eights, codes) = self.rows[row * stride..(row + 1) * stride].as_chunks::<8>();
            let (cells_of_eights, cells) = cells.as_chunks_mut::<8>();
            let add = |cells: &mut BundleCells, code: u8| {
                let cell = &mut cells[usize::from(code)];
                *cell = cell.wrapping_add(payload);
            };
            for (cells, codes) in cells_of_eights.iter_mut().zip(eights) {
                for (cells, &code) in cells.iter_mut().zip(codes) {
                    add(cells, code);
                }
            }
            for (cells, &code) in cells.iter_mut().zip(codes) {
                add(cells, code);
            }
        }
    }

    /// Sums the bundles' cells to the bins of each feature that is `wanted`. `offsets` are the
    /// indices of the features' first bins in `histogram`.
    pub(crate) fn distribute(&self, cells: &[BundleCells], offsets: &[usize], wanted: &[bool], histogram: &mut [u64]) {
        const { assert!(STRIDE >= MAX_COMBINATIONS) };
        for (bundle, cells) in self.bundles.iter().zip(cells) {
            for member in &bundle.members {
                if !wanted[member.feature] {
                    continue;
                }
                let bins = &mut histogram[offsets[member.feature]..offsets[member.feature + 1]];
                if bundle.members.len() == 1 {
                    bins.copy_from_slice(&cells[..bins.len()]);
                    continue;
                }
                if let [zero, one] = bins {
                    [*zero, *one] = of_two(cells, &member.codes);
                    continue;
                }
                bins.fill(0);
                for (&cell, &code) in cells.iter().zip(&member.codes) {
                    let bin = &mut bins[usize::from(code)];
                    *bin = bin.wrapping_add(cell);
                }
            }
        }
    }
}

/// Returns the sums of the cells of code 0 and of code 1, for a feature with these codes only. Most
/// features are flags.
#[inline(never)]
fn of_two(cells: &[u64], codes: &[u8]) -> [u64; 2] {
    let (mut all, mut ones) = (0u64, 0u64);
    for (&cell, &code) in cells.iter().zip(codes) {
        all = all.wrapping_add(cell);
        ones = ones.wrapping_add(cell & u64::from(code).wrapping_neg());
    }
    [all.wrapping_sub(ones), ones]
}

impl Bundle {
    /// Adds a feature, unless there are too many combinations. `codes` are the codes of the bundle,
    /// row by row.
    fn join(&mut self, codes: &mut Vec<u8>, feature: usize, column: &[u8], width: usize) -> bool {
        let first = codes.len().min(FIRST_LOOK);
        if self.combinations > WIDEST_JOINED + MAX_COMBINATIONS / 2 - 2
            || self.pairs(&codes[..first], &column[..first], width).is_none()
        {
            return false;
        }
        let Some((pairs, joined)) = self.pairs(codes, column, width) else { return false };
        for member in &mut self.members {
            member.codes = pairs.iter().map(|&(old, _)| member.codes[usize::from(old)]).collect();
        }
        self.members.push(Member { feature, codes: pairs.iter().map(|&(_, new)| new).collect() });
        self.combinations = pairs.len();
        *codes = joined;
        true
    }

    /// Numbers the pairs of bundle code and feature code in the order of their appearance. Returns
    /// `None` if there are too many.
    #[expect(clippy::type_complexity, reason = "the pairs, and each row's pair: a name would say no more")]
    fn pairs(&self, codes: &[u8], column: &[u8], width: usize) -> Option<(Vec<(u8, u8)>, Vec<u8>)> {
        let mut numbers = vec![u16::MAX; MAX_COMBINATIONS * width];
        let mut pairs = Vec::new();
        let mut joined = Vec::with_capacity(codes.len());
        for (&old, &new) in codes.iter().zip(column) {
            let number = &mut numbers[usize::from(old) * width + usize::from(new)];
            if *number == u16::MAX {
                if pairs.len() == MAX_COMBINATIONS {
                    return None;
                }
                *number = pairs.len() as u16;
                pairs.push((old, new));
            }
            joined.push(*number as u8);
        }
        Some((pairs, joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histograms;
    use crate::random::Random;

    /// Returns a matrix of one-hot groups, a flag with missing values and a continuous column.
    fn mixed(rows: usize) -> BinnedMatrix {
        let mut random = Random::new(5, 0);
        let mut columns = vec![Vec::new(); 12];
        for _ in 0..rows {
            let (a, b) = (random.below(4), random.below(6));
            for k in 0..4 {
                columns[k as usize].push(f64::from(u8::from(a == k)));
            }
            for k in 0..6 {
                columns[4 + k as usize].push(f64::from(u8::from(b == k)));
            }
            columns[10].push([0.0, 1.0, f64::NAN][random.below(3) as usize]);
            columns[11].push(f64::from(random.below(1_000_000)));
        }
        let names: Vec<String> = (0..12).map(|i| format!("f{i}")).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        BinnedMatrix::from_columns(&names, &columns, 255).unwrap()
    }

    #[test]
    fn one_hot_groups_share_a_bundle_and_continuous_columns_do_not() {
        assert_eq!(Bundles::new(&mixed(10_000)).len(), 2);
    }

    #[test]
    fn a_histogram_through_bundles_equals_one_by_one() {
        let matrix = mixed(5_000);
        let bundles = Bundles::new(&matrix);
        let payloads: Vec<u64> = (0..5_000).map(|i| (i * 7 % 13) << 32 | (i % 5)).collect();
        let rows: Vec<u32> = (0..5_000).filter(|row| row % 3 != 0).collect();
        let mut histograms = Histograms::new(&matrix, &bundles);
        let mut built = histograms.take();
        histograms.build(&bundles, &rows, &payloads, &[true; 12], &mut built);
        for (index, feature) in matrix.features.iter().enumerate() {
            let mut direct = vec![0u64; feature.bins.width()];
            for &row in &rows {
                direct[usize::from(feature.codes[row as usize])] += payloads[row as usize];
            }
            assert_eq!(built[histograms.range(index)], direct, "feature {index}");
        }
    }
}
