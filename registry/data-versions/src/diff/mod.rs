//! The difference of two tables: rows that were added, removed or changed, and their cells.
//!
//! With a key, rows of both tables that have the same key are the same row. Without one, a table is
//! a multiset of whole rows, and a row that changed is one removed and one added. Rows are compared
//! on the columns that both tables have with the same type (texts and categories are one type);
//! other columns are changes of the schema.
//!
//! Rows are hashed with keys that are random for each comparison: 128 bits of the key's cells, 64
//! of the others. Sorted by hash, two tables are merged in one pass. Of larger tables, the hashes
//! are divided into parts that fit into memory, and each part is a pass over the tables
//! ([`ROWS_AT_ONCE`]). The result depends neither on the hashes nor on the parts.

mod cells;
mod columns;
mod examples;
mod hashed;
mod merge;
mod named;
mod report;
#[cfg(test)]
mod tests;

pub use named::Named;
pub use report::{ChangedCell, ChangedRow, ColumnChange, ColumnChangeKind, TableDiff};

use crate::error::DataVersionsError;
use columns::Columns;
use merge::Merge;

/// The rows of one table whose hashes are in memory at a time: 64 MiB of them.
pub const ROWS_AT_ONCE: u64 = 2 << 20;

/// Compares two tables by key (`key` is empty: by whole rows), and keeps `examples` of each kind of
/// row, those that stand first.
///
/// # Errors
/// [`DataVersionsError::NoKeyColumn`], [`DataVersionsError::KeyType`],
/// [`DataVersionsError::KeyRepeated`]; those of reading the tables.
pub fn tables(
    before: Named<'_>,
    after: Named<'_>,
    key: &[String],
    examples: usize,
) -> Result<TableDiff, DataVersionsError> {
    tables_in_parts(before, after, key, examples, ROWS_AT_ONCE)
}

/// Checks that a key identifies each row of a table.
///
/// # Errors
/// As [`tables`].
pub fn check_key(table: Named<'_>, key: &[String]) -> Result<(), DataVersionsError> {
    if key.is_empty() {
        return Ok(());
    }
    let columns = Columns::of_key(table, key)?;
    let parts = table.table.rows().div_ceil(ROWS_AT_ONCE).max(1);
    let seeds = hashed::Seeds::default();
    let batches = columns.batches(table.table, true)?;
    for part in 0..parts {
        let rows = hashed::rows(&batches, columns.key.len(), &seeds, (part, parts));
        merge::refuse_repeated(&rows, &batches, &columns, table.name)?;
    }
    Ok(())
}

fn tables_in_parts(
    before: Named<'_>,
    after: Named<'_>,
    key: &[String],
    examples: usize,
    rows_at_once: u64,
) -> Result<TableDiff, DataVersionsError> {
    let columns = Columns::of(before, after, key)?;
    let parts = before.table.rows().max(after.table.rows()).div_ceil(rows_at_once.max(1)).max(1);
    let mut merge = Merge::new(before, after, &columns, examples)?;
    (0..parts).try_for_each(|part| merge.add((part, parts)))?;
    merge.report()
}
