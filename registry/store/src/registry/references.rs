//! The artifacts that versions and verdicts refer to.

use serde::Serialize;

use crate::artifact::{ArtifactKind, ArtifactStore};
use crate::database::{Outcome, Row};
use crate::digest::Digest;
use crate::error::StoreError;

/// An artifact that a version refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Its role in the version: `training-component`, `model`.
    pub role: String,
    /// The kind.
    pub kind: ArtifactKind,
    /// The digest of its content.
    pub digest: Digest,
    /// Whether predictions need it. Other artifacts explain the version.
    pub needed: bool,
}

/// Verifies artifacts that a version refers to. Returns their sizes in bytes.
pub(super) fn sizes(artifacts: &ArtifactStore, model: &str, references: &[Reference]) -> Result<Vec<u64>, StoreError> {
    let size = |reference: &Reference| {
        artifacts.verify(reference.kind, &reference.digest).map_err(|source| StoreError::Incomplete {
            model: model.to_owned(),
            role: reference.role.clone(),
            source: Box::new(source),
        })
    };
    references.iter().map(size).collect()
}

/// Reads columns of `verdict_artifacts` from `first` on: role, kind, digest.
pub(super) fn of_verdict_row(row: &Row, first: usize) -> Outcome<Reference> {
    let (role, kind, digest) = (row.get(first)?, row.parsed(first + 1)?, row.parsed(first + 2)?);
    Ok(Reference { role, kind, digest, needed: false })
}
