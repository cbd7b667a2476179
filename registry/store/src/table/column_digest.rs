//! The digest of one column of one chunk, and of the table that they make. The encoding is a format: it is written down
//! in docs/formats/table-digest.md, and changing it changes every table's address.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::schema::{DataType, Field, Role, Schema};

/// Parts are padded with zeros to SHA-256's block, so that a column is hashed where it lies, without copying.
const BLOCK: usize = 64;

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What a table's digest begins with: name and version of the encoding.
const TABLE_MAGIC: &[u8] = b"stagewright table 1\n";

/// The parts of one column of one chunk, in the order in which they are hashed: a header block, then for each part its
/// bytes and zeros up to a full block.
pub(super) struct Message<'a> {
    header: [u8; BLOCK],
    parts: [&'a [u8]; 3],
}

impl<'a> Message<'a> {
    /// `validity` is empty if there is no null, `text` if the column is not utf8.
    pub(super) fn new(data_type: DataType, rows: usize, validity: &'a [u8], values: &'a [u8], text: &'a [u8]) -> Self {
        let mut header = ZEROS;
        header[0] = type_tag(data_type);
        header[1] = u8::from(!validity.is_empty());
        header[8..16].copy_from_slice(&(rows as u64).to_le_bytes());
        header[16..24].copy_from_slice(&(text.len() as u64).to_le_bytes());
        Self { header, parts: [validity, values, text] }
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

    /// SHA-256 of the header and the padded parts.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(self.header);
        for part in self.parts {
            hasher.update(part);
            hasher.update(&ZEROS[..part.len().next_multiple_of(BLOCK) - part.len()]);
        }
        Digest::from_bytes(hasher.finalize().into())
    }
}

/// The digests of columns of one chunk.
pub(super) fn column_digests(fields: &[Field], columns: &[ArrayRef]) -> Vec<Digest> {
    fields.iter().zip(columns).map(|(field, column)| Message::of_array(field.data_type, column).digest()).collect()
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
