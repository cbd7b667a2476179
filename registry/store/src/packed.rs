//! Batches in the contract's layout: buffers at multiples of 8 bytes, in the order of the fields.
//!
//! Owns the only parser of batches from guests, the only writer of batches for guests, and the size
//! of what that writer makes. docs/formats and `wit/types.wit` describe the layout.

mod parse;
mod size;
mod write;

pub use parse::{check_matrix, is_matrix, parse};
pub use size::{batch_bytes, column_bytes, held_bytes, rows_within};
pub use write::{write, write_into};

/// The most bytes in a batch: the contract's 8 MiB.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The most rows in a batch: as many as a bitmap of [`MAX_BATCH_BYTES`] has bits. It bounds a batch
/// without columns.
pub const MAX_BATCH_ROWS: usize = MAX_BATCH_BYTES * 8;

/// The one NaN that tables hold.
pub const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Each buffer of a batch starts at a multiple of this.
const ALIGNMENT: usize = 8;

/// How many values are checked together for a NaN.
const NAN_BLOCK: usize = 1024;

/// Replaces every NaN by the canonical one. Leaves -0.0 and infinities as they are.
fn canonicalise_nans(words: &mut [[u8; 8]]) {
    replace_nans(words, |word| f64::from_le_bytes(word).is_nan(), CANONICAL_NAN.to_le_bytes());
}

/// Replaces every value that is a NaN by `canonical`.
pub(crate) fn replace_nans<T: Copy>(values: &mut [T], is_nan: impl Fn(T) -> bool, canonical: T) {
    for block in values.chunks_mut(NAN_BLOCK) {
        // No short circuit: a plain reduction compiles to one vector comparison for several values.
        let nan = block.iter().fold(0, |seen, &value| seen | u64::from(is_nan(value)));
        if nan != 0 {
            for value in block.iter_mut().filter(|value| is_nan(**value)) {
                *value = canonical;
            }
        }
    }
}
