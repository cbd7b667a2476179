//! Quantiles of a column of any length, in bounded memory.
//!
//! Up to [`BUFFERED`] values are held in memory. For longer columns, order statistics are found by
//! radix selection: four scans, each of which counts 16 more bits of the values that share the bits
//! found so far. Both ways are exact. Sketches were rejected, since their results would depend on
//! how rows are chunked.

/// The most values that are held in memory: 32 MiB.
pub(crate) const BUFFERED: u64 = 1 << 22;

/// A column whose values can be read several times, chunk by chunk, in the same order each time.
/// Missing values are left out.
pub(crate) trait Scan {
    /// The error of reading.
    type Error;
    /// Passes all values to a function.
    fn scan(&mut self, see: &mut dyn FnMut(&[f64])) -> Result<(), Self::Error>;
}

/// Returns quantiles by linear interpolation between order statistics (numpy's default; Hyndman and
/// Fan 1996, type 7). `count` is the number of values, at least 1. No value is NaN.
pub(crate) fn quantiles<S: Scan>(column: &mut S, count: u64, shares: &[f64]) -> Result<Vec<f64>, S::Error> {
    let places: Vec<f64> = shares.iter().map(|share| share * (count - 1) as f64).collect();
    let ranks: Vec<u64> = places.iter().flat_map(|place| [place.floor() as u64, place.ceil() as u64]).collect();
    let values = if count <= BUFFERED { select_buffered(column, &ranks)? } else { select_by_radix(column, &ranks)? };
    let between = |(place, pair): (&f64, &[f64])| pair[0] + (pair[1] - pair[0]) * (place - place.floor());
    Ok(places.iter().zip(values.chunks_exact(2)).map(between).collect())
}

fn select_buffered<S: Scan>(column: &mut S, ranks: &[u64]) -> Result<Vec<f64>, S::Error> {
    let mut values = Vec::new();
    column.scan(&mut |chunk| values.extend_from_slice(chunk))?;
    let mut select = |rank: &u64| *values.select_nth_unstable_by(*rank as usize, f64::total_cmp).1;
    Ok(ranks.iter().map(&mut select).collect())
}

fn select_by_radix<S: Scan>(column: &mut S, ranks: &[u64]) -> Result<Vec<f64>, S::Error> {
    const DIGIT: u32 = 16;
    /// The search for one order statistic: the bits found so far, and its rank among the values
    /// with these bits.
    struct Search {
        bits: u64,
        rank: u64,
        counts: Vec<u64>,
    }
    let mut searches: Vec<Search> =
        ranks.iter().map(|&rank| Search { bits: 0, rank, counts: vec![0; 1 << DIGIT] }).collect();
    for shift in [48_u32, 32, 16, 0] {
        searches.iter_mut().for_each(|search| search.counts.fill(0));
        column.scan(&mut |chunk| {
            for &value in chunk {
                let bits = in_order(value);
                for search in &mut searches {
                    // No bits are known at the first digit, and shifting by 64 is undefined.
                    if shift == 48 || bits >> (shift + DIGIT) == search.bits {
                        search.counts[(bits >> shift & 0xFFFF) as usize] += 1;
                    }
                }
            }
        })?;
        for search in &mut searches {
            let mut digit = 0;
            while search.rank >= search.counts[digit] {
                search.rank -= search.counts[digit];
                digit += 1;
            }
            search.bits = search.bits << DIGIT | digit as u64;
        }
    }
    Ok(searches.iter().map(|search| out_of_order(search.bits)).collect())
}

/// Returns bits that sort like the float (`f64::total_cmp`).
fn in_order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn out_of_order(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    struct Chunks(Vec<f64>);

    impl Scan for Chunks {
        type Error = Infallible;
        fn scan(&mut self, see: &mut dyn FnMut(&[f64])) -> Result<(), Infallible> {
            self.0.chunks(5).for_each(see);
            Ok(())
        }
    }

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        // numpy.quantile([3, 1, 10, 2], [0, .25, .5, .99, 1])
        let found = quantiles(&mut Chunks(vec![3.0, 1.0, 10.0, 2.0]), 4, &[0.0, 0.25, 0.5, 0.99, 1.0]).unwrap();
        for (found, expected) in found.iter().zip([1.0, 1.75, 2.5, 9.79, 10.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn radix_selection_finds_what_sorting_finds() {
        let values: Vec<f64> = (0..997_i32)
            .map(|index| f64::from(index * 7919 % 997 - 500) * 1.37e-3)
            .chain([-0.0, 0.0, 1e300, -1e300])
            .collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let ranks: Vec<u64> = (0..values.len() as u64).step_by(50).collect();
        let found = select_by_radix(&mut Chunks(values), &ranks).unwrap();
        let expected: Vec<f64> = ranks.iter().map(|&rank| sorted[rank as usize]).collect();
        assert_eq!(found, expected);
    }
}
