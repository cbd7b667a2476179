//! Merging the hashed rows of two tables.

use std::cmp::Ordering;

use arrow_array::RecordBatch;
use serde_json::{Map, Value};
use stagewright_store::Table;
use stagewright_text::Untrusted;

use crate::diff::cells::Cells;
use crate::diff::columns::Columns;
use crate::diff::examples::First;
use crate::diff::hashed::{self, Row, Seeds};
use crate::diff::named::Named;
use crate::diff::report::{ChangedCell, ChangedRow, TableDiff};
use crate::error::DataVersionsError;

/// A comparison, part by part.
pub(super) struct Merge<'a> {
    before: Side<'a>,
    after: Side<'a>,
    columns: &'a Columns,
    seeds: Seeds,
    report: TableDiff,
    /// The number of cells that differ, for each of the columns that are not the key.
    by_column: Vec<u64>,
    added: First<u64>,
    removed: First<u64>,
    /// Rows of both tables: the second's number first.
    changed: First<(u64, u64)>,
}

/// One of the two tables.
struct Side<'a> {
    table: Named<'a>,
    batches: Vec<RecordBatch>,
}

impl Side<'_> {
    /// Returns the chunk of a row, and the row's place in it.
    fn place(&self, at: u64) -> (&RecordBatch, usize) {
        let rows = self.table.table.schema().chunk_rows() as u64;
        (&self.batches[(at / rows) as usize], (at % rows) as usize)
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        before: Named<'a>,
        after: Named<'a>,
        columns: &'a Columns,
        examples: usize,
    ) -> Result<Self, DataVersionsError> {
        let report = TableDiff {
            key: columns.names.clone(),
            columns: columns.changes.clone(),
            rows_before: before.table.rows(),
            rows_after: after.table.rows(),
            ..TableDiff::default()
        };
        Ok(Self {
            before: Side { table: before, batches: columns.batches(before.table, true)? },
            after: Side { table: after, batches: columns.batches(after.table, false)? },
            columns,
            seeds: Seeds::default(),
            report,
            by_column: vec![0; columns.others.len()],
            added: First::new(examples),
            removed: First::new(examples),
            changed: First::new(examples),
        })
    }

    /// Compares the rows of one part.
    pub(super) fn add(&mut self, part: (u64, u64)) -> Result<(), DataVersionsError> {
        let key = self.columns.key.len();
        let (before, after) = std::thread::scope(|scope| {
            let before = scope.spawn(|| hashed::rows(&self.before.batches, key, &self.seeds, part));
            let after = hashed::rows(&self.after.batches, key, &self.seeds, part);
            (before.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), after)
        });
        if !self.columns.names.is_empty() {
            refuse_repeated(&before, &self.before.batches, self.columns, self.before.table.name)?;
            refuse_repeated(&after, &self.after.batches, self.columns, self.after.table.name)?;
        }
        let pairs = self.walk(&before, &after);
        self.count_cells(pairs);
        Ok(())
    }

    /// Walks both lists, and returns the pairs of rows that changed. Of equal keys, the first rows
    /// are matched, so that the last ones of a whole-row comparison are those that are left over.
    fn walk(&mut self, before: &[Row], after: &[Row]) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return pairs,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.key.cmp(&new.key),
            };
            match order {
                Ordering::Less => {
                    self.report.removed += 1;
                    old.next().into_iter().for_each(|row| self.removed.offer(row.at));
                }
                Ordering::Greater => {
                    self.report.added += 1;
                    new.next().into_iter().for_each(|row| self.added.offer(row.at));
                }
                Ordering::Equal => match (old.next(), new.next()) {
                    (Some(old), Some(new)) if old.rest != new.rest => pairs.push((new.at, old.at)),
                    _ => self.report.unchanged += 1,
                },
            }
        }
    }

    /// Counts the cells that differ, column by column.
    fn count_cells(&mut self, mut pairs: Vec<(u64, u64)>) {
        pairs.sort_unstable();
        self.report.changed += pairs.len() as u64;
        let first = self.columns.key.len();
        for (index, count) in self.by_column.iter_mut().enumerate() {
            let differs = |&&(new, old): &&(u64, u64)| {
                let ((one, one_row), (other, other_row)) = (self.before.place(old), self.after.place(new));
                let other = Cells::of(other.column(first + index));
                !Cells::of(one.column(first + index)).same(one_row, &other, other_row)
            };
            *count += pairs.iter().filter(differs).count() as u64;
        }
        pairs.into_iter().for_each(|pair| self.changed.offer(pair));
    }

    /// Returns what was found, with the examples' cells.
    pub(super) fn report(self) -> Result<TableDiff, DataVersionsError> {
        let Self { before, after, columns, mut report, by_column, added, removed, changed, .. } = self;
        let schema = after.table.table.schema();
        let names: Vec<String> = columns.others.iter().map(|(_, at)| schema.fields()[*at].name.clone()).collect();
        report.changed_cells = by_column.iter().sum();
        report.changed_by_column = names.iter().cloned().zip(by_column).filter(|(_, cells)| *cells > 0).collect();
        report.added_rows = whole_rows(after.table.table, added)?;
        report.removed_rows = whole_rows(before.table.table, removed)?;
        report.changed_rows = changed
            .into_sorted()
            .into_iter()
            .map(|(new, old)| {
                let ((one, one_row), (other, other_row)) = (before.place(old), after.place(new));
                let first = columns.key.len();
                let cells = names.iter().enumerate().filter_map(|(index, column)| {
                    let (one, other) = (one.column(first + index), other.column(first + index));
                    let (one, other) = (Cells::of(one), Cells::of(other));
                    let changed = || ChangedCell {
                        column: column.clone(),
                        before: one.json(one_row),
                        after: other.json(other_row),
                    };
                    (!one.same(one_row, &other, other_row)).then(changed)
                });
                ChangedRow { key: key_of(columns, other, other_row), cells: cells.collect() }
            })
            .collect();
        Ok(report)
    }
}

fn key_of(columns: &Columns, batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let names = columns.names.iter().enumerate();
    names.map(|(index, name)| (name.clone(), Cells::of(batch.column(index)).json(row))).collect()
}

fn whole_rows(table: &Table, rows: First<u64>) -> Result<Vec<Map<String, Value>>, DataVersionsError> {
    let row = |at: u64| {
        let batch = table.read(at, 1, None)?;
        let cells = table.schema().fields().iter().zip(batch.columns());
        Ok(cells.map(|(field, column)| (field.name.clone(), Cells::of(column).json(0))).collect())
    };
    rows.into_sorted().into_iter().map(row).collect()
}

/// Refuses a key that is on more than one row.
pub(super) fn refuse_repeated(
    rows: &[Row],
    batches: &[RecordBatch],
    columns: &Columns,
    table: &str,
) -> Result<(), DataVersionsError> {
    let repeated = || rows.chunk_by(|one, other| one.key == other.key).filter(|rows| rows.len() > 1);
    let Some(first) = repeated().min_by_key(|rows| rows[0].at) else { return Ok(()) };
    let chunk_rows = batches.first().map_or(1, RecordBatch::num_rows).max(1) as u64;
    let (batch, row) = (&batches[(first[0].at / chunk_rows) as usize], (first[0].at % chunk_rows) as usize);
    let key = key_of(columns, batch, row);
    let key: Vec<String> = key.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let (one, other) = (first[0].at + 1, first[1].at + 1);
    let example = format!("{} on rows {one} and {other}", Untrusted::new(&key.join(", ")).cut(200));
    Err(DataVersionsError::KeyRepeated { table: table.to_owned(), count: repeated().count() as u64, example })
}
