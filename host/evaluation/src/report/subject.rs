//! The component and the table that a report names.

use serde::{Deserialize, Serialize};

/// A component that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportComponent {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The digest of its bytes.
    pub digest: String,
}

/// A table that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTable {
    /// What it is called among the artifacts: `table`, `test`.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// How many rows it has.
    pub rows: u64,
}
