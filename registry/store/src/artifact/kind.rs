//! The kinds of artifacts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kind of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// Columns and rows.
    Table,
    /// Bytes that only a stage understands.
    Blob,
    /// A report: JSON, HTML, SVG.
    Document,
}

impl ArtifactKind {
    /// Returns the name in JSON, in the database and as a file's extension.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Blob => "blob",
            Self::Document => "document",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is not an [`ArtifactKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of artifact\nhint: use one of table, blob, document")]
pub struct UnknownKind(String);

impl FromStr for ArtifactKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        [Self::Table, Self::Blob, Self::Document]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}
