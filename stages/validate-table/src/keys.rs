//! Sets of keys: the values of a column, or combinations of values of several.
//!
//! A key is hashed to 128 bits, which stand for it: among 10 million keys, the probability that two
//! have one hash is below 10^-24. The hash is fixed, so that runs agree. It does not resist values
//! that somebody chose to collide, which is no check of data for.
//!
//! A set takes 16 bytes for each slot, and at most three quarters of the slots: 256 MiB for 6.3 to
//! 12.5 million rows. All sets of a validation share [`MOST_SLOTS`].

use stagewright_kit::{Column, DataType, TextView, Values, bitmap};

/// The most slots of all sets: 512 MiB, half of a validation's usual memory limit.
pub(crate) const MOST_SLOTS: u64 = 32 << 20;

/// Distinct keys.
#[derive(Debug)]
pub(crate) struct KeySet {
    /// Zeros where a slot is free.
    slots: Vec<[u64; 2]>,
}

impl KeySet {
    /// Returns the number of slots for so many keys.
    pub(crate) fn slots_for(keys: u64) -> u64 {
        (keys.saturating_mul(4) / 3 + 1).max(16).checked_next_power_of_two().unwrap_or(u64::MAX)
    }

    /// Creates a set with room for `keys` keys, if that many slots are left.
    ///
    /// # Errors
    /// The reason, for people.
    pub(crate) fn with_room(keys: u64, left: &mut u64) -> Result<Self, String> {
        let slots = Self::slots_for(keys);
        if slots > *left {
            let megabytes = slots.saturating_mul(16) >> 20;
            let free = (*left * 16) >> 20;
            return Err(format!("{keys} rows are too many to compare: they take {megabytes} MiB, and {free} are left"));
        }
        *left -= slots;
        Ok(Self { slots: vec![[0; 2]; slots as usize] })
    }

    /// Returns the slot of a key: its own, or the free one where it belongs.
    fn slot(&self, key: [u64; 2]) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = key[0] as usize & mask;
        // A quarter of the slots is free, so this ends.
        while self.slots[place] != [0; 2] && self.slots[place] != key {
            place = (place + 1) & mask;
        }
        place
    }

    /// Adds a key and returns whether it was new. No more keys may be added than there is room for.
    pub(crate) fn insert(&mut self, key: [u64; 2]) -> bool {
        let place = self.slot(key);
        let is_new = self.slots[place] == [0; 2];
        self.slots[place] = key;
        is_new
    }

    /// Returns whether the set has a key.
    pub(crate) fn has(&self, key: [u64; 2]) -> bool {
        self.slots[self.slot(key)] == key
    }
}

/// The classes of types whose values can be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyClass {
    Text,
    Number,
    Time,
    Flag,
}

impl KeyClass {
    pub(crate) fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Utf8 | DataType::Categorical => Self::Text,
            DataType::Int64 | DataType::Float64 => Self::Number,
            DataType::Timestamp => Self::Time,
            DataType::Boolean => Self::Flag,
        }
    }
}

/// Returns the key of a row, or `None` if one of the columns is null there. `text` has the columns
/// as text.
pub(crate) fn key<'a>(
    columns: impl Iterator<Item = (&'a Column, Option<TextView<'a>>)>,
    row: usize,
) -> Option<[u64; 2]> {
    let mut key: Option<[u64; 2]> = None;
    for (column, text) in columns {
        if column.is_null(row) {
            return None;
        }
        let own = match (&column.values, text) {
            (_, Some(text)) => hash(text.bytes(row).unwrap_or_default()),
            (Values::Int64(values) | Values::Timestamp(values), _) => number(values[row]),
            (Values::Float64(values), _) => float(values[row]),
            (Values::Boolean(bits), _) => number(bitmap::get(bits, row).into()),
            // Text that is no UTF-8, which the host refuses.
            _ => return None,
        };
        key = Some(key.map_or(own, |before| joined(before, own)));
    }
    // Zeros mark free slots.
    key.map(|key| if key == [0; 2] { [0, 1] } else { key })
}

fn number(value: i64) -> [u64; 2] {
    hash(&value.to_le_bytes())
}

/// Returns the hash of a double. A whole number has that of the integer, and 0 and -0 are one.
fn float(value: f64) -> [u64; 2] {
    // 2^63 is no int64; all doubles below it that are whole are.
    let is_whole =
        value.trunc() == value && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if is_whole { number(value as i64) } else { hash(&value.to_bits().to_le_bytes()) }
}

fn joined(before: [u64; 2], next: [u64; 2]) -> [u64; 2] {
    [
        fold(before[0] ^ next[1], 0xA076_1D64_78BD_642F).wrapping_add(next[0]),
        fold(before[1].rotate_left(17) ^ next[0], 0xE703_7ED1_A0B4_28DB).wrapping_add(next[1]),
    ]
}

/// Returns 128 bits of a value: two lanes of multiply and fold (in the manner of Wang Yi's wyhash).
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn only_what_was_added_is_in_the_set() {
        let mut set = KeySet::with_room(200_000, &mut { MOST_SLOTS }).unwrap();
        for number in 0..200_000_u32 {
            assert!(set.insert(hash(format!("customer {number}").as_bytes())), "{number}");
        }
        assert!(!set.insert(hash(b"customer 77")));
        assert!(set.has(hash(b"customer 77")) && !set.has(hash(b"customer 77\0")) && !set.has(hash(b"")));
    }

    #[test]
    fn sets_share_their_slots() {
        let mut left = 48;
        assert!(KeySet::with_room(12, &mut left).is_ok());
        assert_eq!(left, 16, "three quarters of 16 slots are 12 keys, and one slot more is asked for");
        assert!(KeySet::with_room(40, &mut left).unwrap_err().contains("40 rows are too many to compare"));
        assert_eq!(left, 16);
        assert!(KeySet::slots_for(10_000_000) * 16 <= 256 << 20);
        assert!(KeySet::slots_for(u64::MAX) > MOST_SLOTS);
    }

    #[test]
    fn keys_are_equal_where_all_values_are() {
        let numbers = Column::from(vec![1_i64, 2, 1, 0]);
        let floats = Column::from(vec![1.0, 2.5, 1.0, -0.0]);
        let of = |columns: &[&Column], row| key(columns.iter().map(|column| (*column, None)), row);
        assert_eq!(of(&[&numbers], 0), of(&[&floats], 0), "1 is 1.0");
        assert_eq!(of(&[&numbers], 3), of(&[&floats], 3), "0 is -0");
        assert_ne!(of(&[&numbers], 1), of(&[&floats], 1));
        assert_eq!(of(&[&numbers, &floats], 0), of(&[&numbers, &floats], 2));
        assert_ne!(of(&[&numbers, &floats], 0), of(&[&floats, &numbers], 1));
        let swapped: HashSet<_> =
            [(1, 2), (2, 1), (1, 1)].map(|(a, b)| joined(number(a), number(b))).into_iter().collect();
        assert_eq!(swapped.len(), 3, "the order of columns matters");
        let null = Column::from(vec![1_i64]).with_validity([false]);
        assert_eq!(of(&[&numbers, &null], 0), None);
    }
}
