//! The digest of one column of one chunk, and of the table that they make. The encoding is a format: it is written down
//! in docs/formats/table-digest.md, and changing it changes every table's address.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::schema::{DataType, Field, Role, Schema};
use crate::table::sha256_lanes::digests;

/// Parts are padded with zeros to SHA-256's block, so that a column is hashed where it lies, without copying.
pub(super) const BLOCK: usize = 64;

/// What a table's digest begins with: name and version of the encoding.
const TABLE_MAGIC: &[u8] = b"stagewright table 1\n";

/// What SHA-256 is computed of for one column of one chunk, in blocks: a header, then each part's bytes and zeros up to a
/// full block, then SHA-256's own padding.
pub(super) struct Message<'a> {
    header: [u8; BLOCK],
    parts: [&'a [u8]; 3],
    /// The last block of each part, if it is not full.
    tails: [[u8; BLOCK]; 3],
    padding: [u8; BLOCK],
    blocks: usize,
}

impl<'a> Message<'a> {
    /// `validity` is empty if there is no null, `text` if the column is not utf8.
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

    /// How many blocks there are, the padding included.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// One block, where it lies.
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

    /// Of a column as it is stored: canonical, unsliced, categoricals as codes.
    fn of_array(data_type: DataType, array: &'a dyn Array) -> Self {
        let validity: &[u8] = array.nulls().map_or(&[], |nulls| nulls.validity());
        let (values, text): (&[u8], &[u8]) = match data_type {
            DataType::Boolean => (array.as_boolean().values().values(), &[]),
            DataType::Int64 => (numbers(array.as_primitive::<Int64Type>()), &[]),
            DataType::Float64 => (numbers(array.as_primitive::<Float64Type>()), &[]),
            DataType::Timestamp => (numbers(array.as_primitive::<TimestampMicrosecondType>()), &[]),
            DataType::Categorical => (numbers(array.as_primitive::<Int32Type>()), &[]),
            DataType::Utf8 => {
                let strings = array.as_string::<i32>();
                (strings.offsets().inner().inner().as_slice(), strings.value_data())
            }
        };
        Self::new(data_type, array.len(), validity, values, text)
    }
}

/// The digests of columns of one chunk.
pub(super) fn column_digests(fields: &[Field], columns: &[ArrayRef]) -> Vec<Digest> {
    let columns = fields.iter().zip(columns);
    let messages: Vec<Message<'_>> = columns.map(|(field, array)| Message::of_array(field.data_type, array)).collect();
    digests(&messages)
}

/// Little-endian on every machine that this program supports (see `lib.rs`).
fn numbers<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> &[u8] {
    array.values().inner().as_slice()
}

/// The digest of a table: schema, number of rows, categories, and `columns`, which is SHA-256 over the digests of all
/// columns of all chunks.
pub(super) fn table_digest(schema: &Schema, rows: u64, categories: &[Vec<&str>], columns: Digest) -> Digest {
    let mut hasher = Sha256::new();
    let text = |hasher: &mut Sha256, text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    hasher.update(TABLE_MAGIC);
    hasher.update((schema.len() as u64).to_le_bytes());
    for field in schema.fields() {
        text(&mut hasher, &field.name);
        hasher.update([type_tag(field.data_type), u8::from(field.nullable), role_tag(field.role)]);
    }
    hasher.update((schema.chunk_rows() as u64).to_le_bytes());
    hasher.update(rows.to_le_bytes());
    for list in categories {
        hasher.update((list.len() as u64).to_le_bytes());
        list.iter().for_each(|category| text(&mut hasher, category));
    }
    hasher.update(columns.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

const fn type_tag(data_type: DataType) -> u8 {
    match data_type {
        DataType::Boolean => 0,
        DataType::Int64 => 1,
        DataType::Float64 => 2,
        DataType::Utf8 => 3,
        DataType::Categorical => 4,
        DataType::Timestamp => 5,
    }
}

const fn role_tag(role: Role) -> u8 {
    match role {
        Role::Feature => 0,
        Role::Target => 1,
        Role::Weight => 2,
        Role::Identifier => 3,
        Role::Time => 4,
        Role::Group => 5,
    }
}
