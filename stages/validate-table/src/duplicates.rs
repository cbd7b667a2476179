//! Finds values that occur twice in a column.
//!
//! Hashes a value to 128 bits: two lanes of multiply and fold (in the manner of Wang Yi's wyhash).
//! The hash is fixed, so that runs agree. It does not resist values chosen to collide; an attacker
//! could only make a table fail, which any duplicate does.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// The most values that are kept: some 200 MiB, half of a stage's usual memory limit.
pub(crate) const MOST_VALUES: usize = 8 << 20;

/// The values of a column so far.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    seen: HashMap<u64, u64, Hashed>,
}

impl Duplicates {
    /// Adds a value and returns whether it occurred before, or `None` if there are too many values.
    pub(crate) fn see(&mut self, value: &[u8]) -> Option<bool> {
        let [mut place, check] = hash(value);
        loop {
            match self.seen.get(&place) {
                None if self.seen.len() >= MOST_VALUES => return None,
                None => {
                    self.seen.insert(place, check);
                    return Some(false);
                }
                Some(known) if *known == check => return Some(true),
                // Half of the bits are equal: try the next place, as in any table with open
                // addressing.
                Some(_) => place = place.wrapping_add(1),
            }
        }
    }
}

/// 128 bits of a value: two lanes of multiply and fold (Wang Yi's wyhash in manner). Fixed, so that
/// runs agree; not for values that an enemy chooses to collide, who could only make a table fail
/// that they may as well fail openly.
pub(crate) fn hash(value: &[u8]) -> [u64; 2] {
    let mut lanes = [0x9E37_79B9_7F4A_7C15 ^ value.len() as u64, 0xD6E8_FEB8_6659_FD93];
    for chunk in value.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        lanes = [fold(lanes[0] ^ word, 0xA076_1D64_78BD_642F), fold(lanes[1] ^ word, 0xE703_7ED1_A0B4_28DB)];
    }
    [fold(lanes[0], lanes[1] | 1), fold(lanes[1] ^ 0x8EBC_6AF0_9C88_C6E3, lanes[0] | 1)]
}

/// Multiplies and folds the product, so that every bit of the result depends on every bit of
/// `left`.
pub(crate) fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

/// A hasher for keys that are hashes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hashed;

impl BuildHasher for Hashed {
    type Hasher = Identity;
    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

/// Returns a 64-bit key unchanged.
#[derive(Debug)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_before_is_a_duplicate() {
        let mut duplicates = Duplicates::default();
        for number in 0..200_000_u32 {
            assert_eq!(duplicates.see(format!("customer {number}").as_bytes()), Some(false), "{number}");
        }
        assert_eq!(duplicates.see(b"customer 77"), Some(true));
        assert_eq!(duplicates.see(b"customer 77\0"), Some(false));
        assert_eq!(duplicates.see(b""), Some(false));
        assert_eq!(duplicates.see(b""), Some(true));
    }
}
