//! Where a model came from, as strings and numbers: tables, code, components. Whoever knows the registry fills them.

use serde::{Deserialize, Serialize};

/// A table by content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// What it was used for: [`Dataset::TRAINED_ON`], [`Dataset::MEASURED_ON`], [`Dataset::FEATURES`], or a name.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// How many rows it has; `None` if nobody counted.
    #[serde(default)]
    pub rows: Option<u64>,
}

impl Dataset {
    /// The name of the table that was ingested.
    pub const TRAINED_ON: &str = "trained on";
    /// The name of the table of the untouched test rows.
    pub const MEASURED_ON: &str = "measured on";
    /// The name of the table that the transformation made.
    pub const FEATURES: &str = "features";
}

/// The component of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageComponent {
    /// The stage: `training`.
    pub stage: String,
    /// The component's name.
    pub name: String,
    /// The digest of its bytes.
    pub digest: String,
}

/// The state of the working tree that a run was started in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkingTree {
    /// The commit; `None` if it is not known.
    pub commit: Option<String>,
    /// The branch, if one was checked out.
    pub branch: Option<String>,
    /// Whether files differed from the commit; `None` if it is not known.
    pub dirty: Option<bool>,
}
