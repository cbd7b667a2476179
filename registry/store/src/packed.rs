//! Batches as the contract has them: pieces of bytes at multiples of 8, in the order of the fields.
//!
//! Owns the only parser of bytes that a guest calls a batch, the only writer of bytes that a guest
//! gets as one, and how many bytes that writer makes.

mod parse;
mod size;
mod write;

pub use parse::parse;
pub use size::{batch_bytes, column_bytes, held_bytes, rows_within};
pub use write::write;

/// The most bytes that a batch may have: the contract's 8 MiB.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The most rows of one batch: as many as a bitmap of [`MAX_BATCH_BYTES`] has bits. Bounds a batch
/// without columns.
pub const MAX_BATCH_ROWS: usize = MAX_BATCH_BYTES * 8;

/// The one NaN that a table holds.
pub const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Each piece of a batch starts at a multiple of this.
const ALIGNMENT: usize = 8;

/// How many values are looked at between two decisions whether a NaN is among them.
const NAN_BLOCK: usize = 1024;

/// Replaces every NaN by the canonical one. -0.0 and infinities stay.
fn canonicalise_nans(words: &mut [[u8; 8]]) {
    replace_nans(words, |word| f64::from_le_bytes(word).is_nan(), CANONICAL_NAN.to_le_bytes());
}

/// Replaces what is a NaN by `canonical`.
pub(crate) fn replace_nans<T: Copy>(values: &mut [T], is_nan: impl Fn(T) -> bool, canonical: T) {
    for block in values.chunks_mut(NAN_BLOCK) {
        // No short circuit: a plain reduction is one vector comparison for several values.
        let nan = block.iter().fold(0, |seen, &value| seen | u64::from(is_nan(value)));
        if nan != 0 {
            for value in block.iter_mut().filter(|value| is_nan(**value)) {
                *value = canonical;
            }
        }
    }
}
