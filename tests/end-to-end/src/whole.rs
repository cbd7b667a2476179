//! The invariants of a home, whatever happened to the process that worked in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stagewright_promotion::{Destination, PromotionError, Settings};
use stagewright_store::{ArtifactKind, ArtifactStore, CHAMPION, Digest, Home, ModelVersion, Registry};

/// The entries that a home may have.
const KNOWN: [&str; 8] = [
    "artifacts",
    "cache",
    "decision.lock",
    "production",
    "stagewright.db",
    "stagewright.db-shm",
    "stagewright.db-wal",
    "stagewright.live",
];

/// Returns the problem as an error if a condition does not hold.
///
/// # Errors
///
/// The condition does not hold.
pub fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// Returns the text of an error.
pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Returns the names in a folder, or none if the folder does not exist.
pub fn entries(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Returns the files that only running processes may have.
pub fn temporary(home: &Path) -> BTreeSet<String> {
    ["artifacts/staging", "stagewright.live"].iter().flat_map(|folder| entries(&home.join(folder))).collect()
}

/// Checks that a home without a running process has no temporary file.
///
/// # Errors
///
/// Names the temporary files.
pub fn left_behind(home: &Path) -> Result<(), String> {
    let left = temporary(home);
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

/// Checks that a home has only known entries.
///
/// # Errors
///
/// Names the unknown entries.
pub fn only_what_is_known(home: &Path) -> Result<(), String> {
    let unknown: Vec<String> = entries(home).into_iter().filter(|name| !KNOWN.contains(&name.as_str())).collect();
    ensure(unknown.is_empty(), || format!("left in the home: {unknown:?}"))
}

/// Checks that every published file matches its digest, and that every recorded artifact is
/// published.
///
/// # Errors
///
/// Names the first violation.
pub fn everything_is_whole(home: &Home) -> Result<(), String> {
    every_file_is_whole(home.artifacts.directory())?;
    for (_, _, artifact) in home.registry.artifacts(usize::MAX).map_err(text)? {
        verify(&home.artifacts, artifact.kind, &artifact.digest)?;
    }
    Ok(())
}

/// Checks that every published file of a folder matches its digest. Garbage collection may run
/// meanwhile.
///
/// # Errors
///
/// Names the first violation.
pub fn every_file_is_whole(folder: &Path) -> Result<(), String> {
    let artifacts = ArtifactStore::open(folder).map_err(text)?;
    for name in entries(folder) {
        if name == "staging" {
            continue;
        }
        let (digest, kind) = name.split_once('.').ok_or_else(|| format!("`{name}` is no artifact"))?;
        let digest: Digest = format!("sha256:{digest}").parse().map_err(|_| format!("`{name}` is no artifact"))?;
        let kind: ArtifactKind = kind.parse().map_err(|_| format!("`{name}` is no artifact"))?;
        match verify(&artifacts, kind, &digest) {
            Err(_) if !artifacts.contains(kind, &digest) => {}
            verified => verified?,
        }
    }
    Ok(())
}

fn verify(artifacts: &ArtifactStore, kind: ArtifactKind, digest: &Digest) -> Result<(), String> {
    let opened = match kind {
        ArtifactKind::Table => artifacts.open_table(digest).and_then(|table| table.verify()),
        ArtifactKind::Blob => artifacts.open_blob(digest).map(drop),
        ArtifactKind::Document => artifacts.open_document(digest, "").map(drop),
    };
    opened.map_err(text)
}

/// Returns the versions of a model after checking that they are consecutive and complete and that
/// the audit verifies.
///
/// # Errors
///
/// Names the first problem.
pub fn versions(home: &Home, model: &str) -> Result<Vec<ModelVersion>, String> {
    let models = home.registry.models().map_err(text)?;
    let versions = if models.is_empty() { vec![] } else { home.registry.versions(model).map_err(text)? };
    for (number, version) in (1..).zip(&versions) {
        ensure(version.version == number, || format!("version {} after {}", version.version, number - 1))?;
        for part in ["/state", "/model", "/transformation/digest", "/training/digest"] {
            let digest = version.contents.pointer(part).and_then(|it| it.as_str()).unwrap_or_default();
            let digest: Digest = digest.parse().map_err(|_| format!("version {number} has no {part}"))?;
            home.artifacts.open_blob(&digest).map_err(text)?;
        }
    }
    home.registry.verify_audit().map_err(text)?;
    Ok(versions)
}

/// Returns the version of a model that is champion.
///
/// # Errors
///
/// The registry cannot be read.
pub fn champion(home: &Path, model: &str) -> Result<Option<u32>, String> {
    Registry::open(home.join("stagewright.db")).and_then(|it| it.alias(model, CHAMPION)).map_err(text)
}

/// Returns the version of a model that the production location serves, after verifying it.
///
/// # Errors
///
/// The version is incomplete or damaged.
pub fn promoted(home: &Path, model: &str) -> Result<Option<u32>, String> {
    let uri = home.join("production").display().to_string();
    let destination = Destination::open(&uri, &Settings::default()).map_err(text)?;
    match destination.load(model, None) {
        Ok(loaded) => loaded.verify().map(|()| Some(loaded.version)).map_err(text),
        Err(PromotionError::NoChampion { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
