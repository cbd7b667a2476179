//! Seeded random numbers for SMOTE. A seed gives the same numbers on every machine.

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A SplitMix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// Creates a stream. Streams of one seed are independent.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        let mut draws = Self { state: seed };
        let scattered = draws.next();
        Self { state: scattered ^ stream.wrapping_mul(GAMMA) }
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        let value = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    /// Returns a number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Returns a number below `bound`, which must not be 0. The bias is at most `bound` / 2^64, far
    /// below what any sample shows.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
