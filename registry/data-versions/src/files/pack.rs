//! Packing the files of a folder.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{Read as _, Take};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use stagewright_store::{ArtifactKind, BlobWriter, DataArtifact, Digest, Home, Staging, open_regular};

use crate::error::{DataVersionsError, io_error};
use crate::files::list::{FileEntry, FileList, MOST_FILES, Place, Places, check_path};
use crate::files::{FILES, MEDIA_TYPE, PACK, PLACES};

/// The bytes from which on a pack is full: an object that one request in parts carries, and that a
/// pull that was cut need not begin again from far behind.
const FULL: u64 = 256 << 20;
/// Bytes that are read at once.
const PIECE: usize = 1 << 18;
/// The most folders within one another.
const MAX_DEPTH: usize = 100;

/// A folder whose files are published as artifacts.
#[derive(Debug)]
pub struct Packed {
    /// The files.
    pub list: FileList,
    /// The digest of the list, which is that of the content.
    pub digest: Digest,
    /// The artifacts.
    pub artifacts: Vec<DataArtifact>,
}

/// Packs the files of a folder, and publishes the packs. Bytes that the version with the artifacts
/// `before` has are not packed again.
///
/// # Errors
/// [`DataVersionsError::BadPath`] for what cannot be kept; those of reading and writing files.
pub fn pack(home: &Home, folder: &Path, before: &[DataArtifact]) -> Result<Packed, DataVersionsError> {
    let mut list = FileList::default();
    walk(folder, "", 0, &mut list.files)?;
    list.files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let known = places_of(home, before)?;
    let mut packing =
        Packing { staging: home.artifacts.stage(), places: Places::default(), open: None, packs: Vec::new() };
    for file in &mut list.files {
        let path = folder.join(&file.path);
        (file.digest, file.bytes) = hashed(&path)?;
        if packing.has(&file.digest) {
            continue;
        }
        match known.of.get(&file.digest) {
            Some(place) => {
                packing.places.of.insert(file.digest, *place);
            }
            None => packing.add(&path, file)?,
        }
    }
    packing.publish(list, before)
}

/// The packs that are being made.
struct Packing {
    staging: Staging,
    places: Places,
    open: Option<Open>,
    /// The packs that are full, with their lengths.
    packs: Vec<(Digest, u64)>,
}

/// A pack that takes more files.
struct Open {
    writer: BlobWriter,
    bytes: u64,
    /// The files in it, with the first byte of each.
    files: HashMap<Digest, u64>,
}

impl Packing {
    fn has(&self, digest: &Digest) -> bool {
        let is_open = || self.open.as_ref().is_some_and(|open| open.files.contains_key(digest));
        self.places.of.contains_key(digest) || is_open()
    }

    /// Appends a file, which must still have its digest.
    fn add(&mut self, path: &Path, file: &FileEntry) -> Result<(), DataVersionsError> {
        if self.open.as_ref().is_some_and(|open| open.bytes > 0 && open.bytes.saturating_add(file.bytes) > FULL) {
            self.close()?;
        }
        if self.open.is_none() {
            self.open = Some(Open { writer: self.staging.create_blob()?, bytes: 0, files: HashMap::new() });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        // A file that grows is not followed.
        let mut reader = opened(path)?.take(file.bytes);
        let mut hasher = Sha256::new();
        let mut written = 0;
        each_piece(&mut reader, path, |piece| {
            hasher.update(piece);
            written += piece.len() as u64;
            Ok(open.writer.write(piece)?)
        })?;
        if Digest::from_bytes(hasher.finalize().into()) != file.digest {
            let problem = "somebody wrote to it while it was read: add the folder again".to_owned();
            return Err(DataVersionsError::BadPath { path: file.path.clone(), problem });
        }
        open.files.insert(file.digest, open.bytes);
        open.bytes += written;
        Ok(())
    }

    fn close(&mut self) -> Result<(), DataVersionsError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let pack = open.writer.finish()?.digest();
        self.places.of.extend(open.files.into_iter().map(|(of, start)| (of, Place { pack, start })));
        self.packs.push((pack, open.bytes));
        Ok(())
    }

    fn publish(mut self, list: FileList, before: &[DataArtifact]) -> Result<Packed, DataVersionsError> {
        self.close()?;
        let json = |error: serde_json::Error| DataVersionsError::Damaged {
            what: "the list of files".to_owned(),
            problem: error.to_string(),
        };
        let files = self.staging.put_document(MEDIA_TYPE, list.to_bytes().map_err(json)?)?;
        let places = self.staging.put_document(MEDIA_TYPE, self.places.to_bytes().map_err(json)?)?;
        let document = |role: &str, document: &stagewright_store::Document| DataArtifact {
            role: role.to_owned(),
            kind: ArtifactKind::Document,
            digest: document.digest(),
            bytes: document.bytes().len() as u64,
        };
        let mut artifacts = vec![document(FILES, &files), document(PLACES, &places)];
        for digest in self.places.packs() {
            let old = before.iter().find(|artifact| artifact.digest == digest).map(|artifact| artifact.bytes);
            let new = self.packs.iter().find(|(pack, _)| *pack == digest).map(|(_, bytes)| *bytes);
            let bytes = new.or(old).unwrap_or_default();
            artifacts.push(DataArtifact { role: PACK.to_owned(), kind: ArtifactKind::Blob, digest, bytes });
        }
        self.staging.publish()?;
        Ok(Packed { list, digest: files.digest(), artifacts })
    }
}

/// Returns the places of a version; none without artifacts. A table of places that cannot be read
/// only means that files are packed again.
fn places_of(home: &Home, artifacts: &[DataArtifact]) -> Result<Places, DataVersionsError> {
    let Some(places) = artifacts.iter().find(|artifact| artifact.role == PLACES) else { return Ok(Places::default()) };
    let Ok(document) = home.artifacts.open_document(&places.digest, MEDIA_TYPE) else { return Ok(Places::default()) };
    let mut places = Places::parse(document.bytes()).unwrap_or_default();
    // A pack that is not here cannot be part of a version that is.
    let here: HashSet<Digest> =
        places.packs().into_iter().filter(|pack| home.artifacts.contains(ArtifactKind::Blob, pack)).collect();
    places.of.retain(|_, place| here.contains(&place.pack));
    Ok(places)
}

/// Lists the regular files below a folder. Refuses links and what is no file.
fn walk(folder: &Path, below: &str, depth: usize, files: &mut Vec<FileEntry>) -> Result<(), DataVersionsError> {
    let here = folder.join(below);
    for entry in fs::read_dir(&here).map_err(io_error("list", &here))? {
        let entry = entry.map_err(io_error("list", &here))?;
        let name = entry.file_name().into_string();
        let refuse = |path: &str, problem: &str| {
            let path = stagewright_text::Untrusted::new(path).cut(200).to_string();
            DataVersionsError::BadPath { path, problem: problem.to_owned() }
        };
        let name = name.map_err(|name| refuse(&name.to_string_lossy(), "its name is not UTF-8: rename it"))?;
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        check_path(&path)?;
        let kind = entry.file_type().map_err(io_error("look at", entry.path()))?;
        if kind.is_dir() {
            if depth >= MAX_DEPTH {
                return Err(refuse(&path, "there are more than 100 folders within one another: move it further up"));
            }
            walk(folder, &path, depth + 1, files)?;
        } else if kind.is_file() {
            if files.len() >= MOST_FILES {
                return Err(refuse(
                    &path,
                    "there are more than 1000000 files: add parts of the folder as data of their own",
                ));
            }
            files.push(FileEntry { path, bytes: 0, digest: Digest::of(b"") });
        } else {
            let what = if kind.is_symlink() { "it is a link" } else { "it is no regular file" };
            return Err(refuse(&path, &format!("{what}: put a file in its place, or move it out of the folder")));
        }
    }
    Ok(())
}

fn opened(path: &Path) -> Result<File, DataVersionsError> {
    open_regular(path).map_err(io_error("open", path))
}

fn hashed(path: &Path) -> Result<(Digest, u64), DataVersionsError> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    each_piece(&mut opened(path)?.take(u64::MAX), path, |piece| {
        hasher.update(piece);
        bytes += piece.len() as u64;
        Ok(())
    })?;
    Ok((Digest::from_bytes(hasher.finalize().into()), bytes))
}

fn each_piece(
    reader: &mut Take<File>,
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), DataVersionsError>,
) -> Result<(), DataVersionsError> {
    let mut piece = vec![0; PIECE];
    loop {
        match reader.read(&mut piece).map_err(io_error("read", path))? {
            0 => return Ok(()),
            read => take(&piece[..read])?,
        }
    }
}
