//! The message whose SHA-256 is the digest of one column of one chunk.

use crate::schema::DataType;

/// Parts are padded with zeros to SHA-256's block, so that a column is hashed where it lies,
/// without copying.
pub(super) const BLOCK: usize = 64;

/// A message for SHA-256, in blocks: a header, then each part's bytes with zeros up to a full
/// block, then SHA-256's own padding.
pub(super) struct ColumnMessage<'a> {
    header: [u8; BLOCK],
    parts: [&'a [u8]; 3],
    /// The last block of each part, if it is not full.
    tails: [[u8; BLOCK]; 3],
    padding: [u8; BLOCK],
    blocks: usize,
}

impl<'a> ColumnMessage<'a> {
    /// Creates the message of a column. `validity` is empty if there is no null, `text` if the
    /// column is not utf8.
    pub(super) fn new(data_type: DataType, rows: usize, validity: &'a [u8], values: &'a [u8], text: &'a [u8]) -> Self {
        let mut header = [0; BLOCK];
        header[0] = type_tag(data_type);
        header[1] = u8::from(!validity.is_empty());
        header[8..16].copy_from_slice(&(rows as u64).to_le_bytes());
        header[16..24].copy_from_slice(&(text.len() as u64).to_le_bytes());
        let parts = [validity, values, text];
        let tails = parts.map(|part| {
            let mut tail = [0; BLOCK];
            let rest = part.as_chunks::<BLOCK>().1;
            tail[..rest.len()].copy_from_slice(rest);
            tail
        });
        let content = 1 + parts.iter().map(|part| part.len().div_ceil(BLOCK)).sum::<usize>();
        let mut padding = [0; BLOCK];
        padding[0] = 0x80;
        padding[56..].copy_from_slice(&(content as u64 * BLOCK as u64 * 8).to_be_bytes());
        Self { header, parts, tails, padding, blocks: content + 1 }
    }

    /// Returns the number of blocks, including the padding.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Returns one block without copying it.
    #[inline]
    pub(super) fn block(&self, index: usize) -> &[u8; BLOCK] {
        let Some(mut index) = index.checked_sub(1) else { return &self.header };
        for (part, tail) in self.parts.iter().zip(&self.tails) {
            let blocks = part.len().div_ceil(BLOCK);
            if index < blocks {
                return part.as_chunks().0.get(index).unwrap_or(tail);
            }
            index -= blocks;
        }
        &self.padding
    }
}

/// Returns the byte that stands for a type in digests.
pub(super) const fn type_tag(data_type: DataType) -> u8 {
    match data_type {
        DataType::Boolean => 0,
        DataType::Int64 => 1,
        DataType::Float64 => 2,
        DataType::Utf8 => 3,
        DataType::Categorical => 4,
        DataType::Timestamp => 5,
    }
}
