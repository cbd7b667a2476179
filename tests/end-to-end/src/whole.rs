//! The invariants of a home after whatever happened to the process that worked in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stagewright_promotion::{Destination, PromotionError, Settings};
use stagewright_store::{ArtifactKind, ArtifactStore, CHAMPION, Digest, Home, ModelVersion, Registry};

/// Everything that a home may have in it.
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

/// The problem, if there is one.
///
/// # Errors
/// It does not hold.
pub fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// An error in its own words.
pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Names in a folder; none if there is no folder.
pub fn entries(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The files of folders that are for living processes alone.
pub fn temporary(home: &Path) -> BTreeSet<String> {
    ["artifacts/staging", "stagewright.live"].iter().flat_map(|folder| entries(&home.join(folder))).collect()
}

/// Nothing temporary is in a home that no process uses.
///
/// # Errors
/// The files that are.
pub fn left_behind(home: &Path) -> Result<(), String> {
    let left = temporary(home);
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

/// A home has nothing beside what is known.
///
/// # Errors
/// The files that nobody knows.
pub fn only_what_is_known(home: &Path) -> Result<(), String> {
    let unknown: Vec<String> = entries(home).into_iter().filter(|name| !KNOWN.contains(&name.as_str())).collect();
    ensure(unknown.is_empty(), || format!("left in the home: {unknown:?}"))
}

/// Every published file is what its name says, and every recorded artifact is published.
///
/// # Errors
/// The first that is not.
pub fn everything_is_whole(home: &Home) -> Result<(), String> {
    every_file_is_whole(home.artifacts.directory())?;
    for (_, _, artifact) in home.registry.artifacts(usize::MAX).map_err(text)? {
        verify(&home.artifacts, artifact.kind, &artifact.digest)?;
    }
    Ok(())
}

/// Every published file in a folder of artifacts is what its name says. Others may collect garbage
/// meanwhile.
///
/// # Errors
/// The first that is not.
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

/// All versions of a model: they are consecutive, and every part of each is there. The audit trail
/// is whole too.
///
/// # Errors
/// The first problem.
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

/// The version of a model that is champion.
///
/// # Errors
/// The registry cannot be read.
pub fn champion(home: &Path, model: &str) -> Result<Option<u32>, String> {
    Registry::open(home.join("stagewright.db")).and_then(|it| it.alias(model, CHAMPION)).map_err(text)
}

/// The version of a model that the production location serves, verified.
///
/// # Errors
/// It is not whole.
pub fn promoted(home: &Path, model: &str) -> Result<Option<u32>, String> {
    let uri = home.join("production").display().to_string();
    let destination = Destination::open(&uri, &Settings::default()).map_err(text)?;
    match destination.load(model, None) {
        Ok(loaded) => loaded.verify().map(|()| Some(loaded.version)).map_err(text),
        Err(PromotionError::NoChampion { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
