//! The origin of a model as strings and numbers: tables, working tree, components. The caller takes
//! them from the registry.

use serde::{Deserialize, Serialize};

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its purpose: [`Dataset::TRAINED_ON`], [`Dataset::MEASURED_ON`], [`Dataset::FEATURES`], or a
    /// name.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// The number of rows; `None` if it is not known.
    #[serde(default)]
    pub rows: Option<u64>,
}

impl Dataset {
    /// The name of the ingested table.
    pub const TRAINED_ON: &str = "trained on";
    /// The name of the table of test rows.
    pub const MEASURED_ON: &str = "measured on";
    /// The name of the table of features.
    pub const FEATURES: &str = "features";
}

/// The component of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageComponent {
    /// The stage: `training`.
    pub stage: String,
    /// The name of the component.
    pub name: String,
    /// The digest of its bytes.
    pub digest: String,
}

/// The working tree that a run was started in.
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
