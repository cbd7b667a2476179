//! Reading the list of a version's files, and writing the files to a folder.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use stagewright_store::{Blob, DataArtifact, DataVersionRecord, Digest, Home};

use crate::bytes::not_here;
use crate::error::{DataVersionsError, io_error};
use crate::files::list::{FileEntry, FileList, Places};
use crate::files::{FILES, MEDIA_TYPE, PACK, PLACES};

/// Bytes that are copied at once.
const PIECE: u64 = 1 << 20;

/// Reads the list of a version's files.
///
/// # Errors
/// [`DataVersionsError::Damaged`] if it is not the list that the version names; those of the store.
pub fn open_list(home: &Home, record: &DataVersionRecord) -> Result<FileList, DataVersionsError> {
    let artifact = artifact(record, FILES)?;
    if artifact.digest != record.digest {
        return Err(damaged(record, "its list of files is not the one that it names"));
    }
    let document =
        home.artifacts.open_document(&artifact.digest, MEDIA_TYPE).map_err(|error| not_here(error, record))?;
    FileList::parse(document.bytes()).map_err(|problem| damaged(record, &problem))
}

/// Writes a version's files to a folder that does not exist. The folder appears when all files are
/// in it and were compared with their digests.
///
/// # Errors
/// [`DataVersionsError::Io`] if the folder exists; [`DataVersionsError::Damaged`]; those of the
/// store.
pub fn unpack(home: &Home, record: &DataVersionRecord, folder: &Path) -> Result<(), DataVersionsError> {
    if folder.symlink_metadata().is_ok() {
        return Err(io_error("create", folder)(std::io::ErrorKind::AlreadyExists.into()));
    }
    let list = open_list(home, record)?;
    let places = home.artifacts.open_document(&artifact(record, PLACES)?.digest, MEDIA_TYPE)?;
    let places = Places::parse(places.bytes()).map_err(|problem| damaged(record, &problem))?;
    let mut packs: HashMap<Digest, Blob> = HashMap::new();
    for pack in record.artifacts.iter().filter(|artifact| artifact.role == PACK) {
        packs.insert(pack.digest, home.artifacts.open_blob(&pack.digest)?);
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    let mut builder = tempfile::Builder::new();
    // The permissions of any new folder, instead of those that keep others out.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let temporary =
        builder.prefix(".stagewright-").tempdir_in(parent).map_err(io_error("create a folder in", parent))?;
    for file in &list.files {
        let place = places.of.get(&file.digest).ok_or_else(|| damaged(record, "a file has no place in a pack"))?;
        let pack = packs.get(&place.pack).ok_or_else(|| damaged(record, "a pack is not one of its artifacts"))?;
        // Nobody else writes to the folder, which is new, and paths were checked.
        let path = temporary.path().join(&file.path);
        if !write_file(&path, file, pack, place.start)? {
            return Err(damaged(record, &format!("`{}` is not at its place in a pack", file.path)));
        }
    }
    let temporary = temporary.keep();
    fs::rename(&temporary, folder).map_err(|error| {
        // The first error is the one to return.
        let _ = fs::remove_dir_all(&temporary);
        io_error("create", folder)(error)
    })
}

/// Writes a file. Returns whether the bytes have its digest.
fn write_file(path: &Path, file: &FileEntry, pack: &Blob, start: u64) -> Result<bool, DataVersionsError> {
    let end = start.checked_add(file.bytes).filter(|end| *end <= pack.size());
    let Some(end) = end else { return Ok(false) };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    }
    let mut output = File::create_new(path).map_err(io_error("create", path))?;
    let (mut at, mut hasher) = (start, Sha256::new());
    while at < end {
        let piece = pack.read(at, (end - at).min(PIECE) as usize)?;
        if piece.is_empty() {
            return Ok(false);
        }
        hasher.update(&piece);
        output.write_all(&piece).map_err(io_error("write", path))?;
        at += piece.len() as u64;
    }
    Ok(Digest::from_bytes(hasher.finalize().into()) == file.digest)
}

fn artifact<'a>(record: &'a DataVersionRecord, role: &str) -> Result<&'a DataArtifact, DataVersionsError> {
    let found = record.artifacts.iter().find(|artifact| artifact.role == role);
    found.ok_or_else(|| damaged(record, &format!("it has no artifact `{role}`")))
}

fn damaged(record: &DataVersionRecord, problem: &str) -> DataVersionsError {
    let hint = format!("`stagewright data pull {} --remote REMOTE` brings it again", record.reference());
    DataVersionsError::Damaged { what: record.reference().to_string(), problem: format!("{problem}\nhint: {hint}") }
}
