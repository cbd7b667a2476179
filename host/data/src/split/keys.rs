//! The keys of rows: the hashes that decide about the split, and by which a model remembers rows.
//!
//! The key of a row is the first of these that it has: its group; its identifier; its content and
//! its number among the rows of equal content. So a row without a group and an identifier has a key
//! of its own. If null were a key, all such rows would fall into one partition. Equal rows are
//! numbered for the same reason. The k-th of them keeps its key when the table grows; since equal
//! rows cannot be told apart, the order of the rows does not matter. The order of the columns does
//! not matter either: they are taken by name.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use sha2::{Digest, Sha256};
use stagewright_store::{DataType, Field, Role, Schema};

use crate::error::DataError;
use crate::split::select::select;
use crate::values::Values;

/// Separates the hashes that a model keeps from every other use of SHA-256.
const MEMORY_DOMAIN: &[u8] = b"stagewright.rows.v1\0";
/// Separates the order of test rows from every other use of SHA-256.
const ORDER_DOMAIN: &[u8] = b"stagewright.order.v1\0";

/// Precedes the values of all columns but groups and identifiers.
const CONTENT: u8 = 0;
/// Precedes the group or, in a table without groups, the identifier.
const NAMED: u8 = 1;
/// Precedes the hash of a content, and a number.
const NUMBERED: u8 = 2;
/// Precedes the identifier of a row without a group, in a table with groups.
const UNGROUPED: u8 = 3;

/// A row as a model remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowHash {
    /// The hash of the row's key. It is equal for the rows of a group or an identifier.
    pub key: u64,
    /// The hash of all columns but groups and identifiers. It is equal for rows with the same
    /// features and target.
    pub content: u64,
}

/// Returns the hashes of a table's rows under a secret key, in order. The batches must be the whole
/// table, since a row without a group and an identifier is numbered among its equals.
///
/// # Errors
/// Those of reading a batch.
pub fn hash_rows<E: From<DataError>>(
    schema: &Schema,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    key: &[u8; 32],
) -> Result<Vec<RowHash>, E> {
    let keys = Keys::new(schema, Sha256::new().chain_update(MEMORY_DOMAIN).chain_update(key));
    let mut contents = Vec::new();
    let hashes = keys.hashes(batches, Some(&mut contents))?;
    Ok(hashes.into_iter().zip(contents).map(|(key, content)| RowHash { key, content }).collect())
}

/// Returns the columns that the keys of [`hash_rows`] depend on, sorted: the groups, else the
/// identifiers, else all columns. Each is written as `NAME:TYPE`, with `text` for both `utf8` and
/// `categorical`. Keys of two tables are comparable only if these columns are equal.
pub fn row_key_columns(schema: &Schema) -> Vec<String> {
    let columns = [Role::Group, Role::Identifier].map(|role| schema.indices_with(role));
    let columns = columns.into_iter().find(|columns| !columns.is_empty()).unwrap_or_else(|| content_columns(schema));
    let mut names: Vec<String> = columns.into_iter().map(|column| name_and_type(&schema.fields()[column])).collect();
    names.sort_unstable();
    names
}

fn name_and_type(field: &Field) -> String {
    let data_type = match field.data_type {
        DataType::Utf8 | DataType::Categorical => "text",
        other => other.name(),
    };
    format!("{}:{data_type}", field.name)
}

/// Sorts rows of a table, given by their ascending numbers, into an order that reveals neither
/// their place in the table nor their target. The batches must be the whole table.
///
/// The order depends on the contents of these rows alone, not on the order of the table. A stage
/// that sees the rows cannot compute it: it is the order of a hash whose key is derived from all of
/// these contents, including the target.
///
/// # Errors
/// [`DataError::Plan`] for a row that the table does not have; those of reading a batch.
pub fn in_hash_order<E: From<DataError>>(
    schema: &Schema,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    rows: &[u64],
) -> Result<Vec<u64>, E> {
    let keys = Keys { groups: Vec::new(), identifiers: Vec::new(), ..Keys::new(schema, domain(ORDER_DOMAIN)) };
    let hashes = keys.hashes(select(batches, rows), None)?;
    let mut sorted = hashes.clone();
    sorted.sort_unstable();
    let mut secret = domain(ORDER_DOMAIN);
    sorted.iter().for_each(|hash| secret.update(hash.to_be_bytes()));
    let secret = domain(&secret.finalize());
    let place = |hash: u64| head(secret.clone().chain_update(hash.to_be_bytes()));
    let mut places: Vec<(u64, u64)> = hashes.into_iter().map(place).zip(rows.iter().copied()).collect();
    places.sort_unstable();
    Ok(places.into_iter().map(|(_, row)| row).collect())
}

fn domain(bytes: &[u8]) -> Sha256 {
    Sha256::new().chain_update(bytes)
}

/// Returns the first 8 bytes of a digest, big-endian.
fn head(state: Sha256) -> u64 {
    let mut head = [0; 8];
    head.copy_from_slice(&state.finalize()[..8]);
    u64::from_be_bytes(head)
}

fn content_columns(schema: &Schema) -> Vec<usize> {
    let is_content = |&column: &usize| !matches!(schema.fields()[column].role, Role::Group | Role::Identifier);
    (0..schema.len()).filter(is_content).collect()
}

/// Hashes the keys of a table's rows.
pub(super) struct Keys {
    groups: Vec<usize>,
    identifiers: Vec<usize>,
    content: Vec<usize>,
    /// The beginning of every hashed message.
    prefix: Sha256,
}

impl Keys {
    pub(super) fn new(schema: &Schema, prefix: Sha256) -> Self {
        let by_name = |mut columns: Vec<usize>| {
            columns.sort_by_key(|&column| &schema.fields()[column].name);
            columns
        };
        Self {
            groups: by_name(schema.indices_with(Role::Group)),
            identifiers: by_name(schema.indices_with(Role::Identifier)),
            content: by_name(content_columns(schema)),
            prefix,
        }
    }

    /// Returns the hash of each row's key, in order, and stores the hash of each row's content if
    /// asked.
    pub(super) fn hashes<E: From<DataError>>(
        &self,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
        mut contents: Option<&mut Vec<u64>>,
    ) -> Result<Vec<u64>, E> {
        let mut hashes = Vec::new();
        let mut is_nameless = Vec::new();
        let mut message = Vec::new();
        for batch in batches {
            let batch = batch?;
            let columns = self.columns(&batch)?;
            for row in 0..batch.num_rows() {
                let name = self.name(&columns, row, &mut message);
                let content = (name.is_none() || contents.is_some()).then(|| self.content(&columns, row, &mut message));
                hashes.push(name.or(content).unwrap_or_default());
                is_nameless.push(name.is_none());
                if let (Some(contents), Some(content)) = (&mut contents, content) {
                    contents.push(content);
                }
            }
        }
        self.number(&mut hashes, &is_nameless);
        Ok(hashes)
    }

    fn columns<'a>(&self, batch: &'a RecordBatch) -> Result<Columns<'a>, DataError> {
        let values = |columns: &[usize]| -> Result<Vec<Values<'a>>, DataError> {
            columns.iter().map(|&column| Values::of(batch.column(column))).collect()
        };
        Ok(Columns {
            groups: values(&self.groups)?,
            identifiers: values(&self.identifiers)?,
            content: values(&self.content)?,
        })
    }

    /// Writes a row's group or identifier, if it has one. Of several columns one value suffices: a
    /// partly known group still ties its rows together.
    fn name(&self, columns: &Columns<'_>, row: usize, message: &mut Vec<u8>) -> Option<u64> {
        let has_value = |columns: &[Values<'_>]| columns.iter().any(|values| !values.is_null(row));
        let (kind, named) = if has_value(&columns.groups) {
            (NAMED, &columns.groups)
        } else if has_value(&columns.identifiers) {
            (if columns.groups.is_empty() { NAMED } else { UNGROUPED }, &columns.identifiers)
        } else {
            return None;
        };
        message.clear();
        message.push(kind);
        named.iter().for_each(|values| values.write_text_key(row, message));
        Some(self.hash(message))
    }

    fn content(&self, columns: &Columns<'_>, row: usize, message: &mut Vec<u8>) -> u64 {
        message.clear();
        message.push(CONTENT);
        columns.content.iter().for_each(|values| values.write_value_key(row, message));
        self.hash(message)
    }

    /// Turns the content hashes of rows without a name into hashes of content and number.
    fn number(&self, hashes: &mut [u64], is_nameless: &[bool]) {
        let mut sorted: Vec<u64> =
            hashes.iter().zip(is_nameless).filter(|(_, is_nameless)| **is_nameless).map(|(hash, _)| *hash).collect();
        sorted.sort_unstable();
        // Only contents that occur twice are counted, so that a table of distinct rows needs no
        // map.
        let mut next: HashMap<u64, u64> =
            sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| (pair[0], 0)).collect();
        drop(sorted);
        for (hash, _) in hashes.iter_mut().zip(is_nameless).filter(|(_, is_nameless)| **is_nameless) {
            let number = next.get_mut(hash).map_or(0, |next| std::mem::replace(next, *next + 1));
            let mut message = [NUMBERED; 17];
            message[1..9].copy_from_slice(&hash.to_be_bytes());
            message[9..].copy_from_slice(&number.to_le_bytes());
            *hash = self.hash(&message);
        }
    }

    fn hash(&self, message: &[u8]) -> u64 {
        head(self.prefix.clone().chain_update(message))
    }
}

/// The values of a batch, by their role in keys; each list is sorted by name.
struct Columns<'a> {
    groups: Vec<Values<'a>>,
    identifiers: Vec<Values<'a>>,
    content: Vec<Values<'a>>,
}
