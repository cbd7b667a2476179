//! Sixteen bytes at once. A compiler does not find these instructions by itself in WebAssembly: it
//! keeps each element of an array separately. Both implementations give the same bytes.

pub(crate) use bytes::Bytes16;

/// The number of bytes.
const BYTES: usize = 16;

#[cfg(target_arch = "wasm32")]
mod bytes {
    use std::arch::wasm32::{i8x16_add, i8x16_gt, i8x16_splat, i8x16_sub, u64x2_extract_lane, v128, v128_bitselect};

    use super::BYTES;

    /// Sixteen bytes. A mask has bytes of 0 and -1.
    #[derive(Clone, Copy)]
    pub(crate) struct Bytes16(v128);

    impl Bytes16 {
        #[inline(always)]
        pub(crate) fn of(bytes: &[i8; BYTES]) -> Self {
            Self(zerocopy::transmute!(*bytes))
        }

        #[inline(always)]
        pub(crate) fn splat(byte: i8) -> Self {
            Self(i8x16_splat(byte))
        }

        /// Returns the mask of the bytes that are above the other's.
        #[inline(always)]
        pub(crate) fn above(self, other: Self) -> Self {
            Self(i8x16_gt(self.0, other.0))
        }

        /// Returns the bytes of `yes` where this mask is -1, and those of `no` where it is 0.
        #[inline(always)]
        pub(crate) fn select(self, yes: Self, no: Self) -> Self {
            Self(v128_bitselect(yes.0, no.0, self.0))
        }

        /// Returns twice the bytes, plus 1 where the mask is -1.
        #[inline(always)]
        pub(crate) fn with_bit(self, mask: Self) -> Self {
            Self(i8x16_sub(i8x16_add(self.0, self.0), mask.0))
        }

        /// Returns the bytes in two numbers, the first byte in the lowest bits of the first.
        #[inline(always)]
        pub(crate) fn halves(self) -> [u64; 2] {
            [u64x2_extract_lane::<0>(self.0), u64x2_extract_lane::<1>(self.0)]
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod bytes {
    use super::BYTES;

    /// Sixteen bytes. A mask has bytes of 0 and -1.
    #[derive(Clone, Copy)]
    pub(crate) struct Bytes16([i8; BYTES]);

    impl Bytes16 {
        #[inline(always)]
        fn combine(self, other: Self, byte: impl Fn(i8, i8) -> i8) -> Self {
            Self(std::array::from_fn(|place| byte(self.0[place], other.0[place])))
        }

        #[inline(always)]
        pub(crate) fn of(bytes: &[i8; BYTES]) -> Self {
            Self(*bytes)
        }

        #[inline(always)]
        pub(crate) fn splat(byte: i8) -> Self {
            Self([byte; BYTES])
        }

        /// Returns the mask of the bytes that are above the other's.
        #[inline(always)]
        pub(crate) fn above(self, other: Self) -> Self {
            self.combine(other, |own, other| if own > other { -1 } else { 0 })
        }

        /// Returns the bytes of `yes` where this mask is -1, and those of `no` where it is 0.
        #[inline(always)]
        pub(crate) fn select(self, yes: Self, no: Self) -> Self {
            Self(std::array::from_fn(|place| yes.0[place] & self.0[place] | no.0[place] & !self.0[place]))
        }

        /// Returns twice the bytes, plus 1 where the mask is -1.
        #[inline(always)]
        pub(crate) fn with_bit(self, mask: Self) -> Self {
            self.combine(mask, |own, mask| own.wrapping_add(own).wrapping_sub(mask))
        }

        /// Returns the bytes in two numbers, the first byte in the lowest bits of the first.
        #[inline(always)]
        pub(crate) fn halves(self) -> [u64; 2] {
            let (halves, _) = self.0.as_chunks::<8>();
            [halves[0], halves[1]].map(|bytes| u64::from_le_bytes(bytes.map(|byte| byte as u8)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_and_selected_by_a_mask() {
        let numbers: [i8; BYTES] = std::array::from_fn(|place| (place as i32 * 17 - 128) as i8);
        let mask = Bytes16::of(&numbers).above(Bytes16::splat(-1));
        let bytes = |yes: u8, no: u8| {
            let half = |first: usize| {
                u64::from_le_bytes(std::array::from_fn(|place| if numbers[first + place] > -1 { yes } else { no }))
            };
            [half(0), half(8)]
        };
        assert_eq!(mask.halves(), bytes(255, 0));
        let chosen = mask.select(Bytes16::splat(1), Bytes16::splat(2));
        assert_eq!(chosen.halves(), bytes(1, 2));
        assert_eq!(chosen.with_bit(mask).halves(), bytes(3, 4));
    }
}
