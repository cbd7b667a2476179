//! The result of a comparison of tables.

use serde::Serialize;
use serde_json::{Map, Value};

/// The difference of two tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TableDiff {
    /// The columns by which rows were matched; none: by whole rows.
    pub key: Vec<String>,
    /// The columns that differ.
    pub columns: Vec<ColumnChange>,
    /// The rows of the first table.
    pub rows_before: u64,
    /// The rows of the second table.
    pub rows_after: u64,
    /// Rows of the second table alone.
    pub added: u64,
    /// Rows of the first table alone.
    pub removed: u64,
    /// Rows of both tables that differ; none without a key.
    pub changed: u64,
    /// Rows of both tables that are equal.
    pub unchanged: u64,
    /// Cells that differ in rows that changed.
    pub changed_cells: u64,
    /// Those cells by column, in the order of the second table; columns without any are left out.
    pub changed_by_column: Vec<(String, u64)>,
    /// The first rows that were added, with all their cells.
    pub added_rows: Vec<Map<String, Value>>,
    /// The first rows that were removed, with all their cells.
    pub removed_rows: Vec<Map<String, Value>>,
    /// The first rows that changed, in the order of the second table.
    pub changed_rows: Vec<ChangedRow>,
}

impl TableDiff {
    /// Returns whether rows and columns are the same. The order of rows may differ.
    pub fn is_same(&self) -> bool {
        self.columns.is_empty() && self.added == 0 && self.removed == 0 && self.changed == 0
    }
}

/// A row that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangedRow {
    /// The cells of its key.
    pub key: Map<String, Value>,
    /// The cells that differ.
    pub cells: Vec<ChangedCell>,
}

/// A cell that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangedCell {
    /// The column.
    pub column: String,
    /// The value before.
    pub before: Value,
    /// The value after.
    pub after: Value,
}

/// A column that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// The change.
    pub change: ColumnChangeKind,
    /// Its type before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its type after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A change of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has another type.
    Retyped,
}
