//! The rows that a version was trained on, as sets of keyed hashes, so that a test row that the
//! champion has seen is detected.
//!
//! A hash says nothing about its row without the registry's key ([`Registry::row_hash_key`]), which
//! never leaves the database. The rows of a version without a memory (an imported one, or one older
//! than format 3) are unknown, which is not the same as none. docs/formats/row-memory.md describes
//! the format.
//!
//! Why not an artifact? The hashes depend on the registry's key, so that two registries would never
//! agree on a digest.

use crate::database::{Connection, Failure, Outcome, Scope, values};
use crate::error::StoreError;
use crate::random::random_hex;
use crate::registry::handle::Registry;
use crate::registry::ids;

/// The number of hashes in one chunk: 512 KiB, a size of value that both databases store well.
const CHUNK: usize = 65_536;

/// The rows that a version was trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowMemory {
    /// The columns of the rows' keys, sorted by name; empty: the whole row is the key.
    pub columns: Vec<String>,
    /// The hashes of the rows' keys, ascending, each once.
    pub keys: Vec<u64>,
    /// The hashes of the rows' whole contents, ascending, each once.
    pub contents: Vec<u64>,
}

impl RowMemory {
    /// Creates a memory of rows in any order, with repetitions.
    pub fn new(mut columns: Vec<String>, keys: Vec<u64>, contents: Vec<u64>) -> Self {
        columns.sort();
        Self { columns, keys: ascending(keys), contents: ascending(contents) }
    }

    /// Returns the union; `None` if the keys are of other columns, so that common rows cannot be
    /// counted.
    #[must_use]
    pub fn union(self, other: &Self) -> Option<Self> {
        let both = |mut one: Vec<u64>, two: &[u64]| {
            one.extend_from_slice(two);
            ascending(one)
        };
        (self.columns == other.columns).then(|| Self {
            keys: both(self.keys, &other.keys),
            contents: both(self.contents, &other.contents),
            columns: self.columns,
        })
    }
}

fn ascending(mut hashes: Vec<u64>) -> Vec<u64> {
    // The sort merges sorted runs in one pass.
    hashes.sort();
    hashes.dedup();
    hashes
}

impl Registry {
    /// Returns the rows that a version was trained on; `None` if they are unknown.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn row_memory(&self, model: &str, version: u32) -> Result<Option<RowMemory>, StoreError> {
        self.read("read which rows a version learnt from", |connection| {
            let id = ids::version(connection, model, version)?;
            of(connection, id)
        })
    }

    /// Returns the key of the hashes: 32 random bytes, generated once with the database. Nothing
    /// exports them.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn row_hash_key(&self) -> Result<[u8; 32], StoreError> {
        self.read("read the key of rows' hashes", |connection| {
            let text: String = connection.one("SELECT hash_key FROM row_hash_key", &[])?.get(0)?;
            let digits = text
                .as_bytes()
                .chunks_exact(2)
                .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
            let bytes: Option<Vec<u8>> = digits.collect();
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| Failure::Record("the key of rows' hashes is not 64 hex digits".to_owned()))
        })
    }
}

/// Adds the rows of another training of the same parts to those of a version. Returns whether that
/// changed anything. If the rows of either are unknown, the version's become unknown.
pub(super) fn add(connection: &mut Connection, version: i64, rows: Option<&RowMemory>) -> Outcome<bool> {
    let Some(old) = of(connection, version)? else { return Ok(false) };
    let new = rows.and_then(|rows| old.clone().union(rows));
    let changes = new.as_ref() != Some(&old);
    if changes {
        remove(connection, version)?;
        insert(connection, version, new.as_ref())?;
    }
    Ok(changes)
}

/// Generates the key of the hashes. Called once, when the tables are created.
pub(super) fn create_key(connection: &mut Connection) -> Outcome<()> {
    debug_assert_eq!(connection.scope(), Scope::Models, "the key is made once");
    let text = random_hex::<32>()?;
    connection.execute("INSERT INTO row_hash_key (one, hash_key) VALUES (1, ?1)", values![text])?;
    Ok(())
}

/// Inserts the rows that a version was trained on.
pub(super) fn insert(connection: &mut Connection, version: i64, rows: Option<&RowMemory>) -> Outcome<()> {
    let Some(RowMemory { columns, keys, contents }) = rows else { return Ok(()) };
    let insert = "INSERT INTO row_memories (version, key_columns) VALUES (?1, ?2)";
    connection.execute(insert, values![version, serde_json::to_string(columns)?])?;
    let insert = "INSERT INTO row_memory_chunks (version, kind, chunk, hashes) VALUES (?1, ?2, ?3, ?4)";
    for (kind, hashes) in [("key", keys), ("content", contents)] {
        for (chunk, hashes) in hashes.chunks(CHUNK).enumerate() {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
            connection.execute(insert, values![version, kind, chunk, bytes])?;
        }
    }
    Ok(())
}

/// Removes the rows that a version was trained on.
pub(super) fn remove(connection: &mut Connection, version: i64) -> Outcome<()> {
    connection.execute("DELETE FROM row_memory_chunks WHERE version = ?1", values![version])?;
    connection.execute("DELETE FROM row_memories WHERE version = ?1", values![version])?;
    Ok(())
}

fn of(connection: &mut Connection, version: i64) -> Outcome<Option<RowMemory>> {
    let known = connection.first("SELECT key_columns FROM row_memories WHERE version = ?1", values![version])?;
    let Some(known) = known else { return Ok(None) };
    let columns = serde_json::from_value(known.json(0)?)?;
    let mut hashes = |kind: &str| {
        let query = "SELECT hashes FROM row_memory_chunks WHERE version = ?1 AND kind = ?2 ORDER BY chunk";
        let mut found: Vec<u64> = Vec::new();
        for row in connection.query(query, values![version, kind])? {
            let bytes: Vec<u8> = row.get(0)?;
            let (whole, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Failure::Record(format!("a piece of a version's rows has {} bytes", bytes.len())));
            }
            found.extend(whole.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        }
        if !found.is_sorted_by(|one, two| one < two) {
            return Err(Failure::Record("the hashes of a version's rows are out of order".to_owned()));
        }
        Ok(found)
    };
    Ok(Some(RowMemory { columns, keys: hashes("key")?, contents: hashes("content")? }))
}
