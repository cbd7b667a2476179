//! The last version of each model that was loaded and verified, so that a server starts while its
//! registry or bucket is away.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{ArtifactStore, Digest};

use crate::origin::OfferedVersion;

/// The format of a record.
const FORMAT: u32 = 1;

/// The longest record, in bytes.
const MAX_RECORD: u64 = 16 << 20;

/// The records of the last verified versions, in a folder. The bytes of the versions are in a store
/// of artifacts, which verifies them whenever they are opened.
#[derive(Debug, Clone)]
pub struct LastVerified {
    folder: PathBuf,
}

/// What a version was served for.
#[derive(Debug, Clone, Copy)]
pub struct VersionKey<'a> {
    /// The name of the origin: versions of one place must not be served for another.
    pub place: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// What was asked for: an alias, or a number.
    pub asked: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    model: String,
    version: u32,
    /// SHA-256 of the contents, to detect a damaged record.
    digest: Digest,
    contents: RegisteredModel,
}

impl LastVerified {
    /// Uses a folder, which is created when the first record is written.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the file of a model of an origin. Names may have any characters.
    fn file(&self, key: &VersionKey<'_>) -> PathBuf {
        let VersionKey { place, model, asked } = key;
        self.folder.join(format!("{}.json", Digest::of(format!("{place}\0{model}\0{asked}").as_bytes()).to_hex()))
    }

    /// Records a version. The record is whole or absent after a crash.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, key: &VersionKey<'_>, version: &OfferedVersion) -> std::io::Result<()> {
        let contents = serde_json::to_vec(&version.contents)?;
        let record = Record {
            format: FORMAT,
            model: key.model.to_owned(),
            version: version.version,
            digest: Digest::of(&contents),
            contents: version.contents.clone(),
        };
        fs::create_dir_all(&self.folder)?;
        let path = self.file(key);
        let temporary = path.with_extension(format!("{}.part", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }

    /// Returns the version that was recorded; `None` if there is no record or it is damaged.
    pub fn load(&self, key: &VersionKey<'_>, artifacts: &ArtifactStore) -> Option<OfferedVersion> {
        let bytes = read(&self.file(key))?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        let contents = serde_json::to_vec(&record.contents).ok()?;
        let is_whole = record.format == FORMAT && record.model == key.model && record.digest == Digest::of(&contents);
        is_whole.then_some(OfferedVersion {
            version: record.version,
            contents: record.contents,
            artifacts: artifacts.clone(),
        })
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
