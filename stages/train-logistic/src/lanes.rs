//! Sums of doubles in eight lanes. A compiler may not reorder a sum, so SIMD needs separate sums.
//!
//! For native code, an array of eight doubles is enough. In Wasm, the compiler would keep each
//! element separately and most of them on the stack, so there the lanes are named pairs. Both add
//! the same numbers in the same order and give the same bits.

/// The number of lanes.
pub(crate) const LANES: usize = 8;

/// The number of pairs of lanes.
const PAIRS: usize = LANES / 2;

#[cfg(target_arch = "wasm32")]
mod pair {
    use std::arch::wasm32::{f64x2, f64x2_add, f64x2_extract_lane, f64x2_mul, f64x2_sub, v128};

    /// Two doubles.
    #[derive(Clone, Copy)]
    pub(super) struct Pair(v128);

    impl Pair {
        #[inline(always)]
        pub(super) fn of(numbers: [f64; 2]) -> Self {
            Self(f64x2(numbers[0], numbers[1]))
        }

        #[inline(always)]
        pub(super) fn plus(self, other: Self) -> Self {
            Self(f64x2_add(self.0, other.0))
        }

        #[inline(always)]
        pub(super) fn minus(self, other: Self) -> Self {
            Self(f64x2_sub(self.0, other.0))
        }

        #[inline(always)]
        pub(super) fn times(self, other: Self) -> Self {
            Self(f64x2_mul(self.0, other.0))
        }

        #[inline(always)]
        pub(super) fn numbers(self) -> [f64; 2] {
            [f64x2_extract_lane::<0>(self.0), f64x2_extract_lane::<1>(self.0)]
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod pair {
    /// Two doubles.
    #[derive(Clone, Copy)]
    pub(super) struct Pair([f64; 2]);

    impl Pair {
        #[inline(always)]
        pub(super) fn of(numbers: [f64; 2]) -> Self {
            Self(numbers)
        }

        #[inline(always)]
        pub(super) fn plus(self, other: Self) -> Self {
            Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
        }

        #[inline(always)]
        pub(super) fn minus(self, other: Self) -> Self {
            Self([self.0[0] - other.0[0], self.0[1] - other.0[1]])
        }

        #[inline(always)]
        pub(super) fn times(self, other: Self) -> Self {
            Self([self.0[0] * other.0[0], self.0[1] * other.0[1]])
        }

        #[inline(always)]
        pub(super) fn numbers(self) -> [f64; 2] {
            self.0
        }
    }
}

use pair::Pair;

/// A number in each lane.
#[derive(Clone, Copy)]
pub(crate) struct Lanes([Pair; PAIRS]);

impl Default for Lanes {
    #[inline(always)]
    fn default() -> Self {
        Self([Pair::of([0.0; 2]); PAIRS])
    }
}

impl Lanes {
    #[inline(always)]
    pub(crate) fn of(numbers: &[f64; LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = *numbers;
        Self([[a, b], [c, d], [e, f], [g, h]].map(Pair::of))
    }

    /// Adds the numbers of another value, lane by lane.
    #[inline(always)]
    pub(crate) fn add(&mut self, other: Self) {
        for (pair, other) in self.0.iter_mut().zip(other.0) {
            *pair = pair.plus(other);
        }
    }

    #[inline(always)]
    pub(crate) fn minus(mut self, other: Self) -> Self {
        for (pair, other) in self.0.iter_mut().zip(other.0) {
            *pair = pair.minus(other);
        }
        self
    }

    #[inline(always)]
    pub(crate) fn times(mut self, other: Self) -> Self {
        for (pair, other) in self.0.iter_mut().zip(other.0) {
            *pair = pair.times(other);
        }
        self
    }

    /// Returns the sum of all lanes, from the first to the last.
    #[inline(always)]
    pub(crate) fn sum(self) -> f64 {
        self.0.iter().flat_map(|pair| pair.numbers()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_compute_each_on_its_own() {
        let numbers: [f64; LANES] = std::array::from_fn(|lane| lane as f64 + 0.1);
        let mut lanes = Lanes::of(&numbers).times(Lanes::of(&numbers)).minus(Lanes::of(&[0.5; LANES]));
        lanes.add(Lanes::of(&numbers));
        let expected: f64 = numbers.iter().map(|number| number * number - 0.5 + number).sum();
        assert_eq!(lanes.sum(), expected);
    }
}
