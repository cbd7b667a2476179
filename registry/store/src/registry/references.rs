//! The artifacts that versions and verdicts refer to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::artifact::{ArtifactKind, ArtifactStore};
use crate::database::{Connection, Outcome, Row, values};
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

/// Returns the artifacts that explain the verdicts of a version, by role. Of several with the same
/// role, returns the latest.
pub(super) fn of_verdicts(connection: &mut Connection, version: i64) -> Outcome<BTreeMap<String, Reference>> {
    let query =
        "SELECT role, kind, digest FROM verdict_artifacts JOIN verdicts ON verdicts.id = verdict_artifacts.verdict
        WHERE version = ?1 ORDER BY verdicts.id";
    let mut found = BTreeMap::new();
    for row in connection.query(query, values![version])? {
        let reference = of_verdict_row(&row)?;
        found.insert(reference.role.clone(), reference);
    }
    Ok(found)
}

/// Reads a row of `verdict_artifacts`: role, kind, digest.
pub(super) fn of_verdict_row(row: &Row) -> Outcome<Reference> {
    Ok(Reference { role: row.get(0)?, kind: row.parsed(1)?, digest: row.parsed(2)?, needed: false })
}
