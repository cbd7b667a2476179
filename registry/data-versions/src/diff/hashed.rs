//! Rows as hashes.

use std::hash::BuildHasher;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use foldhash::quality::RandomState;

use crate::diff::cells::Cells;

/// The keys of the hashes of a comparison.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    one: RandomState,
    other: RandomState,
}

/// A row: where it is, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The hash of the columns that make a row the same.
    pub(super) key: u128,
    /// The hash of the other columns.
    pub(super) rest: u64,
    /// The row's number in its table, from 0.
    pub(super) at: u64,
}

/// The value of a null. It is hashed together with a mark, so that no number equals it.
const NULL: u64 = 0x6e75_6c6c;

/// Hashes the rows of one part, and sorts them by key and number. The first `key` columns of the
/// batches are the key.
pub(super) fn rows(batches: &[RecordBatch], key: usize, seeds: &Seeds, (part, parts): (u64, u64)) -> Vec<Row> {
    let width = batches.first().map_or(0, RecordBatch::num_columns);
    let categories: Vec<Option<Vec<u64>>> =
        (0..width).map(|index| batches.first().and_then(|batch| of_categories(batch.column(index), seeds))).collect();
    let mut found = Vec::new();
    let mut start = 0;
    let (mut high, mut low, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for batch in batches {
        for state in [&mut high, &mut low, &mut rest] {
            state.clear();
            state.resize(batch.num_rows(), 0);
        }
        for (index, column) in batch.columns().iter().enumerate() {
            let cells = Cells::of(column);
            let values = (0..batch.num_rows()).map(|row| value(&cells, row, categories[index].as_deref(), seeds));
            if index < key {
                for ((high, low), value) in high.iter_mut().zip(&mut low).zip(values) {
                    *high = seeds.one.hash_one((*high, value));
                    *low = seeds.other.hash_one((*low, value));
                }
            } else {
                for (rest, value) in rest.iter_mut().zip(values) {
                    *rest = seeds.one.hash_one((*rest, value));
                }
            }
        }
        let rows = high.iter().zip(&low).zip(&rest).zip(start..);
        let of_part = rows.filter(|(((high, _), _), _)| **high % parts == part);
        found.extend(of_part.map(|(((high, low), rest), at)| Row {
            key: u128::from(*high) << 64 | u128::from(*low),
            rest: *rest,
            at,
        }));
        start += batch.num_rows() as u64;
    }
    found.sort_unstable_by_key(|row| (row.key, row.at));
    found
}

/// Returns what is hashed of a cell: bits of numbers, a hash of texts, and a mark of nulls.
fn value(cells: &Cells<'_>, row: usize, categories: Option<&[u64]>, seeds: &Seeds) -> (u64, bool) {
    if cells.is_null(row) {
        return (NULL, true);
    }
    let value = match (cells, categories) {
        (Cells::Category(codes, _), Some(hashes)) => {
            usize::try_from(codes.keys().value(row)).ok().and_then(|code| hashes.get(code)).copied().unwrap_or_default()
        }
        _ => cells.text(row).map_or_else(|| cells.bits(row), |text| seeds.one.hash_one(text)),
    };
    (value, false)
}

/// Returns the hashes of all categories of a column, which all chunks of a table share.
fn of_categories(column: &ArrayRef, seeds: &Seeds) -> Option<Vec<u64>> {
    let categories = column.as_dictionary_opt::<Int32Type>()?.values().as_string::<i32>();
    Some((0..categories.len()).map(|code| seeds.one.hash_one(categories.value(code))).collect())
}
