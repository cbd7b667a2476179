//! The random numbers of training: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
//! OOPSLA 2014). Written out here because its stream is part of what a seed means: a library's generator may change
//! between versions, and then the same seed would give another model.

/// Mixes 64 bits so that every input bit reaches every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream number `stream` of `seed`. Streams of one seed are independent of each other, so trees can be
    /// trained in any order.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_add(stream)))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound` by multiplication and shift; the bias is below `bound / 2^32`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Chooses `count` of `0..total` without replacement, in ascending order (Knuth, TAOCP 2, 3.4.2, algorithm S).
    pub(crate) fn choose(&mut self, count: u32, total: u32) -> Vec<u32> {
        let mut chosen = Vec::with_capacity(count as usize);
        for candidate in 0..total {
            let needed = count - chosen.len() as u32;
            if self.below(total - candidate) < needed {
                chosen.push(candidate);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_the_right_size_and_order() {
        let chosen = Random::new(1, 2).choose(30, 100);
        assert_eq!(chosen.len(), 30);
        assert!(chosen.is_sorted_by(|a, b| a < b));
        assert!(chosen.iter().all(|&c| c < 100));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Random::new(7, 0).bits(), Random::new(7, 1).bits());
    }

    #[test]
    fn numbers_below_a_bound_are_spread_evenly() {
        let mut random = Random::new(3, 0);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[random.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
    }
}
