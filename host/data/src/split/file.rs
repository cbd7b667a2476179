//! A split as a CSV file: `row,partition` and the identifiers, so that it can be looked at, shared and used elsewhere.
//!
//! Written with the identifiers where these are unambiguous; read by them where the file has them, else by row number.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

use arrow_array::RecordBatch;
use stagewright_store::{Role, Schema};

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed, shown};
use crate::interrupt::Interrupt;
use crate::source::{CellVisitor, CsvText};
use crate::split::{Partition, Split};
use crate::values::Values;

const ROW: &str = "row";
const PARTITION: &str = "partition";

impl Split {
    /// Writes the split of a table, given as the batches it was made of.
    ///
    /// The columns are `row` (from 0), `partition` (`train`, `validation` or `test`) and the identifiers, unless some
    /// identifier stands in two partitions.
    ///
    /// # Errors
    /// [`DataError`] if writing fails or a batch cannot be read.
    pub fn export<E: From<DataError>>(
        &self,
        schema: &Schema,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
        output: impl Write,
    ) -> Result<(), E> {
        let mut identifiers = identifier_columns(schema);
        let keys = read_keys(schema, &identifiers, batches)?;
        self.check_rows(keys.len())?;
        if !self.is_function_of(&keys) {
            identifiers.clear();
        }
        let names = identifiers.iter().map(|&column| schema.fields()[column].name.as_str());
        let mut writer = csv::Writer::from_writer(output);
        let failed =
            |error: csv::Error| DataError::unreadable(Path::new("split"), format!("cannot write it: {error}"), "");
        writer.write_record([ROW, PARTITION].into_iter().chain(names)).map_err(failed)?;
        for (row, (partition, key)) in self.partitions.iter().zip(&keys).enumerate() {
            let number = row.to_string();
            let cells = [number.as_str(), partition.name()].into_iter();
            let key = key.iter().take(identifiers.len()).map(String::as_str);
            writer.write_record(cells.chain(key)).map_err(failed)?;
        }
        writer.flush().map_err(|error| failed(error.into()))?;
        Ok(())
    }

    /// Reads a split of a table, given as batches, from what [`Split::export`] or somebody else wrote.
    ///
    /// # Errors
    /// [`DataError::Fault`] naming rows of the table that the file lacks, rows that the table lacks, rows given twice, and
    /// words that are no partition.
    pub fn import<E: From<DataError>>(
        input: impl Read,
        schema: &Schema,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    ) -> Result<Self, E> {
        let identifiers = identifier_columns(schema);
        let names = identifiers.iter().map(|&column| schema.fields()[column].name.clone()).collect();
        let mut file = SplitFile { identifiers: names, ..SplitFile::default() };
        CsvText::new(input, "the split".to_owned(), b',', true)?.visit(&Interrupt::never(), &mut file)?;
        let columns = if file.is_by_identifier { identifiers } else { Vec::new() };
        let keys = read_keys(schema, &columns, batches)?;
        Ok(if file.is_by_identifier { file.by_identifier(&keys)? } else { file.by_row(keys.len())? })
    }

    fn check_rows(&self, rows: usize) -> Result<(), DataError> {
        let known = self.partitions.len();
        if known == rows {
            return Ok(());
        }
        Err(DataError::plan(format!("the split is of {known} rows, and the table has {rows}"), ""))
    }

    /// Whether equal keys have equal partitions.
    fn is_function_of(&self, keys: &[Vec<String>]) -> bool {
        let mut seen = HashMap::new();
        keys.iter()
            .zip(&self.partitions)
            .all(|(key, partition)| seen.insert(key, partition).is_none_or(|before| before == partition))
    }
}

fn identifier_columns(schema: &Schema) -> Vec<usize> {
    schema.indices_with(Role::Identifier)
}

/// The text of some columns in every row.
fn read_keys<E: From<DataError>>(
    schema: &Schema,
    columns: &[usize],
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
) -> Result<Vec<Vec<String>>, E> {
    debug_assert!(columns.iter().all(|&column| column < schema.len()));
    let mut keys = Vec::new();
    for batch in batches {
        let batch = batch?;
        let values: Vec<Values<'_>> =
            columns.iter().map(|&column| Values::of(batch.column(column))).collect::<Result<_, _>>()?;
        keys.extend((0..batch.num_rows()).map(|row| -> Vec<String> {
            values.iter().map(|values| values.cell(row).with_text(str::to_owned)).collect()
        }));
    }
    Ok(keys)
}

/// A split file that is being read.
#[derive(Default)]
struct SplitFile {
    identifiers: Vec<String>,
    is_by_identifier: bool,
    /// The cells of the current row: the partition, then the row number or the identifiers.
    cells: Vec<String>,
    rows: u64,
    entries: HashMap<Vec<String>, Partition>,
}

impl SplitFile {
    fn by_identifier(self, keys: &[Vec<String>]) -> Result<Split, DataError> {
        let mut missing = Vec::new();
        let mut partitions = Vec::with_capacity(keys.len());
        for key in keys {
            match self.entries.get(key) {
                Some(partition) => partitions.push(*partition),
                None => missing.push(key.join(", ")),
            }
        }
        let in_table: std::collections::HashSet<&Vec<String>> = keys.iter().collect();
        let mut unknown: Vec<String> =
            self.entries.keys().filter(|key| !in_table.contains(key)).map(|key| key.join(", ")).collect();
        unknown.sort_unstable();
        check_complete(&missing, &unknown)?;
        Ok(Split { partitions })
    }

    fn by_row(self, rows: usize) -> Result<Split, DataError> {
        let mut unknown = Vec::new();
        let mut partitions = vec![None; rows];
        for (key, partition) in self.entries {
            match key[0].parse::<usize>() {
                Ok(row) if row < rows => partitions[row] = Some(partition),
                Ok(row) => unknown.push(row),
                Err(_) => return Err(DataFault::of_value(&key[0], "is not a row number").in_column(ROW).into()),
            }
        }
        unknown.sort_unstable();
        let unknown: Vec<String> = unknown.iter().map(usize::to_string).collect();
        let missing: Vec<String> =
            partitions.iter().enumerate().filter(|(_, it)| it.is_none()).map(|(row, _)| row.to_string()).collect();
        check_complete(&missing, &unknown)?;
        Ok(Split { partitions: partitions.into_iter().flatten().collect() })
    }
}

fn check_complete(missing: &[String], unknown: &[String]) -> Result<(), DataError> {
    if !unknown.is_empty() {
        return Err(
            DataFault::new(format!("the split names rows that the table does not have: {}", listed(unknown))).into()
        );
    }
    if !missing.is_empty() {
        return Err(
            DataFault::new(format!("the split does not name these rows of the table: {}", listed(missing))).into()
        );
    }
    Ok(())
}

impl CellVisitor for SplitFile {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let partition = place(PARTITION).ok_or_else(|| {
            DataFault::new(format!("a split needs the column `{PARTITION}`; the file has {}", listed(names)))
        })?;
        let identifiers: Option<Vec<usize>> = self.identifiers.iter().map(|name| place(name)).collect();
        let keys = match (identifiers, place(ROW)) {
            (Some(identifiers), _) if !identifiers.is_empty() => {
                self.is_by_identifier = true;
                identifiers
            }
            (_, Some(row)) => vec![row],
            (_, None) => {
                let wanted = if self.identifiers.is_empty() {
                    String::new()
                } else {
                    format!(" or {}", listed(&self.identifiers))
                };
                let message = format!("a split needs the column `{ROW}`{wanted}; the file has {}", listed(names));
                return Err(DataFault::new(message).into());
            }
        };
        Ok(std::iter::once(partition).chain(keys).collect())
    }

    fn cell(&mut self, _column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        cell.with_text(|text| self.cells.push(text.to_owned()));
        Ok(())
    }

    fn end_rows(&mut self, _rows: usize) -> Result<bool, DataError> {
        let key = self.cells.split_off(1);
        let word = self.cells.pop().unwrap_or_default();
        let partition = Partition::ALL.into_iter().find(|partition| partition.name() == word).ok_or_else(|| {
            let complaint = "is not a partition\nhint: write train, validation or test";
            DataFault::of_value(&word, complaint).in_column(PARTITION).in_row(self.rows)
        })?;
        // The same row number twice is a mistake; an identifier may stand in several rows of one partition.
        if let Some(before) = self.entries.insert(key.clone(), partition)
            && (before != partition || !self.is_by_identifier)
        {
            let message = format!("the split names `{}` twice", shown(&key.join(", ")));
            return Err(DataFault::new(message).in_row(self.rows).into());
        }
        self.rows += 1;
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        usize::MAX
    }
}
