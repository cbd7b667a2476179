//! Artifacts: what stages make, stored once under its content's digest.
//!
//! A store is one flat directory: `<hex>.table`, `<hex>.blob`, `<hex>.document`. Flat, because every directory that is
//! touched costs an fsync at publication. Artifacts are made aside, under `staging/`, and appear by rename; nothing under
//! a digest is ever changed afterwards, so readers need no lock and may map files into memory.
//!
//! Why not a file of its own format per kind and run? Content addresses make publication idempotent, let equal runs share
//! their files, and make "did anything change" a comparison of 32 bytes.

mod blob;
mod directory;
mod garbage;
mod shared;
mod staging;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub use blob::{Blob, BlobWriter, Document};
pub use directory::ArtifactStore;
pub(crate) use directory::sync_directory;
pub use garbage::CollectedArtifact;
pub use shared::{SharedArtifact, SharedArtifacts};
pub use staging::Staging;
pub(crate) use staging::{RemoveOnDrop, StagedFile};

/// What an artifact is.
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
    /// The name in JSON, in the database and as a file's extension.
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

/// A word that names no [`ArtifactKind`].
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

static FSYNCS: AtomicU64 = AtomicU64::new(0);

/// How often this process has waited for the disk: one per published file, one per publication for the directory, one per
/// record committed to the database. For benchmarks.
pub fn fsyncs() -> u64 {
    FSYNCS.load(Ordering::Relaxed)
}

pub(crate) fn count_fsync() {
    FSYNCS.fetch_add(1, Ordering::Relaxed);
}
