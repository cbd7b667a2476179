//! The component and the table that a report is about.

use serde::{Deserialize, Serialize};

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportComponent {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// The digest of its bytes.
    pub digest: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTable {
    /// The name among the artifacts: `table`, `test`.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// The number of rows.
    pub rows: u64,
}
