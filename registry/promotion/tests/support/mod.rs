//! Fixtures of this crate's tests: destinations, and versions to promote.

#![expect(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod shared;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use stagewright_promotion::{Destination, LocalObject, Pointer, Settings, TransferLimits, VersionUpload};
use stagewright_services::s3;
use stagewright_store::Digest;

/// Small, so that a file of 100 KB has parts, and hanging requests end soon.
pub(crate) const LIMITS: TransferLimits = TransferLimits {
    connect: Duration::from_millis(500),
    attempt: Duration::from_secs(1),
    overall: Duration::from_secs(20),
    attempts: 4,
    pause: Duration::from_millis(2),
    multipart_from: 64 << 10,
    part_size: 40 << 10,
    parallel: 3,
};

/// The destination on the server.
pub(crate) const BUCKET: &str = "s3://models/team/churn";

/// Returns settings with these variables, within [`LIMITS`].
pub(crate) fn settings(variables: Vec<(String, String)>) -> Settings {
    Settings { variables: variables.into_iter().collect(), limits: LIMITS, ..Settings::default() }
}

/// Returns a server with the bucket `models`, whose listings have short pages.
pub(crate) fn server() -> s3::Server {
    s3::Server::start("models", s3::Options { page: 3, ..s3::Options::default() })
}

/// Returns the destination for the client whose requests meet faults.
pub(crate) fn client(server: &s3::Server) -> Destination {
    Destination::open(BUCKET, &settings(server.variables())).expect("a destination")
}

/// Returns the destination for an observer, whose requests meet none.
pub(crate) fn observer(server: &s3::Server) -> Destination {
    Destination::open(BUCKET, &settings(server.observer_variables())).expect("a destination")
}

/// A destination of a test.
pub(crate) struct Place {
    pub(crate) destination: Destination,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Option<s3::Server>,
}

pub(crate) fn directory() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let uri = folder.path().join("production");
    let destination = Destination::open(&uri.to_string_lossy(), &settings(Vec::new())).expect("a destination");
    Place { destination, folder, server: None }
}

pub(crate) fn bucket() -> Place {
    let (folder, server) = (tempfile::tempdir().expect("a folder"), server());
    Place { destination: client(&server), folder, server: Some(server) }
}

impl Place {
    /// Changes the bytes of a key past the client.
    pub(crate) fn overwrite(&self, key: &str, bytes: &[u8]) {
        match &self.server {
            Some(server) => server.write(&format!("team/churn/{key}"), bytes),
            None => std::fs::write(self.folder.path().join("production").join(key), bytes).expect("written"),
        }
    }

    /// Returns the existing keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        match &self.server {
            Some(server) => {
                server.keys().iter().filter_map(|it| it.strip_prefix("team/churn/")).map(str::to_owned).collect()
            }
            None => {
                let mut keys = Vec::new();
                list(&self.folder.path().join("production"), "", &mut keys);
                keys.sort();
                keys
            }
        }
    }

    /// Returns a version of `churn` with a part that all versions share, a small part, and one of
    /// several upload parts.
    pub(crate) fn upload(&self, version: u32) -> VersionUpload {
        upload(self.folder.path(), version)
    }
}

fn list(folder: &Path, prefix: &str, keys: &mut Vec<String>) {
    // Nothing was written yet.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.expect("an entry");
        let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{key}/"), keys);
        } else if key != ".stagewright/lock" {
            keys.push(key);
        }
    }
}

/// Returns bytes that look random, different for each seed.
pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(count).collect()
}

/// Writes a file and describes it.
pub(crate) fn object(folder: &Path, name: &str, bytes: &[u8]) -> LocalObject {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, bytes).expect("a file");
    LocalObject { digest: Digest::of(bytes), path, size: bytes.len() as u64 }
}

pub(crate) fn upload(folder: &Path, version: u32) -> VersionUpload {
    let objects = vec![
        object(folder, "shared", &bytes(1000, 3000)),
        object(folder, &format!("state-{version}"), &bytes(u64::from(version), 5000)),
        object(folder, &format!("model-{version}"), &bytes(100 + u64::from(version), 100_000)),
    ];
    let listed: Vec<_> = objects
        .iter()
        .zip(["transformation", "state", "model"])
        .map(|(object, role)| json!({ "digest": object.digest, "size": object.size, "role": role }))
        .collect();
    let manifest = json!({ "format": 1, "model": "churn", "version": version, "objects": listed });
    VersionUpload { model: "churn".to_owned(), version, objects, manifest: manifest.to_string().into_bytes() }
}

/// Returns the pointer that a promotion of this upload writes.
pub(crate) fn pointer(upload: &VersionUpload) -> Pointer {
    let promotion = format!("promotion-{}", upload.version);
    let manifest = Digest::of(&upload.manifest);
    Pointer::new("churn", upload.version, manifest, promotion, "sha256:audit", "2026-11-21T15:00:00Z")
}

/// Runs a whole promotion, in the order of its state machine.
pub(crate) fn promote(
    destination: &Destination,
    upload: &VersionUpload,
) -> Result<(), stagewright_promotion::PromotionError> {
    destination.check()?;
    destination.upload(upload, &|_, _| ())?;
    let there = destination.pointer(&upload.model)?;
    if there.as_ref().is_some_and(|(there, _)| *there == pointer(upload)) {
        return Ok(());
    }
    destination.point(&upload.model, there.as_ref().map(|(_, etag)| etag), &pointer(upload))
}

/// Returns the champion after reading every byte of it.
pub(crate) fn champion(destination: &Destination) -> u32 {
    let loaded = destination.load("churn", None).expect("a champion");
    loaded.verify().expect("a whole champion");
    loaded.version
}

/// Returns the keys that exist if these versions are promoted and nothing else.
pub(crate) fn expected_keys(uploads: &[VersionUpload]) -> Vec<String> {
    let mut keys = vec!["models/churn/champion.json".to_owned()];
    for upload in uploads {
        keys.push(format!("models/churn/versions/{}/manifest.json", upload.version));
        keys.extend(upload.objects.iter().map(|it| format!("objects/sha256/{}", it.digest.to_hex())));
    }
    keys.sort();
    keys.dedup();
    keys
}
