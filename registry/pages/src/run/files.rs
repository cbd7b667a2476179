//! The files of a run: what the stages of a pipeline made, and what clients uploaded.

use std::io::Read;

use serde::Serialize;
use stagewright_store::{
    ArtifactKind, ArtifactRecord, Digest, FileEntry, Run, StageRecord, StoreError, TrackingError, check_file_path,
    proxied_path,
};

use crate::fault::Fault;
use crate::site::Site;

/// The most entries of a folder on a page.
const MOST_ENTRIES: usize = 1_000;

/// A file or a folder of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// Its path from the folder of the run.
    pub(super) path: String,
    pub(super) is_folder: bool,
    /// `None` of a folder.
    pub(super) bytes: Option<u64>,
    /// Of a table: its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
    /// Of what a stage made: the digest of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
}

/// A folder of a run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Folder {
    pub(super) path: String,
    pub(super) entries: Vec<Entry>,
    /// Whether there are more entries than a page has.
    pub(super) is_cut: bool,
    /// Where clients keep the files of the run, if that is not with this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) elsewhere: Option<String>,
}

/// A file that is there.
pub(super) enum Found {
    /// A stage made it.
    Made(ArtifactRecord),
    /// A client uploaded it.
    Uploaded { bytes: u64, digest: Digest, path: String },
}

impl Found {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Made(record) => record.bytes,
            Self::Uploaded { bytes, .. } => *bytes,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Made(record) => record.digest,
            Self::Uploaded { digest, .. } => *digest,
        }
    }

    /// Opens its bytes. Of a table, these are not those of a file.
    pub(super) fn open(&self, site: &Site<'_>) -> Result<Box<dyn Read + Send>, Fault> {
        let failed = |source| StoreError::Io { action: "read", path: "an artifact".into(), source };
        match self {
            Self::Made(record) if record.kind == ArtifactKind::Document => {
                let document = site.artifacts.open_document(&record.digest, &record.media_type)?;
                Ok(Box::new(std::io::Cursor::new(document.bytes().to_vec())))
            }
            Self::Made(record) => {
                let blob = site.artifacts.open_blob(&record.digest)?;
                let file = std::fs::File::open(blob.path()).map_err(failed)?;
                Ok(Box::new(file.take(blob.size())))
            }
            Self::Uploaded { path, .. } => Ok(Box::new(site.registry.open_client_file(site.artifacts, path)?)),
        }
    }
}

/// Returns the entries of a folder of a run; none if the path is that of no folder.
///
/// # Errors
/// The path leads elsewhere, or the registry failed.
pub(super) fn folder(site: &Site<'_>, run: &Run, stages: &[StageRecord], path: &str) -> Result<Folder, Fault> {
    if !path.is_empty() {
        check_file_path(path)?;
    }
    let mut entries = made(stages, path);
    let mut uploaded = Vec::new();
    let root = proxied_path(&run.artifact_uri);
    let elsewhere = root.is_none().then(|| run.artifact_uri.clone());
    if let Some(root) = root {
        let folder = if path.is_empty() { root } else { format!("{root}/{path}") };
        uploaded = site.registry.client_files(&folder, None, MOST_ENTRIES + 1)?;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    entries.extend(uploaded.into_iter().map(|FileEntry { name, is_folder, bytes }| Entry {
        path: below(&name),
        is_folder,
        bytes,
        rows: None,
        digest: None,
    }));
    // Of one name, what a stage made is the one that is there. It stands first.
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    entries.dedup_by(|later, first| later.path == first.path);
    let is_cut = entries.len() > MOST_ENTRIES;
    entries.truncate(MOST_ENTRIES);
    Ok(Folder { path: path.to_owned(), entries, is_cut, elsewhere })
}

/// Returns what stages made, as entries of a folder.
fn made(stages: &[StageRecord], path: &str) -> Vec<Entry> {
    let stages = stages.iter().filter(|stage| !stage.outputs.is_empty());
    if path.is_empty() {
        let folder = |stage: &StageRecord| Entry {
            path: stage.name.clone(),
            is_folder: true,
            bytes: None,
            rows: None,
            digest: None,
        };
        return stages.map(folder).collect();
    }
    let outputs = stages.filter(|stage| stage.name == path).flat_map(|stage| &stage.outputs);
    outputs.map(|output| entry(path, output)).collect()
}

/// Returns an output of a stage as a file.
pub(super) fn entry(stage: &str, output: &ArtifactRecord) -> Entry {
    Entry {
        path: format!("{stage}/{}", output.file_name()),
        is_folder: false,
        bytes: Some(output.bytes),
        rows: output.rows,
        digest: Some(output.digest.to_string()),
    }
}

/// Finds a file of a run: what a stage made, or else what a client uploaded.
///
/// # Errors
/// There is none.
pub(super) fn find(site: &Site<'_>, run: &Run, stages: &[StageRecord], path: &str) -> Result<Found, Fault> {
    check_file_path(path)?;
    if let Some((stage, name)) = path.split_once('/') {
        let mut outputs = stages.iter().filter(|it| it.name == stage).flat_map(|it| &it.outputs);
        if let Some(output) = outputs.find(|output| output.file_name() == name) {
            return Ok(Found::Made(output.clone()));
        }
    }
    let none = || StoreError::from(TrackingError::NoFile { path: path.to_owned() });
    let root = proxied_path(&run.artifact_uri).ok_or_else(none)?;
    let file = site.registry.client_file(&format!("{root}/{path}"))?;
    Ok(Found::Uploaded { bytes: file.bytes, digest: file.digest, path: file.path })
}
