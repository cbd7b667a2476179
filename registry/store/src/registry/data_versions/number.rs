//! Numbers of versions of data, and references to versions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a version: `MAJOR.MINOR.PATCH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataVersion {
    /// Grows when readers of the version before may fail.
    pub major: u32,
    /// Grows when there is more to read, or rows are others.
    pub minor: u32,
    /// Grows when rows were added.
    pub patch: u32,
}

impl DataVersion {
    /// The version that data begins with.
    pub const FIRST: Self = Self { major: 1, minor: 0, patch: 0 };
}

impl fmt::Display for DataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

impl From<DataVersion> for String {
    fn from(version: DataVersion) -> Self {
        version.to_string()
    }
}

/// The versions that a text admits; the latest of them is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataRequirement {
    /// All.
    Latest,
    /// Those of a major version: `1`.
    Major(u32),
    /// Those of a minor version: `1.2`.
    Minor(u32, u32),
    /// One: `1.2.0`.
    Exact(DataVersion),
}

impl DataRequirement {
    /// Returns whether the requirement admits a version.
    pub fn admits(self, version: DataVersion) -> bool {
        match self {
            Self::Latest => true,
            Self::Major(major) => version.major == major,
            Self::Minor(major, minor) => (version.major, version.minor) == (major, minor),
            Self::Exact(exact) => version == exact,
        }
    }
}

impl fmt::Display for DataRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Major(major) => write!(f, "{major}"),
            Self::Minor(major, minor) => write!(f, "{major}.{minor}"),
            Self::Exact(version) => write!(f, "{version}"),
        }
    }
}

/// Data by name, and the versions of it that are admitted: `customers@1.2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataReference {
    /// The name.
    pub name: String,
    /// The versions.
    pub requirement: DataRequirement,
}

impl DataReference {
    /// Names one version.
    pub fn exact(name: &str, version: DataVersion) -> Self {
        Self { name: name.to_owned(), requirement: DataRequirement::Exact(version) }
    }
}

impl fmt::Display for DataReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.requirement {
            DataRequirement::Latest => f.write_str(&self.name),
            requirement => write!(f, "{}@{requirement}", self.name),
        }
    }
}
