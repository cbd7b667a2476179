//! The files that clients upload: records of paths, whose bytes are blobs.
//!
//! A path is the one that MLflow's proxy of artifacts has:
//! `EXPERIMENT/RUN/artifacts/model/MLmodel`, `EXPERIMENT/models/MODEL/artifacts/MLmodel`. Folders
//! are not recorded: a folder exists while a file lies in it. The bytes of equal files are stored
//! once.

use crate::artifact::{ArtifactStore, OpenFile, Upload};
use crate::database::{Connection, Outcome, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::shortened;
use crate::registry::tracking_error::TrackingError;

/// The most bytes in a path.
const MAX_PATH_BYTES: usize = 1024;
/// The first part of the paths of pipelines' versions, beneath which no client can put files.
pub(super) const RESERVED: &str = "stagewright";
/// The number of files that are read at a time to list a folder.
const PIECE: usize = 200;

/// A file that a client uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFile {
    /// Its path.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub bytes: u64,
    /// When it was uploaded, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name: the last part of its path.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The number of its bytes; `None` of a folder.
    pub bytes: Option<u64>,
}

impl FileEntry {
    /// Returns its place in the listing of its folder: its name, with `/` after that of a folder.
    pub fn place(&self) -> String {
        format!("{}{}", self.name, if self.is_folder { "/" } else { "" })
    }
}

/// Checks that a text is the path of a file: names between slashes, none of which leads elsewhere.
///
/// # Errors
/// [`TrackingError::BadFilePath`].
pub fn check_file_path(path: &str) -> Result<(), StoreError> {
    let is_name = |name: &str| !matches!(name, "" | "." | "..");
    let is_odd = |letter: char| letter.is_control() || letter == '\\';
    if path.len() > MAX_PATH_BYTES || path.contains(is_odd) || !path.split('/').all(is_name) {
        return Err(TrackingError::BadFilePath { path: shortened(path) }.into());
    }
    Ok(())
}

/// Checks that a text is the path of a file that a client may upload.
///
/// # Errors
/// [`TrackingError::BadFilePath`]; [`TrackingError::ReservedPath`] if the file would pass for one
/// of a pipeline's version.
pub fn check_upload_path(path: &str) -> Result<(), StoreError> {
    check_file_path(path)?;
    if path.split('/').next() == Some(RESERVED) {
        return Err(TrackingError::ReservedPath { path: shortened(path) }.into());
    }
    Ok(())
}

/// Returns the path at this server's proxy that a URI names: `mlflow-artifacts:/PATH`. `None` for a
/// URI of another place. One with a host is that of another server.
pub fn proxied_path(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    let path = match rest.strip_prefix("//") {
        Some(with_host) => with_host.strip_prefix('/')?,
        None => rest,
    };
    let path = path.trim_matches('/');
    check_file_path(path).ok()?;
    Some(path.to_owned())
}

impl Upload {
    /// Publishes the bytes, then records them as the file of a path, in place of the one that was
    /// there.
    ///
    /// # Errors
    /// [`TrackingError::BadFilePath`], [`TrackingError::ReservedPath`] if the file would pass for
    /// one of a pipeline's version, [`TrackingError::PathTaken`] if a folder has this path or a
    /// file that of one of its folders, [`StoreError::Io`], [`StoreError::Shared`] or
    /// [`StoreError::Database`].
    pub fn finish(self, registry: &Registry, path: &str) -> Result<ClientFile, StoreError> {
        check_upload_path(path)?;
        let bytes = self.bytes();
        let digest = self.publish()?;
        registry.write("record a file", Scope::Runs, |connection| {
            check_free(connection, path)?;
            let at_ms = now_ms();
            let upsert = "INSERT INTO client_files (path, digest, bytes, at_ms) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (path) DO UPDATE
                SET digest = excluded.digest, bytes = excluded.bytes, at_ms = excluded.at_ms";
            connection.execute(upsert, values![path, digest, bytes, at_ms])?;
            Ok(ClientFile { path: path.to_owned(), digest, bytes, at_ms })
        })
    }
}

impl Registry {
    /// Returns the entries of a folder, by the bytes of [`FileEntry::place`]: at most `limit` of
    /// those after the place `after`. The empty path is the root. A folder that does not exist has
    /// none.
    ///
    /// # Errors
    /// [`TrackingError::BadFilePath`] or [`StoreError::Database`].
    pub fn client_files(&self, folder: &str, after: Option<&str>, limit: usize) -> Result<Vec<FileEntry>, StoreError> {
        for path in [folder, after.unwrap_or_default().trim_end_matches('/')] {
            if !path.is_empty() {
                check_file_path(path)?;
            }
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.read("list files", |connection| {
            let mut entries: Vec<FileEntry> = Vec::new();
            let mut from = Start::of(&prefix, after);
            while entries.len() < limit {
                let rows = files_from(connection, &prefix, &from)?;
                for (path, bytes) in &rows {
                    let entry = match path[prefix.len()..].split_once('/') {
                        None => {
                            FileEntry { name: path[prefix.len()..].to_owned(), is_folder: false, bytes: Some(*bytes) }
                        }
                        Some((name, _)) => FileEntry { name: name.to_owned(), is_folder: true, bytes: None },
                    };
                    if entries.last() != Some(&entry) {
                        entries.push(entry);
                    }
                }
                if rows.len() < PIECE {
                    break;
                }
                // A folder of many files is passed over at once.
                from = Start::of(&prefix, entries.last().map(FileEntry::place).as_deref());
            }
            entries.truncate(limit);
            Ok(entries)
        })
    }

    /// Returns the record of a file.
    ///
    /// # Errors
    /// [`TrackingError::BadFilePath`], [`TrackingError::NoFile`] or [`StoreError::Database`].
    pub fn client_file(&self, path: &str) -> Result<ClientFile, StoreError> {
        check_file_path(path)?;
        self.read("look for a file", |connection| {
            let query = "SELECT path, digest, bytes, at_ms FROM client_files WHERE path = ?1";
            let row = connection.first(query, values![path])?;
            let row = row.ok_or_else(|| StoreError::from(TrackingError::NoFile { path: shortened(path) }))?;
            Ok(ClientFile { path: row.get(0)?, digest: row.parsed(1)?, bytes: row.get(2)?, at_ms: row.get(3)? })
        })
    }

    /// Opens a file, whose bytes are verified.
    ///
    /// # Errors
    /// Those of [`Registry::client_file`]; [`StoreError::Missing`] if its run was deleted and its
    /// bytes were collected; [`StoreError::DigestDiffers`] or [`StoreError::Io`].
    pub fn open_client_file(&self, artifacts: &ArtifactStore, path: &str) -> Result<OpenFile, StoreError> {
        artifacts.open_verified_blob(&self.client_file(path)?.digest)
    }

    /// Deletes a file, or all files in a folder and its folders. Returns how many. Their bytes
    /// become garbage.
    ///
    /// # Errors
    /// [`TrackingError::BadFilePath`] or [`StoreError::Database`].
    pub fn delete_client_files(&self, path: &str) -> Result<u64, StoreError> {
        check_file_path(path)?;
        self.write("delete files", Scope::Runs, |connection| {
            let delete = "DELETE FROM client_files WHERE path = ?1 OR (path > ?2 AND path < ?3)";
            Ok(connection.execute(delete, values![path, format!("{path}/"), past("", path)])?)
        })
    }
}

/// Returns the digest of all files in a folder and its folders: of their paths there and their own
/// digests. `None` if there are none, or too many.
pub(super) fn digest_of_folder(connection: &mut Connection, folder: &str) -> Outcome<Option<Digest>> {
    const MOST: usize = 10_000;
    let query = "SELECT path, digest FROM client_files WHERE path = ?1 OR (path > ?2 AND path < ?3)
        ORDER BY path LIMIT ?4";
    let rows = connection.query(query, values![folder, format!("{folder}/"), past("", folder), MOST + 1])?;
    if rows.is_empty() || rows.len() > MOST {
        return Ok(None);
    }
    let mut text = String::new();
    for row in rows {
        let (path, digest): (String, String) = (row.get(0)?, row.get(1)?);
        text.push_str(&format!("{} {digest}\n", &path[folder.len()..]));
    }
    Ok(Some(Digest::of(text.as_bytes())))
}

/// Returns the first text after all paths in a folder: `0` follows `/`.
fn past(prefix: &str, name: &str) -> String {
    format!("{prefix}{name}0")
}

/// Where a piece of a listing begins.
enum Start {
    /// With this path, if it is there.
    At(String),
    /// After this path.
    After(String),
}

impl Start {
    /// Returns where a listing goes on after a place in the folder with this prefix.
    fn of(prefix: &str, place: Option<&str>) -> Self {
        match place {
            None => Self::At(prefix.to_owned()),
            Some(place) => match place.strip_suffix('/') {
                Some(folder) => Self::At(past(prefix, folder)),
                None => Self::After(format!("{prefix}{place}")),
            },
        }
    }
}

/// Returns the paths and sizes of the first files in a folder and its folders.
fn files_from(connection: &mut Connection, prefix: &str, from: &Start) -> Outcome<Vec<(String, u64)>> {
    let (sign, from) = match from {
        Start::At(path) => (">=", path),
        Start::After(path) => (">", path),
    };
    let rows = if prefix.is_empty() {
        let query = format!("SELECT path, bytes FROM client_files WHERE path {sign} ?1 ORDER BY path LIMIT ?2");
        connection.query(&query, values![from, PIECE])?
    } else {
        let query =
            format!("SELECT path, bytes FROM client_files WHERE path {sign} ?1 AND path < ?3 ORDER BY path LIMIT ?2");
        let end = past("", prefix.trim_end_matches('/'));
        connection.query(&query, values![from, PIECE, end])?
    };
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Checks that neither a folder has this path nor a file that of one of its folders.
fn check_free(connection: &mut Connection, path: &str) -> Outcome<()> {
    let taken = |path: &str, there, wanted| {
        Err(StoreError::from(TrackingError::PathTaken { path: shortened(path), there, wanted }).into())
    };
    let inside = "SELECT 1 FROM client_files WHERE path > ?1 AND path < ?2 LIMIT 1";
    if connection.first(inside, values![format!("{path}/"), past("", path)])?.is_some() {
        return taken(path, "folder", "file");
    }
    let file = "SELECT 1 FROM client_files WHERE path = ?1";
    for (end, _) in path.match_indices('/') {
        if connection.first(file, values![&path[..end]])?.is_some() {
            return taken(&path[..end], "file", "folder");
        }
    }
    Ok(())
}
