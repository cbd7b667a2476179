//! The last version of each model that was loaded and verified, so that a server can start while
//! its registry or bucket is away.

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{ArtifactStore, Digest, StoreError};

use crate::origin::{OfferedVersion, blobs_of};

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

/// The origin, model and name under which a version was served.
#[derive(Debug, Clone, Copy)]
pub struct VersionKey<'a> {
    /// The name of the origin: versions of one place must not be served for another.
    pub place: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The alias or the number that was asked for.
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

    /// Returns the blobs of all versions that are recorded. A damaged record, from which no version
    /// is served, has none.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub(crate) fn blobs(&self) -> Result<HashSet<Digest>, StoreError> {
        let failed = |path: &Path, source| StoreError::Io { action: "read", path: path.to_owned(), source };
        let mut blobs = HashSet::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(blobs),
            entries => entries.map_err(|error| failed(&self.folder, error))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| failed(&self.folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = read(&path).map_err(|error| failed(&path, error))?;
                let record: Option<Record> = serde_json::from_slice(&bytes).ok();
                blobs.extend(record.iter().flat_map(|record| blobs_of(&record.contents)));
            }
        }
        Ok(blobs)
    }

    /// Returns the version that was recorded; `None` if there is no record or it is damaged.
    pub fn load(&self, key: &VersionKey<'_>, artifacts: &ArtifactStore) -> Option<OfferedVersion> {
        let bytes = read(&self.file(key)).ok()?;
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

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_RECORD).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use serde_json::json;
    use stagewright_data::Signature;
    use stagewright_promotion::{Destination, Settings};
    use stagewright_store::{ArtifactKind, DataType, Field};

    use super::*;
    use crate::origin::{COPIES_STAY_FOR, LocationOrigin, VersionOrigin as _};

    fn contents(parts: &[Digest; 4]) -> RegisteredModel {
        let signature = Signature::new(vec![Field::new("x", DataType::Float64)]).expect("a signature");
        let component = |digest| json!({ "name": "c", "digest": digest, "stubs": [], "parameters": {} });
        let [transformation, state, training, model] = parts;
        serde_json::from_value(json!({
            "format": 3, "transformation": component(transformation), "state": state, "training": component(training),
            "model": model, "task": { "kind": "regression" }, "signature": signature, "target": "y", "importance": [],
            "test_digest": model, "data_digest": model, "run_id": "r", "seed": 1, "as_of": 0,
        }))
        .expect("a model")
    }

    // invariant: A server that follows a production location keeps the bytes of the versions that
    // it verified last, and not those of all versions that it has served.
    #[test]
    fn copies_are_removed_that_are_of_no_version_on_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let artifacts = ArtifactStore::open(folder.path().join("artifacts")).expect("a store");
        let blob = |name: &str| {
            let staging = artifacts.stage();
            let mut blob = staging.create_blob().expect("a blob");
            blob.write(name.as_bytes()).expect("room");
            let digest = blob.finish().expect("a blob").digest();
            staging.publish().expect("a blob");
            digest
        };
        let parts = |version: &str| ["a", "b", "c", "d"].map(|part| blob(&format!("{part}{version}")));
        let [first, second, third, other] = ["1", "2", "3", "4"].map(parts);
        let last = LastVerified::new(folder.path().join("last-verified"));
        let location = folder.path().join("location").display().to_string();
        let origin = LocationOrigin::new(
            Destination::open(&location, &Settings::default()).expect("a location"),
            folder.path().join("fetched"),
            artifacts.clone(),
            "churn".to_owned(),
            None,
        );
        let has = |parts: &[Digest; 4]| parts.map(|digest| artifacts.contains(ArtifactKind::Blob, &digest));
        let age = |parts: &[Digest; 4], time: Duration| {
            for digest in parts {
                let file = File::open(artifacts.path(ArtifactKind::Blob, digest)).expect("a file");
                file.set_modified(SystemTime::now() - time).expect("a time");
            }
        };
        let record = |model: &str, version: u32, parts: &[Digest; 4]| {
            let offered = OfferedVersion { version, contents: contents(parts), artifacts: artifacts.clone() };
            last.save(&VersionKey { place: &location, model, asked: "champion" }, &offered).expect("a record");
        };
        [&first, &second, &third, &other].iter().for_each(|parts| age(parts, 2 * COPIES_STAY_FOR));
        record("churn", 1, &first);
        record("other", 1, &other);
        // The second version is served after the first one, and the third is being loaded.
        record("churn", 2, &second);
        age(&third, Duration::from_secs(1));
        origin.prune(&|| last.blobs()).expect("a store");
        assert_eq!([&first, &second, &third, &other].map(has), [[false; 4], [true; 4], [true; 4], [true; 4]]);
        // Another look at a version makes its copies young.
        age(&third, 2 * COPIES_STAY_FOR);
        assert!(artifacts.renew(&third.map(|digest| (ArtifactKind::Blob, digest))).expect("a store"));
        origin.prune(&|| last.blobs()).expect("a store");
        assert_eq!(has(&third), [true; 4]);
        age(&third, 2 * COPIES_STAY_FOR);
        origin.prune(&|| last.blobs()).expect("a store");
        assert_eq!([&second, &third, &other].map(has), [[true; 4], [false; 4], [true; 4]]);
    }
}
