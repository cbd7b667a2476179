//! Finds the bins of a feature, and encodes values by them.
//!
//! A column is read in chunks, so a table of any size needs bounded memory. Up to [`MAX_BINS`]
//! distinct values get a bin each, with the cut halfway to the next value. With more, the cuts are
//! quantiles of all rows. So a value of many rows takes its share of the bins and leaves few for
//! the rest: a one-hot column after SMOTE needs 50 bins, not 255, which keeps histograms small.
//! (LightGBM uses all bins for the rest; XGBoost's sketch works as here.)

use crate::error::TreesError;
use crate::random::mix;

/// The most bins of a feature, without the one for missing values: codes are bytes.
pub const MAX_BINS: usize = 255;

/// The most values of a column that are sampled to find its quantiles: 257 for each bin, so that
/// the share of a bin is within about 6 % of even. More values take time to sort, and 1,000,000
/// rows would not be learnt better.
const SAMPLE: usize = 65_536;

/// Reads a column in chunks to find its bins. The result does not depend on where the chunks end.
#[derive(Debug, Clone, Default)]
pub struct FeatureSketch {
    rows: u64,
    missing: u64,
    /// The distinct values, ascending, with their numbers of rows.
    distinct: Vec<(f64, u64)>,
    /// Whether there are more distinct values than bins. Then `distinct` is not used.
    many: bool,
    sample: Vec<f64>,
    /// For each sampled value, the number of halvings of the sample that it survives.
    levels: Vec<u8>,
    halvings: u8,
}

impl FeatureSketch {
    /// Creates a sketch of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next rows. NaN is a missing value; an infinity counts as the largest finite number
    /// of its sign.
    pub fn push(&mut self, values: &[f64]) {
        let mut last = 0;
        for &value in values {
            let row = self.rows;
            self.rows += 1;
            if value.is_nan() {
                self.missing += 1;
                continue;
            }
            let value = finite(value);
            if !self.many {
                last = self.count(value, last);
            }
            self.keep(value, row);
        }
    }

    /// Counts a value among the distinct ones and returns its index, which is the best guess for
    /// the next value.
    fn count(&mut self, value: f64, guess: usize) -> usize {
        if let Some(entry) = self.distinct.get_mut(guess)
            && entry.0 == value
        {
            entry.1 += 1;
            return guess;
        }
        match self.distinct.binary_search_by(|entry| entry.0.total_cmp(&value)) {
            Ok(place) => {
                self.distinct[place].1 += 1;
                place
            }
            Err(place) => {
                self.distinct.insert(place, (value, 1));
                self.many = self.distinct.len() > MAX_BINS;
                place
            }
        }
    }

    /// Samples a value if its row's hash has enough trailing zeros. Whenever the sample is full,
    /// one more zero is required, which halves the sample.
    fn keep(&mut self, value: f64, row: u64) {
        let level = mix(row.wrapping_add(1)).trailing_zeros() as u8;
        if level < self.halvings {
            return;
        }
        self.sample.push(value);
        self.levels.push(level);
        if self.sample.len() > SAMPLE {
            self.halvings += 1;
            let mut kept = 0;
            for i in 0..self.sample.len() {
                if self.levels[i] >= self.halvings {
                    self.sample[kept] = self.sample[i];
                    self.levels[kept] = self.levels[i];
                    kept += 1;
                }
            }
            self.sample.truncate(kept);
            self.levels.truncate(kept);
        }
    }

    /// Returns the bins: at most `max_bins`, which is clamped to 1 to [`MAX_BINS`].
    pub fn finish(mut self, max_bins: usize) -> FeatureBins {
        let max_bins = max_bins.clamp(1, MAX_BINS);
        if self.many {
            self.sample.sort_unstable_by(f64::total_cmp);
            self.distinct.clear();
            for &value in &self.sample {
                match self.distinct.last_mut() {
                    Some(last) if last.0 == value => last.1 += 1,
                    _ => self.distinct.push((value, 1)),
                }
            }
        }
        FeatureBins { cuts: cuts(&self.distinct, max_bins), missing: self.missing > 0 }
    }
}

/// Replaces infinities and negative zero, so that cuts are finite and equal values have equal bits.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX) + 0.0
}

/// Returns cuts between distinct values, at most `max_bins - 1`.
fn cuts(distinct: &[(f64, u64)], max_bins: usize) -> Vec<f64> {
    if distinct.len() <= max_bins {
        return distinct.windows(2).map(|pair| between(pair[0].0, pair[1].0)).collect();
    }
    let total: u64 = distinct.iter().map(|entry| entry.1).sum();
    let mut share = total as f64 / max_bins as f64;
    loop {
        let found = quantile_cuts(distinct, share);
        if found.len() < max_bins {
            return found;
        }
        // Values with bins of their own have made too many bins. Use larger shares until the number
        // fits.
        share *= 1.03;
    }
}

/// Ends a bin where the number of rows so far exceeds a multiple of `share`, and on both sides of a
/// value with at least `share` rows.
fn quantile_cuts(distinct: &[(f64, u64)], share: f64) -> Vec<f64> {
    let mut found = Vec::new();
    let mut before = 0u64;
    let mut passed = 0.0;
    for pair in distinct.windows(2) {
        before += pair[0].1;
        let multiple = (before as f64 / share).floor();
        if multiple > passed || pair[1].1 as f64 >= share {
            passed = multiple;
            found.push(between(pair[0].0, pair[1].0));
        }
    }
    found
}

/// Returns a number `t` with `low <= t < high`, halfway if there is one.
fn between(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if low <= middle && middle < high { middle } else { low }
}

/// The bins of a feature. Bin `b` holds the values above cut `b - 1` and up to cut `b`. Missing
/// values have a bin after the last.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureBins {
    cuts: Vec<f64>,
    missing: bool,
}

impl FeatureBins {
    /// Creates bins between these cuts. `missing` tells whether a value was missing in the rows
    /// that the bins were made from.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if there are more cuts than bins, or they do not increase.
    pub fn from_cuts(cuts: Vec<f64>, missing: bool) -> Result<Self, TreesError> {
        if cuts.len() >= MAX_BINS {
            return Err(TreesError::Shape { what: "cuts of a feature", expected: MAX_BINS - 1, found: cuts.len() });
        }
        let increase = |pair: &[f64]| pair[0] < pair[1];
        let sorted = cuts.windows(2).take_while(|pair| increase(pair)).count();
        if sorted + 1 < cuts.len() || cuts.iter().any(|cut| cut.is_nan()) {
            return Err(TreesError::Shape { what: "increasing cuts", expected: cuts.len(), found: sorted });
        }
        Ok(Self { cuts, missing })
    }

    /// Returns the cuts, in increasing order.
    pub fn cuts(&self) -> &[f64] {
        &self.cuts
    }

    /// Returns the number of bins for values.
    pub fn value_bins(&self) -> usize {
        self.cuts.len() + 1
    }

    /// Returns the number of codes that occur: the number of bins for values, plus one if a value
    /// was missing.
    pub fn width(&self) -> usize {
        self.value_bins() + usize::from(self.missing)
    }

    /// Returns the code of a missing value, whether or not one occurred.
    pub fn missing_code(&self) -> u8 {
        // There are at most 254 cuts.
        self.value_bins() as u8
    }

    /// Returns whether a value was missing in the rows that the bins were made from.
    pub fn has_missing(&self) -> bool {
        self.missing
    }

    /// Returns the threshold of a split after `bin`: values up to it go left. After the last cut,
    /// all values do.
    pub fn threshold(&self, bin: u8) -> f64 {
        self.cuts.get(usize::from(bin)).copied().unwrap_or(f64::MAX)
    }

    /// Appends the code of each value to `codes`.
    pub fn encode(&self, values: &[f64], codes: &mut Vec<u8>) {
        let missing = self.missing_code();
        match self.cuts.as_slice() {
            [] => codes.extend(values.iter().map(|v| if v.is_nan() { missing } else { 0 })),
            &[cut] => codes.extend(values.iter().map(|&v| if v.is_nan() { missing } else { u8::from(v > cut) })),
            many => {
                // Binary search in an array whose length is a power of two: the same few steps for
                // each value, without unpredictable branches.
                let mut padded = [f64::INFINITY; 256];
                padded[..many.len()].copy_from_slice(many);
                let first_step = (many.len() + 1).next_power_of_two() / 2;
                codes.extend(values.iter().map(|&value| {
                    let mut place = 0usize;
                    let mut step = first_step;
                    while step > 0 {
                        place += if value > padded[(place + step - 1) & 255] { step } else { 0 };
                        step /= 2;
                    }
                    if value.is_nan() { missing } else { place.min(many.len()) as u8 }
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bins_of(values: &[f64], max_bins: usize) -> FeatureBins {
        let mut sketch = FeatureSketch::new();
        sketch.push(values);
        sketch.finish(max_bins)
    }

    #[test]
    fn few_distinct_values_get_a_bin_each() {
        let bins = bins_of(&[3.0, 1.0, 2.0, 1.0, f64::NAN], 255);
        assert_eq!(bins.cuts, [1.5, 2.5]);
        assert!(bins.has_missing());
        let mut codes = Vec::new();
        bins.encode(&[1.0, 2.0, 3.0, f64::NAN, -9.0, 9.0], &mut codes);
        assert_eq!(codes, [0, 1, 2, 3, 0, 2]);
    }

    #[test]
    fn a_constant_column_has_one_bin_and_an_empty_one_only_the_missing() {
        assert_eq!(bins_of(&[4.0; 10], 255).width(), 1);
        assert_eq!(bins_of(&[f64::NAN; 10], 255).width(), 2);
    }

    #[test]
    fn many_values_are_cut_into_equal_shares() {
        let values: Vec<f64> = (0..51_000).map(f64::from).collect();
        let bins = bins_of(&values, 255);
        let mut codes = Vec::new();
        bins.encode(&values, &mut codes);
        let mut counts = [0u32; 256];
        codes.iter().for_each(|&c| counts[usize::from(c)] += 1);
        assert_eq!(bins.width(), 255);
        assert!(counts[..255].iter().all(|&c| c == 200), "{counts:?}");
    }

    #[test]
    fn a_value_of_many_rows_stands_alone_and_takes_its_share_of_bins() {
        let mut values = vec![0.0; 8_000];
        values.extend((0..2_000).map(|i| f64::from(i) / 2_000.0 - 0.5));
        let bins = bins_of(&values, 255);
        assert!((45..=60).contains(&bins.width()), "{}", bins.width());
        let mut codes = Vec::new();
        bins.encode(&[-0.000_5, 0.0, 0.000_5], &mut codes);
        assert!(codes[0] < codes[1] && codes[1] < codes[2], "{codes:?}");
    }

    #[test]
    fn a_long_column_is_sampled_evenly() {
        let values: Vec<f64> = (0..1_000_000).map(|i| f64::from(i % 1_000) + f64::from(i) * 1e-9).collect();
        let bins = bins_of(&values, 100);
        for (i, cut) in bins.cuts.iter().enumerate() {
            let exact = (i as f64 + 1.0) * 10.0;
            assert!((cut - exact).abs() < 8.0, "cut {i} is {cut}, not near {exact}");
        }
    }

    #[test]
    fn infinities_count_as_the_largest_numbers() {
        let bins = bins_of(&[f64::NEG_INFINITY, 0.0, f64::INFINITY], 255);
        assert!(bins.cuts.iter().all(|c| c.is_finite()));
        let mut codes = Vec::new();
        bins.encode(&[f64::NEG_INFINITY, 0.0, f64::INFINITY], &mut codes);
        assert_eq!(codes, [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn a_code_agrees_with_the_threshold_of_every_cut(
            values in proptest::collection::vec(-1e3f64..1e3, 1..600), max_bins in 1usize..=255,
        ) {
            let bins = bins_of(&values, max_bins);
            prop_assert!(bins.value_bins() <= max_bins);
            let mut codes = Vec::new();
            bins.encode(&values, &mut codes);
            for (value, code) in values.iter().zip(&codes) {
                for bin in 0..bins.value_bins() as u8 {
                    prop_assert_eq!(*code <= bin, *value <= bins.threshold(bin));
                }
            }
        }

        #[test]
        fn bins_do_not_depend_on_where_chunks_end(
            values in proptest::collection::vec(proptest::num::f64::ANY, 0..800), chunk in 1usize..100,
        ) {
            let mut sketch = FeatureSketch::new();
            values.chunks(chunk).for_each(|part| sketch.push(part));
            let bins = sketch.finish(64);
            prop_assert!(bins.cuts.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(bins, bins_of(&values, 64));
        }
    }
}
