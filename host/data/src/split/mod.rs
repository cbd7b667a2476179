//! The split of rows into training, validation and test. The host decides it, never a stage.
//!
//! Every row gets a number in [0, 1) from SHA-256 over the split's seed and the row's key (see
//! `keys`). So membership is the same on every machine, and a row keeps its partition when the
//! table grows or when rows or columns are reordered. A stratified split takes exact shares of each
//! class, in the order of the same number; there, rows may change partitions when the table grows.
//!
//! Why SHA-256 and not a faster hash: anybody can recompute it in any language (`docs/types.md`),
//! and an owner of the data who does not know the seed cannot choose identifiers that become test
//! rows.

mod file;
mod file_cells;
mod keys;
mod select;

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stagewright_store::{DataType, Role, Schema};

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed};
use crate::values::Values;

use keys::Keys;

pub use file_cells::{SplitCellSink, max_split_bytes, split_cells, split_schema};
pub use keys::{RowHash, hash_rows, in_hash_order, row_key_columns};
pub use select::{Gather, Select, select};

/// Separates this use of SHA-256 from every other. A changed rule gets a new name.
const DOMAIN: &[u8] = b"stagewright.split.v2\0";
/// With more distinct values than this, the target is probably not categorical.
const MAX_CLASSES: usize = 1000;

/// How rows are assigned to partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitMethod {
    /// By a seeded hash of group, identifier or row. Rows keep their partition when data grow;
    /// shares are approximate.
    #[default]
    Hash,
    /// Exact shares of each class of the target: the counts differ from the share by less than one
    /// row.
    Stratified,
}

/// A split, as a manifest describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SplitPlan {
    /// How rows are assigned to partitions.
    #[serde(default)]
    pub method: SplitMethod,
    /// The share of test rows among all rows, in (0, 1).
    pub test: f64,
    /// The share of validation rows among the other rows, in [0, 1).
    #[serde(default)]
    pub validation: f64,
    /// The seed of the split. It is independent of the run's seed, so that runs with other seeds
    /// are measured on the same rows, which no earlier model of the pipeline learnt from.
    #[serde(default)]
    pub seed: u64,
}

/// The purpose of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Partition {
    /// `fit` and `train` see it.
    Train,
    /// Early stopping sees it.
    Validation,
    /// The host measures on it. No trainer sees it.
    Test,
}

impl Partition {
    /// All partitions.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Returns the name in files and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The partition of every row of a table. Partitions are disjoint and exhaustive by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    partitions: Vec<Partition>,
}

impl SplitPlan {
    /// Splits the rows of a table, given as batches in order, all under `schema`.
    ///
    /// # Errors
    /// [`DataError::Plan`] for shares out of range, an empty partition, or a stratified split of
    /// groups or of a target without classes; [`DataError::Fault`] for a null in the target of a
    /// stratified split; those of reading a batch.
    pub fn split<E: From<DataError>>(
        &self,
        schema: &Schema,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    ) -> Result<Split, E> {
        self.check_shares()?;
        let split = match self.method {
            SplitMethod::Hash => self.by_hash(schema, batches)?,
            SplitMethod::Stratified => self.by_class(schema, batches)?,
        };
        split.check_not_empty(self)?;
        Ok(split)
    }

    fn check_shares(&self) -> Result<(), DataError> {
        if !(self.test > 0.0 && self.test < 1.0) {
            let message = format!("the share of test rows is {}", self.test);
            return Err(DataError::plan(message, "it lies between 0 and 1, e.g. 0.2"));
        }
        if !(self.validation >= 0.0 && self.validation < 1.0) {
            let message = format!("the share of validation rows is {}", self.validation);
            return Err(DataError::plan(message, "it lies between 0 (no validation rows) and 1, e.g. 0.1"));
        }
        Ok(())
    }

    fn by_hash<E: From<DataError>>(
        &self,
        schema: &Schema,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    ) -> Result<Split, E> {
        // The interval [0, 1) begins with the test rows, followed by the validation rows.
        let validation_end = self.test + (1.0 - self.test) * self.validation;
        let partition = |hash| {
            let number = unit_interval(hash);
            if number < self.test {
                Partition::Test
            } else if number < validation_end {
                Partition::Validation
            } else {
                Partition::Train
            }
        };
        let hashes = self.keys(schema).hashes(batches, None)?;
        Ok(Split { partitions: hashes.into_iter().map(partition).collect() })
    }

    fn keys(&self, schema: &Schema) -> Keys {
        Keys::new(schema, Sha256::new().chain_update(DOMAIN).chain_update(self.seed.to_le_bytes()))
    }

    fn by_class<E: From<DataError>>(
        &self,
        schema: &Schema,
        batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    ) -> Result<Split, E> {
        let target = stratifiable_target(schema)?;
        let mut classes = Classes::new(&schema.fields()[target].name);
        let batches = batches.into_iter().map(|batch| {
            let batch = batch?;
            classes.add(&Values::of(batch.column(target))?, batch.num_rows())?;
            Ok::<_, E>(batch)
        });
        let hashes = self.keys(schema).hashes(batches, None)?;
        let rows = hashes.len();
        Ok(self.deal(classes.members(hashes), rows))
    }

    /// Assigns the rows of each class, in the order of their hash, to test, validation and
    /// training.
    fn deal(&self, mut classes: Vec<Vec<(u64, usize)>>, rows: usize) -> Split {
        let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
        let tests = apportion(&sizes, self.test);
        let rests: Vec<usize> = sizes.iter().zip(&tests).map(|(size, test)| size - test).collect();
        let validations = apportion(&rests, self.validation);
        let mut partitions = vec![Partition::Train; rows];
        for ((class, test), validation) in classes.iter_mut().zip(tests).zip(validations) {
            class.sort_unstable();
            for &(_, row) in &class[..test] {
                partitions[row] = Partition::Test;
            }
            for &(_, row) in &class[test..test + validation] {
                partitions[row] = Partition::Validation;
            }
        }
        Split { partitions }
    }
}

/// Returns `share` of each size, rounded so that the sum is the rounded share of the sum: the
/// largest remainders are rounded up (Hamilton's method), and the earlier class wins a tie.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row counts are exact in a double and shares lie in [0, 1)"
)]
fn apportion(sizes: &[usize], share: f64) -> Vec<usize> {
    let exact: Vec<f64> = sizes.iter().map(|&size| size as f64 * share).collect();
    let mut counts: Vec<usize> = exact.iter().map(|exact| exact.floor() as usize).collect();
    let total = (sizes.iter().sum::<usize>() as f64 * share).round() as usize;
    let mut by_remainder: Vec<usize> = (0..sizes.len()).filter(|&class| exact[class].fract() > 0.0).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let short = total.saturating_sub(counts.iter().sum());
    for &class in by_remainder.iter().take(short) {
        counts[class] += 1;
    }
    counts
}

fn stratifiable_target(schema: &Schema) -> Result<usize, DataError> {
    let groups = schema.indices_with(Role::Group);
    if !groups.is_empty() {
        let names: Vec<&str> = groups.iter().map(|&index| schema.fields()[index].name.as_str()).collect();
        let message = format!(
            "a stratified split cannot keep the rows of a group together, and {} has that role",
            listed(&names)
        );
        return Err(DataError::plan(message, "use the split method `hash`"));
    }
    match schema.indices_with(Role::Target)[..] {
        [target] => match schema.fields()[target].data_type {
            DataType::Timestamp => {
                Err(DataError::plan("a timestamp has no classes to stratify by", "use the split method `hash`"))
            }
            _ => Ok(target),
        },
        _ => Err(DataError::plan("a stratified split needs exactly one target", "give one column the role `target`")),
    }
}

/// The class of each row, while a table is read.
struct Classes<'a> {
    target: &'a str,
    /// Numbers by the text of the class, in order of appearance.
    numbers: BTreeMap<String, usize>,
    /// The number of each row's class.
    of_rows: Vec<usize>,
}

impl<'a> Classes<'a> {
    fn new(target: &'a str) -> Self {
        Self { target, numbers: BTreeMap::new(), of_rows: Vec::new() }
    }

    fn add(&mut self, values: &Values<'_>, rows: usize) -> Result<(), DataError> {
        for offset in 0..rows {
            let cell = values.cell(offset);
            if cell == Cell::Null {
                let fault = DataFault::new("the target is missing, so the row belongs to no class");
                return Err(fault.in_column(self.target).in_row(self.of_rows.len() as u64).into());
            }
            let met = self.numbers.len();
            let number = cell.with_text(|text| match self.numbers.get(text) {
                Some(number) => *number,
                None => *self.numbers.entry(text.to_owned()).or_insert(met),
            });
            self.of_rows.push(number);
            if self.numbers.len() > MAX_CLASSES {
                let message = format!(
                    "the target `{}` has more than {MAX_CLASSES} distinct values: too many for classes",
                    self.target
                );
                return Err(DataError::plan(message, "use the split method `hash`"));
            }
        }
        Ok(())
    }

    /// Returns the rows of each class with their hashes, the classes in the order of their text.
    fn members(self, hashes: Vec<u64>) -> Vec<Vec<(u64, usize)>> {
        let mut members = vec![Vec::new(); self.numbers.len()];
        for (row, (class, hash)) in self.of_rows.into_iter().zip(hashes).enumerate() {
            members[class].push((hash, row));
        }
        self.numbers.into_values().map(|number| std::mem::take(&mut members[number])).collect()
    }
}

/// Returns the top 53 bits as a number in [0, 1).
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
fn unit_interval(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

impl Split {
    /// Returns the partition of every row, in order.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Returns the rows of a partition, ascending.
    pub fn indices(&self, partition: Partition) -> Vec<u64> {
        (0..).zip(&self.partitions).filter(|&(_, &it)| it == partition).map(|(row, _)| row).collect()
    }

    /// Returns the number of rows in a partition.
    pub fn count(&self, partition: Partition) -> u64 {
        self.partitions.iter().filter(|&&it| it == partition).count() as u64
    }

    fn check_not_empty(&self, plan: &SplitPlan) -> Result<(), DataError> {
        let rows = self.partitions.len();
        for partition in Partition::ALL {
            let is_wanted = partition != Partition::Validation || plan.validation > 0.0;
            if is_wanted && self.count(partition) == 0 {
                let message = format!("the split of {rows} rows leaves no {} rows", partition.name());
                let hint = "use more rows, other shares, another `split.seed`, or, for classes without groups, the split method `stratified`, which meets shares exactly";
                return Err(DataError::plan(message, hint));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod tests;
