//! The list of the files.

use std::path::PathBuf;

use stagewright_store::{ArtifactKind, ArtifactStore, Digest, ModelVersion, StoreError, VersionManifest};

use crate::mlmodel::{DATA, REQUIREMENTS, mlmodel, python_env};

/// The contents of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// These bytes.
    Text(Vec<u8>),
    /// Those of an artifact.
    Object {
        /// Its kind.
        kind: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The local file. Its bytes were not compared with the digest.
        path: PathBuf,
        /// Its number of bytes.
        size: u64,
    },
}

impl Contents {
    /// Returns the number of bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Object { size, .. } => *size,
        }
    }
}

/// Returns the files of a version by their paths, sorted; none of a version that has no objects.
/// `run_id` is its run as the server that has the files knows it.
///
/// # Errors
/// [`StoreError::Missing`] if an artifact is missing, [`StoreError::BadRecord`] if the version's
/// contents are not those of a model that predicts.
pub fn files(
    artifacts: &ArtifactStore,
    version: &ModelVersion,
    run_id: Option<&str>,
) -> Result<Vec<(String, Contents)>, StoreError> {
    let manifest = VersionManifest::of(artifacts, version)?;
    if manifest.objects.is_empty() {
        return Ok(Vec::new());
    }
    let text = |path: &str, text: String| (path.to_owned(), Contents::Text(text.into_bytes()));
    let mut files = vec![
        text("MLmodel", mlmodel(version, &manifest, run_id)?),
        text("python_env.yaml", python_env()),
        text("requirements.txt", REQUIREMENTS.to_owned()),
    ];
    for object in manifest.objects {
        let contents =
            Contents::Object { kind: object.kind, digest: object.digest, path: object.path, size: object.size };
        files.push((format!("{DATA}/objects/{}", object.digest.to_hex()), contents));
    }
    files.push((format!("{DATA}/manifest.json"), Contents::Text(manifest.bytes)));
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files.dedup_by(|later, first| later.0 == first.0);
    Ok(files)
}
