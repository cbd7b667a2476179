//! A split as a CSV file, for inspection, sharing and use elsewhere: `row,partition` and the
//! identifiers.
//!
//! The identifiers are written if they are unambiguous. They are used in reading if the file has
//! them, else the row numbers. A row without an identifier is found by its row number even in a
//! file with identifiers: an empty cell identifies nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch, StringArray};
use stagewright_store::{Role, Schema};

use crate::error::{DataError, DataFault, listed, shown};
use crate::split::file_cells::{PARTITION, ROW, SplitCellSink};
use crate::split::{Partition, Split};
use crate::values::Values;

impl Split {
    /// Writes the split of a table. `table` returns the table's batches each time it is called.
    ///
    /// The columns are `row` (from 0), `partition` (`train`, `validation` or `test`) and the
    /// identifiers, unless an identifier occurs in two partitions.
    ///
    /// # Errors
    /// [`DataError`] if writing fails or a batch cannot be read.
    pub fn export<E: From<DataError>, I: IntoIterator<Item = Result<RecordBatch, E>>>(
        &self,
        schema: &Schema,
        table: impl Fn() -> I,
        output: impl Write,
    ) -> Result<(), E> {
        let mut identifiers = identifier_columns(schema);
        if !identifiers.is_empty() && !self.is_function_of(&identifiers, table())? {
            identifiers.clear();
        }
        let names = identifiers.iter().map(|&column| schema.fields()[column].name.as_str());
        let mut writer = csv::Writer::from_writer(output);
        let failed =
            |error: csv::Error| DataError::unreadable(Path::new("split"), format!("cannot write it: {error}"), "");
        writer.write_record([ROW, PARTITION].into_iter().chain(names)).map_err(failed)?;
        let mut row = 0;
        for batch in table() {
            each_key(&batch?, &identifiers, |key| {
                // Surplus rows are counted and reported below.
                let partition = self.partitions.get(row).map_or("", |partition| partition.name());
                let number = row.to_string();
                let cells = [number.as_str(), partition].into_iter();
                row += 1;
                Ok::<_, E>(writer.write_record(cells.chain(key.iter().map(String::as_str))).map_err(failed)?)
            })?;
        }
        self.check_rows(row)?;
        writer.flush().map_err(|error| failed(error.into()))?;
        Ok(())
    }

    /// Reads a split of a table from a file of [`Split::export`] or another program. `read`
    /// receives the names of the table's identifiers and passes on the cells of the file, as
    /// [`split_cells`](crate::split_cells) does. The rows of the file and the identifiers of the
    /// table are held in memory.
    ///
    /// # Errors
    /// Those of `read`, which may run in another process: whatever it passes on, the result is a
    /// split of the table. [`DataError::Fault`] for rows that the file or the table lacks, rows
    /// given twice, rows without an identifier if the file has no row numbers, and unknown
    /// partitions.
    pub fn import<E: From<DataError>>(
        read: impl FnOnce(&[String], &mut SplitCellSink<'_>) -> Result<(), DataError>,
        schema: &Schema,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    ) -> Result<Self, E> {
        let identifiers = identifier_columns(schema);
        let names: Vec<String> = identifiers.iter().map(|&column| schema.fields()[column].name.clone()).collect();
        let mut file = SplitFile { identifiers: names.clone(), ..SplitFile::default() };
        read(&names, &mut |cells| file.add(cells))?;
        let columns = if file.is_by_identifier { identifiers } else { Vec::new() };
        let keys = read_keys(&columns, batches)?;
        Ok(if file.is_by_identifier { file.by_identifier(&keys)? } else { file.by_row(keys.len())? })
    }

    fn check_rows(&self, rows: usize) -> Result<(), DataError> {
        let known = self.partitions.len();
        if known == rows {
            return Ok(());
        }
        Err(DataError::plan(format!("the split is of {known} rows, and the table has {rows}"), ""))
    }

    /// Returns whether rows with equal identifiers are in the same partition. Identifiers are
    /// compared by a hash, so that they need not be stored. A collision only loses the identifiers
    /// in the export.
    fn is_function_of<E: From<DataError>>(
        &self,
        identifiers: &[usize],
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    ) -> Result<bool, E> {
        let mut seen: HashMap<u64, Partition> = HashMap::new();
        let (hasher, mut row, mut is_function) = (RandomState::new(), 0, true);
        for batch in batches {
            each_key(&batch?, identifiers, |key| {
                if let Some(&partition) = self.partitions.get(row).filter(|_| !is_nameless(&key)) {
                    let before = seen.insert(hasher.hash_one(&key), partition);
                    is_function &= before.is_none_or(|before| before == partition);
                }
                row += 1;
                Ok::<_, E>(())
            })?;
        }
        Ok(is_function)
    }
}

fn identifier_columns(schema: &Schema) -> Vec<usize> {
    schema.indices_with(Role::Identifier)
}

/// Calls `take` with the texts of some columns, for every row of a batch.
fn each_key<E: From<DataError>>(
    batch: &RecordBatch,
    columns: &[usize],
    mut take: impl FnMut(Vec<String>) -> Result<(), E>,
) -> Result<(), E> {
    let values: Vec<Values<'_>> =
        columns.iter().map(|&column| Values::of(batch.column(column))).collect::<Result<_, _>>()?;
    (0..batch.num_rows())
        .try_for_each(|row| take(values.iter().map(|values| values.cell(row).with_text(str::to_owned)).collect()))
}

/// Returns the texts of some columns, for every row.
fn read_keys<E: From<DataError>>(
    columns: &[usize],
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
) -> Result<Vec<Vec<String>>, E> {
    let mut keys = Vec::new();
    for batch in batches {
        each_key(&batch?, columns, |key| {
            keys.push(key);
            Ok::<_, E>(())
        })?;
    }
    Ok(keys)
}

/// Returns whether a key identifies nothing: all of its cells are empty, as nulls are.
fn is_nameless(key: &[String]) -> bool {
    key.iter().all(String::is_empty)
}

/// A split file that is being read.
#[derive(Default)]
struct SplitFile {
    identifiers: Vec<String>,
    is_by_identifier: bool,
    has_numbers: bool,
    rows: u64,
    by_name: HashMap<Vec<String>, Partition>,
    by_number: BTreeMap<u64, Partition>,
}

impl SplitFile {
    /// Adds rows. The first batch determines which columns the file has.
    fn add(&mut self, cells: &RecordBatch) -> Result<(), DataError> {
        let columns: Vec<&StringArray> = cells.columns().iter().map(|column| column.as_string::<i32>()).collect();
        let [words, identifiers @ .., numbers] = &columns[..] else { return Err(strange()) };
        for row in 0..cells.num_rows() {
            let cell = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let name: Option<Vec<String>> = identifiers.iter().map(|column| cell(column)).collect();
            let name = name.filter(|name| !name.is_empty());
            let number = cell(numbers);
            if self.rows == 0 {
                (self.is_by_identifier, self.has_numbers) = (name.is_some(), number.is_some());
            }
            let is_as_the_first = (self.is_by_identifier, self.has_numbers) == (name.is_some(), number.is_some());
            let word = cell(words).filter(|_| is_as_the_first && (name.is_some() || number.is_some()));
            self.add_row(&word.ok_or_else(strange)?, name.unwrap_or_default(), number)?;
        }
        Ok(())
    }

    fn add_row(&mut self, word: &str, name: Vec<String>, number: Option<String>) -> Result<(), DataError> {
        let partition = Partition::ALL.into_iter().find(|partition| partition.name() == word).ok_or_else(|| {
            let complaint = "is not a partition\nhint: write train, validation or test";
            DataFault::of_value(word, complaint).in_column(PARTITION).in_row(self.rows)
        })?;
        if let Some(name) = self.insert(name, number, partition)? {
            let message = format!("the split names `{}` twice", shown(&name));
            return Err(DataFault::new(message).in_row(self.rows).into());
        }
        self.rows += 1;
        Ok(())
    }

    fn by_identifier(self, keys: &[Vec<String>]) -> Result<Split, DataError> {
        let mut missing = Vec::new();
        let mut partitions = Vec::with_capacity(keys.len());
        let mut nameless = HashSet::new();
        for (row, key) in (0..).zip(keys) {
            let entry = if is_nameless(key) {
                if !self.has_numbers {
                    let message = format!(
                        "the row has no identifier, and the split names rows by {} alone\nhint: give the split the column `{ROW}` too",
                        listed(&self.identifiers)
                    );
                    return Err(DataFault::new(message).in_row(row).into());
                }
                nameless.insert(row);
                self.by_number.get(&row)
            } else {
                self.by_name.get(key)
            };
            match entry {
                Some(partition) => partitions.push(*partition),
                None if is_nameless(key) => missing.push(row.to_string()),
                None => missing.push(key.join(", ")),
            }
        }
        let in_table: HashSet<&Vec<String>> = keys.iter().collect();
        let mut unknown: Vec<String> =
            self.by_name.keys().filter(|key| !in_table.contains(key)).map(|key| key.join(", ")).collect();
        unknown.sort_unstable();
        unknown.extend(self.by_number.keys().filter(|row| !nameless.contains(row)).map(u64::to_string));
        check_complete(&missing, &unknown)?;
        Ok(Split { partitions })
    }

    fn by_row(self, rows: usize) -> Result<Split, DataError> {
        let rows = rows as u64;
        let unknown: Vec<String> = self.by_number.keys().filter(|&&row| row >= rows).map(u64::to_string).collect();
        let missing: Vec<String> =
            (0..rows).filter(|row| !self.by_number.contains_key(row)).map(|row| row.to_string()).collect();
        check_complete(&missing, &unknown)?;
        Ok(Split { partitions: self.by_number.into_values().collect() })
    }

    /// Adds a row's partition. Returns the row's name in the file if it already had another
    /// partition or was already given by number.
    fn insert(
        &mut self,
        name: Vec<String>,
        number: Option<String>,
        partition: Partition,
    ) -> Result<Option<String>, DataError> {
        match number {
            Some(number) if !self.is_by_identifier || is_nameless(&name) => {
                let row =
                    number.parse().map_err(|_| DataFault::of_value(&number, "is not a row number").in_column(ROW))?;
                Ok(self.by_number.insert(row, partition).map(|_| number))
            }
            // An identifier may occur in several rows of one partition.
            _ => match self.by_name.insert(name.clone(), partition) {
                Some(before) if before != partition => Ok(Some(name.join(", "))),
                _ => Ok(None),
            },
        }
    }
}

/// Returns the error for cells that cannot come from reading a split's file.
fn strange() -> DataError {
    DataFault::new("the rows of the split do not have the cells of one file").into()
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
