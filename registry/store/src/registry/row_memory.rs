//! Which rows a version learnt from: sets of keyed hashes, so that a test row that the champion knows is found.
//!
//! A hash says nothing about its row to whoever lacks the registry's key ([`Registry::row_hash_key`]), which never leaves
//! the database. A version without a memory (an imported one, one of before format 3) learnt from rows that nobody knows:
//! that is not the same as from none. The format is docs/formats/row-memory.md.
//!
//! Why not an artifact? Its hashes hang on the key of the registry, so two registries would never agree on its digest.

use crate::database::{Connection, Failure, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::ids;

/// Hashes of one chunk: 512 KiB, so that a memory of any size passes in pieces that both databases like.
const CHUNK: usize = 65_536;

/// The rows that a version learnt from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowMemory {
    /// The columns that the keys were made of, sorted by name; empty: the whole row is the key.
    pub columns: Vec<String>,
    /// The hashes of the rows' keys, ascending, each once.
    pub keys: Vec<u64>,
    /// The hashes of the rows' whole contents, ascending, each once.
    pub contents: Vec<u64>,
}

impl RowMemory {
    /// Returns a memory of these rows, in any order and any number of times.
    pub fn new(mut columns: Vec<String>, keys: Vec<u64>, contents: Vec<u64>) -> Self {
        columns.sort();
        Self { columns, keys: ascending(keys), contents: ascending(contents) }
    }

    /// Returns the rows of both; `None` if their keys were made of other columns, so that nobody
    /// can count the common ones.
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
    // Merges what is sorted already in one pass.
    hashes.sort();
    hashes.dedup();
    hashes
}

impl Registry {
    /// Returns the rows that a version learnt from; `None` if that is not known.
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

    /// What rows are hashed with: 32 random bytes, made once with the database, which nothing exports.
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

/// Adds the rows of another training of the same parts to what a version is known to have learnt from; whether that changed
/// anything. What is not known of one of the two is not known of the version.
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

/// Makes the key of a database's rows; called once, when the tables are made.
pub(super) fn create_key(connection: &mut Connection) -> Outcome<()> {
    debug_assert_eq!(connection.scope(), Scope::Models, "the key is made once");
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random { problem: error.to_string() })?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    connection.execute("INSERT INTO row_hash_key (one, hash_key) VALUES (1, ?1)", values![text])?;
    Ok(())
}

/// Keeps which rows a version learnt from.
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

/// Forgets which rows a version learnt from.
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
