//! The random numbers of training: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
//! number generators", OOPSLA 2014). It is implemented here because a seed must always give the
//! same model, and the generator of a library may change between versions.

/// Mixes 64 bits, so that each input bit affects each output bit.
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
    /// Creates stream `stream` of a seed. Streams of one seed are independent, so trees can be
    /// grown in any order.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_add(stream)))
    }

    /// Returns 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Returns a number below `bound`, by multiplication and shift. The bias is below
    /// `bound / 2^32`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Chooses `count` of `candidates` without replacement (Knuth, TAOCP 2, 3.4.2, algorithm S).
    /// Returns the chosen candidates and then the others, both in the order of `candidates`.
    pub(crate) fn choose(&mut self, count: usize, candidates: &[u32]) -> Vec<u32> {
        let mut all = vec![0; candidates.len()];
        let (chosen, others) = all.split_at_mut(count.min(candidates.len()));
        let (mut taken, mut left) = (0, 0);
        for (number, &candidate) in candidates.iter().enumerate() {
            let is_taken = (self.below((candidates.len() - number) as u32) as usize) < chosen.len() - taken;
            // A random branch would be mispredicted. So both are written where there is room, and
            // one of them counts.
            if let Some(place) = chosen.get_mut(taken) {
                *place = candidate;
            }
            if let Some(place) = others.get_mut(left) {
                *place = candidate;
            }
            taken += usize::from(is_taken);
            left += usize::from(!is_taken);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_the_right_size_and_order() {
        let candidates: Vec<u32> = (100..200).collect();
        let all = Random::new(1, 2).choose(30, &candidates);
        let (chosen, others) = all.split_at(30);
        assert!(chosen.is_sorted_by(|a, b| a < b) && others.is_sorted_by(|a, b| a < b));
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, candidates);
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
