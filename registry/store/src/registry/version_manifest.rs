//! The manifest of a version: what predictions need, by digest, and what the registry says about
//! the version. docs/formats/production.md describes the format. Production locations and clients
//! that load a version get the same bytes.

use std::path::PathBuf;

use crate::artifact::{ArtifactKind, ArtifactStore};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::registry::versions::ModelVersion;

/// A file that predictions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionObject {
    /// Its role in the version: `training-component`, `model`.
    pub role: String,
    /// The kind of the artifact.
    pub kind: ArtifactKind,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The local file.
    pub path: PathBuf,
    /// The number of bytes.
    pub size: u64,
}

/// The manifest of a version, and the files that it lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionManifest {
    /// JSON, with a line feed at its end.
    pub bytes: Vec<u8>,
    /// The files, in the order of the manifest.
    pub objects: Vec<VersionObject>,
}

impl VersionManifest {
    /// Makes the manifest of a version. It holds nothing that can change once the version was
    /// judged: its metrics are those of the first verdict, whatever later ones say. Before, it has
    /// no metrics. Files that only a shared place has are fetched.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if an artifact is missing; [`StoreError::Io`].
    pub fn of(artifacts: &ArtifactStore, version: &ModelVersion) -> Result<Self, StoreError> {
        let mut objects = Vec::new();
        for reference in version.references.iter().filter(|reference| reference.needed) {
            let path = artifacts.fetch_if_missing(reference.kind, &reference.digest)?;
            let size = std::fs::metadata(&path).map_err(io_error("look at", &path))?.len();
            let (role, kind, digest) = (reference.role.clone(), reference.kind, reference.digest);
            objects.push(VersionObject { role, kind, digest, path, size });
        }
        let listed = |object: &VersionObject| {
            let is_document = object.kind == ArtifactKind::Document;
            let media_type = if is_document { "application/json" } else { "application/octet-stream" };
            serde_json::json!({
                "role": object.role, "digest": object.digest, "size": object.size, "media_type": media_type,
            })
        };
        let by_name = |metric: &(String, f64)| (metric.0.clone(), serde_json::json!(metric.1));
        let metrics = version.published_metrics.iter().flatten().map(by_name);
        let manifest = serde_json::json!({
            "format": 1,
            "model": version.model,
            "version": version.version,
            "semantic_version": version.semantic_version,
            "run_id": version.run_id,
            "created_ms": version.created_ms,
            "metrics": metrics.collect::<std::collections::BTreeMap<_, _>>(),
            "parameters": version.parameters.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "contents": version.contents,
            "objects": objects.iter().map(listed).collect::<Vec<_>>(),
        });
        Ok(Self { bytes: format!("{manifest:#}\n").into_bytes(), objects })
    }
}
