//! The digests of a column of a chunk, and of a table. The encoding is a format, described in
//! docs/formats/table-digest.md: changing it changes every table's digest.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::schema::{DataType, Field, Role, Schema};
use crate::table::column_message::{ColumnMessage, type_tag};
use crate::table::sha256_lanes::digests;

/// The first bytes of a table's message: name and version of the encoding.
const TABLE_MAGIC: &[u8] = b"stagewright table 1\n";

/// Returns the message of a column as it is stored: canonical, not sliced, categoricals as codes.
fn message(data_type: DataType, array: &dyn Array) -> ColumnMessage<'_> {
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
    ColumnMessage::new(data_type, array.len(), validity, values, text)
}

/// Returns the digests of columns of one chunk.
pub(super) fn column_digests(fields: &[Field], columns: &[ArrayRef]) -> Vec<Digest> {
    let columns = fields.iter().zip(columns);
    let messages: Vec<ColumnMessage<'_>> = columns.map(|(field, array)| message(field.data_type, array)).collect();
    digests(&messages)
}

/// Returns the bytes of the values, which are little-endian on every machine that this program
/// supports (see `lib.rs`).
fn numbers<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> &[u8] {
    array.values().inner().as_slice()
}

/// Returns the digest of a table, of its schema, number of rows, categories, and `columns`, which
/// is the SHA-256 over the digests of all columns of all chunks.
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
