//! Arrow bitmaps as plain bytes: least significant bit first, `ceil(rows / 8)` bytes, trailing bits
//! 0.
//!
//! Bitmaps start at bit 0. [`from_buffer`] resolves offsets into shared buffers.

use arrow_buffer::BooleanBuffer;

/// Returns how many bytes `rows` bits take.
pub(crate) const fn bytes_for(rows: usize) -> usize {
    rows.div_ceil(8)
}

/// Returns the bit of `row`.
pub(crate) fn get(bits: &[u8], row: usize) -> bool {
    bits[row / 8] >> (row % 8) & 1 == 1
}

/// Returns whether every bit past the last row is 0.
pub(crate) fn trailing_bits_are_zero(bits: &[u8], rows: usize) -> bool {
    rows.is_multiple_of(8) || bits.last().is_none_or(|last| last >> (rows % 8) == 0)
}

/// Sets every bit past the last row to 0.
pub(crate) fn clear_trailing_bits(bits: &mut [u8], rows: usize) {
    if !rows.is_multiple_of(8)
        && let Some(last) = bits.last_mut()
    {
        *last &= (1 << (rows % 8)) - 1;
    }
}

/// Returns how many bits are 1.
pub(crate) fn count_ones(bits: &[u8]) -> usize {
    let (words, rest) = bits.as_chunks::<8>();
    let words: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
    let rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    words as usize + rest as usize
}

/// Sets the values at nulls to their default, so that equal columns have equal bytes.
pub(crate) fn zero_at_nulls<T: Copy + Default>(values: &mut [T], validity: &[u8]) {
    for (block, &byte) in values.chunks_mut(8).zip(validity) {
        if byte != 0xff {
            for (bit, value) in block.iter_mut().enumerate() {
                if byte >> bit & 1 == 0 {
                    *value = T::default();
                }
            }
        }
    }
}

/// Returns the bits of an Arrow buffer of any offset, from bit 0 on, with trailing bits 0.
pub(crate) fn from_buffer(buffer: &BooleanBuffer) -> Vec<u8> {
    let mut bits = buffer.sliced().as_slice()[..bytes_for(buffer.len())].to_vec();
    clear_trailing_bits(&mut bits, buffer.len());
    bits
}

/// Appends the bits of an Arrow buffer of any offset to `bits`, which holds `rows` bits with
/// trailing bits 0.
pub(crate) fn append(bits: &mut Vec<u8>, rows: usize, buffer: &BooleanBuffer) {
    let added = from_buffer(buffer);
    let shift = rows % 8;
    if shift == 0 {
        bits.extend_from_slice(&added);
        return;
    }
    for byte in added {
        // `shift` is not 0, so there is a last byte with room above bit `shift`.
        *bits.last_mut().expect("a partial byte") |= byte << shift;
        bits.push(byte >> (8 - shift));
    }
    bits.truncate(bytes_for(rows + buffer.len()));
}

/// Appends `count` bits of 1 to `bits`, which holds `rows` bits with trailing bits 0.
pub(crate) fn append_ones(bits: &mut Vec<u8>, rows: usize, count: usize) {
    if !rows.is_multiple_of(8)
        && let Some(last) = bits.last_mut()
    {
        *last |= 0xff << (rows % 8);
    }
    bits.resize(bytes_for(rows + count), 0xff);
    clear_trailing_bits(bits, rows + count);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(rows: &[bool]) -> Vec<u8> {
        let mut bits = vec![0; bytes_for(rows.len())];
        for (row, &set) in rows.iter().enumerate() {
            bits[row / 8] |= u8::from(set) << (row % 8);
        }
        bits
    }

    proptest! {
        #[test]
        fn appended_bits_follow_those_that_were_there(
            old in prop::collection::vec(any::<bool>(), 0..70),
            source in prop::collection::vec(any::<bool>(), 0..150),
            offset in 0usize..70,
        ) {
            let offset = offset.min(source.len());
            let buffer = BooleanBuffer::from(source.clone()).slice(offset, source.len() - offset);
            let mut bits = pack(&old);
            append(&mut bits, old.len(), &buffer);
            prop_assert_eq!(bits, pack(&[&old, &source[offset..]].concat()));
        }

        #[test]
        fn appended_ones_follow_those_that_were_there(old in prop::collection::vec(any::<bool>(), 0..70), count in 0usize..70) {
            let mut bits = pack(&old);
            append_ones(&mut bits, old.len(), count);
            prop_assert_eq!(bits, pack(&[old, vec![true; count]].concat()));
        }

        #[test]
        fn counting_agrees_with_a_plain_scan(rows in prop::collection::vec(prop::bool::weighted(0.9), 0..300)) {
            let bits = pack(&rows);
            prop_assert_eq!(count_ones(&bits), rows.iter().filter(|set| **set).count());
            prop_assert!(trailing_bits_are_zero(&bits, rows.len()));
        }
    }
}
