//! The test rows of an evaluation, and the hashes that find them among the rows that a model was
//! trained on.

use std::sync::{Arc, Mutex};

use arrow_array::{Float64Array, Int64Array};
use stagewright_data::{RowHash, Task, row_key_columns};
use stagewright_store::{Digest, Role, RowMemory, Schema, Table};

use crate::fault::StageFault;
use crate::limits::Watch;
use crate::model::width;
use crate::overlap::{Learnt, Overlap};
use crate::table_reading::source_rows;
use crate::table_reading::{ReadError, columns, hashes_of};

/// The host's memory for each row of the split table while it finds test rows, in bytes: two
/// hashes, and the numbering of equal rows.
const HASHED_ROW_MEMORY: u64 = 48;

/// The host's memory for each test row besides predictions, in bytes: its target in several forms,
/// its hashes, its index among the compared rows, and sorting.
const MEASURED_ROW_MEMORY: u64 = 96;

/// The host's memory for each predicted value of both models, in bytes: the value and its copies
/// for comparing, drawing and writing.
const SCORE_MEMORY: u64 = 64;

/// The rows that models are measured on.
pub struct TestRows {
    /// The rows, their target encoded.
    pub table: Table,
    /// The task to predict for.
    pub task: Task,
    /// The target of every row: a class's index, or a value.
    pub labels: Vec<f64>,
    pub(crate) watch: Watch,
}

impl TestRows {
    /// Reads the target of a test table. `watch` belongs to the stage that measures.
    ///
    /// # Errors
    /// The table cannot be read, or the stage is past a limit.
    pub fn new(table: Table, task: Task, watch: &Watch) -> Result<Self, StageFault> {
        watch.hold_rows(table.rows(), MEASURED_ROW_MEMORY + width(&task) as u64 * SCORE_MEMORY)?;
        let labels = labels(&table, watch)?;
        Ok(Self { table, task, labels, watch: watch.clone() })
    }

    /// Returns the classes; `None` for a regression.
    pub(crate) fn classes(&self) -> Option<Vec<String>> {
        match &self.task {
            Task::Binary { negative, positive } => Some(vec![negative.clone(), positive.clone()]),
            Task::MultiClass { classes } => Some(classes.clone()),
            Task::Regression => None,
        }
    }
}

/// The hashes that find test rows among the rows of another training.
#[derive(Debug, Clone)]
pub struct TestHashes {
    columns: Vec<String>,
    rows: Vec<RowHash>,
}

impl TestHashes {
    /// Hashes the rows of a test table. They are the rows of `ingested`, the table that was split,
    /// whose numbers `index` holds. `key` is the registry's hash key, and `watch` belongs to the
    /// stage that measures.
    ///
    /// # Errors
    /// A table cannot be read, the tables do not belong together, or the stage is past a limit.
    pub fn of(
        test: &Table,
        (ingested, index): (&Table, &Table),
        key: &[u8; 32],
        watch: &Watch,
    ) -> Result<Self, StageFault> {
        watch.hold_rows(ingested.rows(), HASHED_ROW_MEMORY)?;
        let all = hashes_of(ingested, key, watch)?;
        let hashes = Self::among(ingested.schema(), &all, &source_rows(index, watch)?)?;
        hashes.check(test)?;
        Ok(hashes)
    }

    /// Selects the hashes of the test rows from the hashes of all rows of the split table.
    pub(crate) fn among(ingested: &Schema, all: &[RowHash], index: &[u64]) -> Result<Self, StageFault> {
        let hash = |&row: &u64| {
            let found = usize::try_from(row).ok().and_then(|row| all.get(row)).copied();
            found.ok_or_else(|| StageFault::host(format!("`test-rows` names row {row} of {}", all.len())))
        };
        let rows = index.iter().map(hash).collect::<Result<_, _>>()?;
        Ok(Self { columns: row_key_columns(ingested), rows })
    }

    /// Fails if a test table has another number of rows.
    pub(crate) fn check(&self, test: &Table) -> Result<(), StageFault> {
        if self.rows.len() as u64 == test.rows() {
            Ok(())
        } else {
            Err(StageFault::host("the index of the test rows does not fit the test rows"))
        }
    }
}

impl Overlap {
    /// Finds the test rows that a model was trained on. They are not known if the run or the model
    /// is older than row memories, if the model comes from another registry, or if its rows are
    /// identified by other columns.
    pub fn of(test: Option<&TestHashes>, memory: Option<&RowMemory>) -> Self {
        let (Some(test), Some(memory)) = (test, memory) else { return Self::default() };
        if memory.columns != test.columns {
            return Self::default();
        }
        let knows = |hashes: &[u64], hash: u64| hashes.binary_search(&hash).is_ok();
        let equal = |row: &&RowHash| !knows(&memory.keys, row.key) && knows(&memory.contents, row.content);
        Self {
            learnt: Some(Learnt::of(test.rows.iter().map(|row| knows(&memory.keys, row.key)))),
            equal_content: Some(test.rows.iter().filter(equal).count() as u64),
        }
    }
}

/// The rows of a split table, as hashes. Models of one table and one split share them.
#[derive(Debug)]
pub(crate) struct RowHashes {
    /// The rows that models are trained on.
    pub(crate) learnt: RowMemory,
    /// The test rows.
    pub(crate) test: TestHashes,
}

/// The hashes that were computed last, by the digests of the table and of its test rows.
pub(crate) type HashedRows = Mutex<Option<((Digest, Digest), Arc<RowHashes>)>>;

/// Returns the target of every test row.
fn labels(test: &Table, watch: &Watch) -> Result<Vec<f64>, StageFault> {
    let target = test.schema().indices_with(Role::Target);
    let mut labels = Vec::with_capacity(test.rows() as usize);
    for rows in columns(test, target, watch) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        let column = rows.column(0).as_any();
        if let Some(codes) = column.downcast_ref::<Int64Array>() {
            labels.extend(codes.values().iter().map(|&code| code as f64));
        } else if let Some(values) = column.downcast_ref::<Float64Array>() {
            labels.extend(values.values());
        } else {
            return Err(StageFault::host("an encoded target is neither int64 nor float64"));
        }
    }
    Ok(labels)
}
