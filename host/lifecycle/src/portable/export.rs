//! The export of a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use stagewright_store::{ArtifactKind, ArtifactStore, Digest, Run, StageRecord};

use super::archive::Writer;
use super::{CHECK, FORMAT, HEAD, Head, Object, PortableError, RunPart, StagePart, check_of, finished, needed};
use crate::fault::StageFault;
use crate::invocation::{Invocation, Origin, SOURCE};
use crate::reproduce::ReproduceError;
use crate::sandbox::Cancel;

/// The result of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// The number of artifacts.
    pub artifacts: usize,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// Writes a run with all artifacts that its steps need, after verifying each. `sources` are the
/// files that it read, by the names of its sources, where these are not artifacts. `signatures` are
/// the signatures of its components.
///
/// # Errors
/// [`PortableError`] if something is missing or damaged, or if `file` cannot be written.
pub fn export(
    (run, stages): (&Run, &[StageRecord]),
    artifacts: &ArtifactStore,
    sources: &BTreeMap<String, PathBuf>,
    signatures: Vec<String>,
    cancel: &Cancel,
    file: (&Path, &mut dyn Write),
) -> Result<Exported, PortableError> {
    let invocations = finished(stages)?;
    let mut objects: Vec<(Object, PathBuf)> = Vec::new();
    for (kind, digest, _) in needed(stages, &invocations) {
        stopped(cancel)?;
        let path = found(artifacts, (kind, digest), sources, &invocations)?;
        let failed = |reason| PortableError::File { action: "read", file: path.display().to_string(), reason };
        let bytes = File::open(&path).and_then(|file| file.metadata()).map_err(failed)?.len();
        let table = (kind == ArtifactKind::Table).then(|| File::open(&path).and_then(Digest::of_reader));
        let file = table.transpose().map_err(failed)?;
        objects.push((Object { digest, kind, bytes, file }, path));
    }
    objects.sort();
    let head = Head {
        format: FORMAT,
        run: RunPart::of(run, stages),
        stages: stages.iter().map(StagePart::of).collect(),
        signatures,
        objects: objects.iter().map(|(object, _)| *object).collect(),
    };
    let (name, out) = file;
    let failed = |reason| PortableError::File { action: "write", file: name.display().to_string(), reason };
    let text = serde_json::to_vec_pretty(&head).map_err(io::Error::other).map_err(failed)?;
    let mut writer = Writer::new(out);
    writer.entry(HEAD, text.len() as u64, &mut &text[..]).map_err(failed)?;
    for (object, path) in &objects {
        stopped(cancel)?;
        let unreadable = |reason| PortableError::File { action: "read", file: path.display().to_string(), reason };
        let mut content = Counted { file: File::open(path).map_err(unreadable)?, cancel };
        writer
            .entry(&object.entry(), object.bytes, &mut content)
            .map_err(|reason| stopped(cancel).err().unwrap_or_else(|| failed(reason)))?;
    }
    let check = check_of(&text);
    writer.entry(CHECK, check.len() as u64, &mut check.as_bytes()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let bytes = objects.iter().map(|(object, _)| object.bytes).sum();
    Ok(Exported { artifacts: objects.len(), bytes })
}

/// Returns the file of an artifact, after verifying its content.
fn found(
    artifacts: &ArtifactStore,
    (kind, digest): (ArtifactKind, Digest),
    sources: &BTreeMap<String, PathBuf>,
    invocations: &[Invocation],
) -> Result<PathBuf, PortableError> {
    let read = invocations.iter().flat_map(|invocation| &invocation.inputs);
    let mut read = read.filter(|input| (input.role.as_str(), input.digest) == (SOURCE, digest));
    let from = read.next().map(|input| &input.from);
    if artifacts.reaches(kind, &digest)? || from.is_none() {
        artifacts.verify(kind, &digest)?;
        return Ok(artifacts.path(kind, &digest));
    }
    let gone = |reason| ReproduceError::NoSource { digest, reason };
    let path = match from {
        Some(Origin::Source { name }) => sources.get(name),
        _ => None,
    };
    let path = path.ok_or_else(|| gone(None))?;
    if path.is_dir() {
        return Err(PortableError::SourceIsFolder);
    }
    let content = stagewright_store::open_regular(path).and_then(Digest::of_reader);
    let content = content.map_err(|reason| gone(Some(format!("{}: {reason}", path.display()))))?;
    if content == digest {
        return Ok(path.to_owned());
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Err(PortableError::SourceWithLog);
    }
    Err(gone(Some(format!("{} holds {content} now", path.display()))).into())
}

fn stopped(cancel: &Cancel) -> Result<(), PortableError> {
    let fault = || StageFault::Cancelled { stage: stagewright_manifest::World::Ingestion.into() };
    if cancel.is_cancelled() { Err(PortableError::Stopped(fault())) } else { Ok(()) }
}

/// A file whose reads fail after a cancellation.
struct Counted<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("it was stopped"));
        }
        self.file.read(buffer)
    }
}
