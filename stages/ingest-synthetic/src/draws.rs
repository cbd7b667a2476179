//! Random numbers by row.
//!
//! Each customer has a stream of random numbers that depends on the seed and the number of the row
//! only. So rows can be generated in any order and in any chunks, and the first `n` rows of a
//! larger table are the table of `n` rows. Rejected: one generator for the whole table, which would
//! make a row depend on all rows before it.

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes the bits of `value`: the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", OOPSLA 2014, with Stafford's constants, variant 13).
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The random numbers of one row, in order.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// Creates the stream of row `row` of a seed.
    pub(crate) const fn of_row(seed: u64, row: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add(GAMMA)) ^ row.wrapping_mul(GAMMA)) }
    }

    /// Returns the next 64 bits.
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Returns a number in [0, 1), a multiple of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits fit a double exactly.
        (self.next() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Returns true with probability `probability`.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Returns a number of mean 0 and variance 1, nearly normal and within +-3.47: the scaled sum
    /// of four uniform numbers (Irwin-Hall). It needs no logarithm, so it has the same digits on
    /// every machine.
    pub(crate) fn bell(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        // The variance of four uniform numbers is 4/12, and the inverse of its root is sqrt(3).
        (sum - 2.0) * 1.732_050_807_568_877_2
    }

    /// Returns an index into `weights`, each with the probability of its weight. If the weights sum
    /// to less than 1, the rest is added to the last.
    pub(crate) fn pick<const N: usize>(&mut self, weights: [f64; N]) -> usize {
        let total: f64 = weights.iter().sum();
        let mut left = self.unit() * total;
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        N - 1
    }
}

/// The number of customer numbers: four digits, then five letters.
pub(crate) const IDENTIFIERS: u64 = 10_000 * 11_881_376;

/// Returns the `index`-th customer number of a seed, as a number below [`IDENTIFIERS`]. Different
/// indices give different numbers.
///
/// A Feistel network over 38 bits (2^38 is the least even power above [`IDENTIFIERS`]) permutes the
/// numbers. It is applied again to results that are too large (cycle walking: Black and Rogaway,
/// "Ciphers with arbitrary finite domains", CT-RSA 2002).
pub(crate) fn identifier(seed: u64, index: u64) -> u64 {
    const HALF: u32 = 19;
    const MASK: u64 = (1 << HALF) - 1;
    let mut value = index % IDENTIFIERS;
    loop {
        let (mut left, mut right) = (value >> HALF, value & MASK);
        for round in 1..=4_u64 {
            let scattered = mix(seed ^ mix(right.wrapping_add(round.wrapping_mul(GAMMA)))) & MASK;
            (left, right) = (right, left ^ scattered);
        }
        value = (left << HALF) | right;
        if value < IDENTIFIERS {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identifiers_of_one_seed_are_distinct() {
        let seen: HashSet<u64> = (0..200_000).map(|index| identifier(42, index)).collect();
        assert_eq!(seen.len(), 200_000);
        assert!(seen.iter().all(|&number| number < IDENTIFIERS));
    }

    #[test]
    fn bell_has_mean_zero_and_variance_one() {
        let mut draws = Draws::of_row(7, 0);
        let sample: Vec<f64> = (0..200_000).map(|_| draws.bell()).collect();
        let mean = sample.iter().sum::<f64>() / sample.len() as f64;
        let variance = sample.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / sample.len() as f64;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn picks_follow_their_weights() {
        let mut draws = Draws::of_row(1, 5);
        let mut counts = [0_u32; 3];
        for _ in 0..100_000 {
            counts[draws.pick([0.2, 0.5, 0.3])] += 1;
        }
        assert!((counts[0] as f64 / 1e5 - 0.2).abs() < 0.01, "{counts:?}");
        assert!((counts[1] as f64 / 1e5 - 0.5).abs() < 0.01, "{counts:?}");
    }
}
