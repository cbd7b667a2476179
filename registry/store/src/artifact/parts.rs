//! Uploads in parts: a file that comes in several requests, in any order and several at once.
//!
//! Parts wait in a folder of the store's directory, `uploads/ID`, beside a note of the path that
//! the file will have. They are no artifacts: nothing refers to them, and no digest names them.
//! When all have come, they are read in order, compared with what their senders were told of them,
//! and become one [`Upload`], whose digest is computed from the bytes that are read. So a file in
//! parts is pinned by its digest at the moment at which it appears, as every other.
//!
//! Whoever has the token of an upload may add parts to it, and do nothing else. The parts that have
//! come are never more bytes together than the file may have. Uploads survive a restart. One to
//! which nothing was added for a day is removed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::artifact::staged::RemoveOnDrop;
use crate::artifact::store::ArtifactStore;
use crate::artifact::upload::Upload;
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::files::{create_private, read_regular_text, write_whole};
use crate::registry::{TrackingError, random_id};

/// The folder of uploads in the store's directory.
const FOLDER: &str = "uploads";
/// The folder of those whose file has appeared, until no request about them is repeated any more.
const COMPLETED: &str = "uploads-completed";
/// The note in the folder of an upload.
const NOTE: &str = "upload.json";
/// The most bytes of a note.
const MOST_NOTE: u64 = 16 << 10;

/// The most parts of an upload: S3's limit.
pub const MOST_PARTS: u32 = 10_000;
/// The most uploads that are open at once.
const MOST_OPEN: usize = 1_000;
/// The most of them that one user began, so that nobody takes them all.
const MOST_OPEN_OF_USER: usize = 100;
/// The time after which an upload is removed to which nothing was added.
pub const PARTS_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The time for which a request to complete an upload may be repeated.
const REPEATED: Duration = Duration::from_secs(10 * 60);

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// An upload that was begun.
#[derive(Debug)]
pub struct PartsUpload {
    /// Its identifier.
    pub id: String,
    /// The token that its parts are sent with.
    pub token: String,
}

/// The note of an upload.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The path that the file will have.
    path: String,
    /// Who began it; `None` where there are no users.
    #[serde(default)]
    user: Option<String>,
    /// The digest of the token.
    token: Digest,
    parts: u32,
    /// The digest of the file, once it has appeared.
    done: Option<Digest>,
}

/// A part on its way. Dropping it discards it.
#[derive(Debug)]
pub struct PartWriter {
    file: File,
    path: PathBuf,
    target: PathBuf,
    unfinished: RemoveOnDrop,
    hasher: Sha256,
    bytes: u64,
    /// The most bytes of the file, and of this part beside the others that had come when it began.
    most: u64,
    room: u64,
}

/// Parts that became one file.
#[derive(Debug)]
pub enum Assembled {
    /// Now; the file is to be finished, and the upload then closed.
    Now(Box<Upload>, OpenParts),
    /// The file had appeared before: a client repeats a request whose answer it has not seen.
    Before(Digest),
}

/// An upload whose parts nobody else puts together. It ends with this.
#[derive(Debug)]
pub struct OpenParts {
    folder: PathBuf,
    /// Where the folder goes when the file has appeared.
    completed: PathBuf,
    note: Note,
    _lock: File,
}

impl ArtifactStore {
    /// Begins an upload of a file with this path, in so many parts, for a user if there are any.
    /// Removes uploads that were abandoned.
    ///
    /// # Errors
    /// [`TrackingError::BadParts`], [`TrackingError::TooManyUploads`], [`StoreError::Random`] or
    /// [`StoreError::Io`].
    pub fn begin_parts(&self, user: Option<&str>, path: &str, parts: i64) -> Result<PartsUpload, StoreError> {
        let count = u32::try_from(parts).ok().filter(|count| (1..=MOST_PARTS).contains(count));
        let Some(count) = count else {
            return Err(bad(format!("a file has 1 to {MOST_PARTS} parts, and not {parts}")));
        };
        self.collect_parts(PARTS_LIFETIME)?;
        let folder = self.directory().join(FOLDER);
        create_private(&folder).map_err(io_error("create", &folder))?;
        self.check_open(&folder, user)?;
        let upload = PartsUpload { id: random_id()?, token: random_id()? };
        let place = folder.join(&upload.id);
        create_private(&place).map_err(io_error("create", &place))?;
        let note = Note {
            path: path.to_owned(),
            user: user.map(str::to_owned),
            token: Digest::of(upload.token.as_bytes()),
            parts: count,
            done: None,
        };
        write_note(&place, &note)?;
        Ok(upload)
    }

    /// Checks that another upload may begin.
    fn check_open(&self, folder: &Path, user: Option<&str>) -> Result<(), StoreError> {
        let (mut all, mut own) = (0, 0);
        for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
            let entry = entry.map_err(io_error("list", folder))?;
            all += 1;
            // One that cannot be read ended meanwhile, or has no note yet.
            let note = || self.open_note(entry.file_name().to_str()?).ok();
            if user.is_some() && note().is_some_and(|(_, note)| note.user.as_deref() == user) {
                own += 1;
            }
        }
        for (open, most) in [(all, MOST_OPEN), (own, MOST_OPEN_OF_USER)] {
            if open >= most {
                return Err(TrackingError::TooManyUploads { most }.into());
            }
        }
        Ok(())
    }

    /// Begins a part of an upload of at most `most` bytes in all, by its number from 1. It replaces
    /// one of the same number.
    ///
    /// # Errors
    /// [`TrackingError::NoUpload`] if there is none with this token; [`TrackingError::BadParts`] if
    /// it has no such part; [`StoreError::Io`].
    pub fn part(&self, id: &str, token: &str, number: i64, most: u64) -> Result<PartWriter, StoreError> {
        let (folder, note) = self.open_note(id)?;
        // Digests are compared, so that the time says nothing about the token.
        if note.token != Digest::of(token.as_bytes()) || note.done.is_some() {
            return Err(none());
        }
        let number = u32::try_from(number).ok().filter(|number| (1..=note.parts).contains(number));
        let Some(number) = number else { return Err(bad(format!("the upload has the parts 1 to {}", note.parts))) };
        let target = folder.join(part_name(number));
        let room = most.saturating_sub(bytes_of_parts(&folder, Some(&target))?);
        let path = folder.join(format!("{}.tmp", random_id()?));
        let file = File::create_new(&path).map_err(|source| gone(source, "create", &path))?;
        Ok(PartWriter {
            file,
            target,
            unfinished: RemoveOnDrop(Some(path.clone())),
            path,
            hasher: Sha256::new(),
            bytes: 0,
            most,
            room,
        })
    }

    /// Puts the parts of an upload together. `parts` are their numbers and tags, in order.
    ///
    /// # Errors
    /// [`TrackingError::NoUpload`] if there is none of this path; [`TrackingError::BadParts`] if
    /// parts are missing, out of order or not those that were sent, or are more than `most` bytes
    /// together; [`TrackingError::UploadBusy`] if another request puts them together just now;
    /// [`StoreError::Io`].
    pub fn assemble_parts(
        &self,
        id: &str,
        path: &str,
        parts: &[(i64, &str)],
        most: u64,
    ) -> Result<Assembled, StoreError> {
        let (folder, note) = self.open_note(id)?;
        if note.path != path {
            return Err(none());
        }
        let locked = if note.done.is_none() { lock(&folder).map(Some) } else { Ok(None) };
        // As it is now that nobody else changes it: another request may have completed it.
        let (folder, note) = self.open_note(id)?;
        if let Some(digest) = note.done {
            return Ok(Assembled::Before(digest));
        }
        let lock = locked?.ok_or_else(none)?;
        check_order(parts, note.parts)?;
        let mut upload = self.upload()?;
        for (number, tag) in parts {
            let number = u32::try_from(*number).unwrap_or_default();
            append(&mut upload, &folder.join(part_name(number)), (number, tag), most)?;
        }
        let completed = self.directory().join(COMPLETED);
        create_private(&completed).map_err(io_error("create", &completed))?;
        let completed = completed.join(id);
        Ok(Assembled::Now(Box::new(upload), OpenParts { folder, completed, note, _lock: lock }))
    }

    /// Removes an upload and its parts.
    ///
    /// # Errors
    /// [`TrackingError::NoUpload`] if there is none of this path, [`TrackingError::UploadBusy`] or
    /// [`StoreError::Io`].
    pub fn abort_parts(&self, id: &str, path: &str) -> Result<(), StoreError> {
        let (folder, note) = self.open_note(id)?;
        if note.path != path || note.done.is_some() {
            return Err(none());
        }
        let _lock = lock(&folder)?;
        fs::remove_dir_all(&folder).map_err(io_error("remove", &folder))
    }

    /// Removes uploads to which nothing was added for this time. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn collect_parts(&self, older_than: Duration) -> Result<usize, StoreError> {
        self.collect_in(COMPLETED, older_than.min(REPEATED))?;
        self.collect_in(FOLDER, older_than)
    }

    fn collect_in(&self, folder: &str, older_than: Duration) -> Result<usize, StoreError> {
        let folder = self.directory().join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(StoreError::Io { action: "list", path: folder, source }),
        };
        let mut removed = 0;
        for entry in entries {
            let place = entry.map_err(io_error("list", &folder))?.path();
            // Each part that comes changes the time of the folder.
            let modified = fs::symlink_metadata(&place).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age >= older_than) && lock(&place).is_ok() {
                fs::remove_dir_all(&place).map_err(io_error("remove", &place))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Returns the folder and the note of an upload.
    fn open_note(&self, id: &str) -> Result<(PathBuf, Note), StoreError> {
        // An identifier is part of a path.
        if id.len() != 32 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(none());
        }
        let mut folder = self.directory().join(FOLDER).join(id);
        let mut path = folder.join(NOTE);
        let mut text = read_regular_text(&path, MOST_NOTE);
        if text.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            folder = self.directory().join(COMPLETED).join(id);
            path = folder.join(NOTE);
            text = read_regular_text(&path, MOST_NOTE);
        }
        let text = text.map_err(|source| gone(source, "read", &path))?;
        let note = serde_json::from_str(&text);
        let note = note.map_err(|error| StoreError::Damaged { path, problem: error.to_string() })?;
        Ok((folder, note))
    }
}

impl PartWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`TrackingError::PartsTooLarge`], or [`StoreError::Io`], for example when the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.room - self.bytes {
            return Err(TrackingError::PartsTooLarge { most: self.most }.into());
        }
        self.file.write_all(bytes).map_err(io_error("write", &self.path))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Returns the number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps the part. Returns its tag, by which it is named when all are put together: the SHA-256
    /// of its bytes, in hex.
    ///
    /// # Errors
    /// [`TrackingError::NoUpload`] if the upload was aborted meanwhile;
    /// [`TrackingError::PartsTooLarge`] if parts came meanwhile that leave it no room;
    /// [`StoreError::Io`].
    pub fn finish(mut self) -> Result<String, StoreError> {
        fs::rename(&self.path, &self.target).map_err(|source| gone(source, "create", &self.target))?;
        self.unfinished.0 = None;
        // Of parts that come at once, the last one at least sees all.
        let folder = self.target.parent().unwrap_or(&self.target);
        if bytes_of_parts(folder, None)? > self.most {
            fs::remove_file(&self.target).map_err(|source| gone(source, "remove", &self.target))?;
            return Err(TrackingError::PartsTooLarge { most: self.most }.into());
        }
        Ok(Digest::from_bytes(self.hasher.finalize().into()).to_hex())
    }
}

impl OpenParts {
    /// Notes that the file has appeared, and removes the parts. The note stays for some minutes, so
    /// that a request that is repeated gets the same answer.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn close(mut self, digest: Digest) -> Result<(), StoreError> {
        self.note.done = Some(digest);
        write_note(&self.folder, &self.note)?;
        for number in 1..=self.note.parts {
            let _ = fs::remove_file(self.folder.join(part_name(number)));
        }
        fs::rename(&self.folder, &self.completed).map_err(io_error("move", &self.folder))
    }
}

/// Checks that the parts of a file are named, each once and in order.
fn check_order(parts: &[(i64, &str)], count: u32) -> Result<(), StoreError> {
    for (expected, (number, _)) in (1..).zip(parts) {
        if *number != expected {
            return Err(bad(format!("the parts are named in order, from 1; `{number}` stands in place of {expected}")));
        }
    }
    if parts.len() != count as usize {
        return Err(bad(format!("the upload was begun with {count} parts, and {} are named", parts.len())));
    }
    Ok(())
}

/// Appends a part whose tag is this one.
fn append(upload: &mut Upload, path: &Path, (number, tag): (u32, &str), most: u64) -> Result<(), StoreError> {
    let mut file = match crate::files::open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(bad(format!("part {number} has not come")));
        }
        Err(source) => return Err(StoreError::Io { action: "open", path: path.to_owned(), source }),
    };
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece).map_err(io_error("read", path))?;
        if read == 0 {
            break;
        }
        if upload.bytes() + read as u64 > most {
            return Err(TrackingError::PartsTooLarge { most }.into());
        }
        hasher.update(&piece[..read]);
        upload.write(&piece[..read])?;
    }
    // Senders quote tags, as HTTP does.
    if Digest::from_bytes(hasher.finalize().into()).to_hex() != tag.trim_matches('"') {
        return Err(bad(format!("part {number} is not the one of this tag; send it again")));
    }
    Ok(())
}

/// Locks the folder of an upload, so that nobody else puts its parts together or removes it.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| gone(source, "open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(TrackingError::UploadBusy.into()),
        Err(fs::TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
    }
}

fn write_note(folder: &Path, note: &Note) -> Result<(), StoreError> {
    let path = folder.join(NOTE);
    let text = serde_json::to_vec(note).map_err(|error| io_error("write", &path)(io::Error::other(error)))?;
    write_whole(&path, &text).map_err(io_error("write", &path))
}

fn part_name(number: u32) -> String {
    format!("{number:05}.part")
}

/// Returns the sizes of the parts in a folder together, without one of them.
fn bytes_of_parts(folder: &Path, except: Option<&Path>) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(|source| gone(source, "list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        if path.extension().is_none_or(|it| it != "part") || except == Some(&*path) {
            continue;
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) => bytes += metadata.len(),
            // Another request removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::Io { action: "look at", path, source }),
        }
    }
    Ok(bytes)
}

fn bad(problem: String) -> StoreError {
    TrackingError::BadParts { problem }.into()
}

fn none() -> StoreError {
    TrackingError::NoUpload.into()
}

/// Returns the error of a file of an upload, which another request may have removed.
fn gone(source: io::Error, action: &'static str, path: &Path) -> StoreError {
    match source.kind() {
        io::ErrorKind::NotFound => none(),
        _ => StoreError::Io { action, path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most bytes of a file.
    const MOST: u64 = 1 << 30;

    fn store() -> (tempfile::TempDir, ArtifactStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ArtifactStore::open(folder.path().join("artifacts")).expect("a store");
        (folder, store)
    }

    fn send(store: &ArtifactStore, upload: &PartsUpload, number: i64, bytes: &[u8]) -> Result<String, StoreError> {
        let mut part = store.part(&upload.id, &upload.token, number, MOST)?;
        part.write(bytes)?;
        part.finish()
    }

    fn problem<T: std::fmt::Debug>(result: Result<T, StoreError>) -> TrackingError {
        match result.expect_err("an error") {
            StoreError::Tracking(error) => error,
            other => panic!("{other}"),
        }
    }

    // invariant: A file in parts appears when all parts have come, with the digest of their bytes
    // in order.
    #[test]
    fn parts_in_any_order_become_the_file_and_a_repeated_request_gets_the_same_answer() {
        let (_folder, store) = store();
        let upload = store.begin_parts(None, "0/a/b.bin", 3).expect("an upload");
        let mut tags = vec![String::new(); 3];
        for number in [3, 1, 2, 2] {
            let bytes = vec![number as u8; 100_000 * number as usize];
            tags[number as usize - 1] = send(&store, &upload, number, &bytes).expect("a part");
        }
        let named: Vec<(i64, &str)> = (1..).zip(tags.iter().map(String::as_str)).collect();
        let assembled = store.assemble_parts(&upload.id, "0/a/b.bin", &named, MOST).expect("a file");
        let Assembled::Now(whole, open) = assembled else { panic!("it is new") };
        assert_eq!(whole.bytes(), 600_000);
        assert_eq!(problem(store.assemble_parts(&upload.id, "0/a/b.bin", &named, MOST)), TrackingError::UploadBusy);
        let expected: Vec<u8> = (1..=3_u8).flat_map(|number| vec![number; 100_000 * usize::from(number)]).collect();
        let digest = whole.publish().expect("a digest");
        assert_eq!(digest, Digest::of(&expected));
        open.close(digest).expect("it is closed");
        let again = store.assemble_parts(&upload.id, "0/a/b.bin", &named, MOST).expect("a file");
        assert!(matches!(again, Assembled::Before(found) if found == digest));
        assert_eq!(problem(send(&store, &upload, 1, b"late")), TrackingError::NoUpload);
    }

    #[test]
    fn what_is_not_as_it_was_begun_is_refused() {
        let (_folder, store) = store();
        for count in [0, -1, 10_001, i64::MAX, i64::MIN] {
            assert!(matches!(problem(store.begin_parts(None, "a", count)), TrackingError::BadParts { .. }), "{count}");
        }
        let upload = store.begin_parts(None, "0/a", 2).expect("an upload");
        for number in [0, -1, 3, i64::MAX, i64::MIN] {
            assert!(matches!(problem(send(&store, &upload, number, b"x")), TrackingError::BadParts { .. }), "{number}");
        }
        let other = PartsUpload { id: upload.id.clone(), token: "0".repeat(32) };
        assert_eq!(problem(send(&store, &other, 1, b"x")), TrackingError::NoUpload);
        for id in ["", "..", "../../etc", &"0".repeat(32), &"A".repeat(32)] {
            assert_eq!(problem(store.part(id, &upload.token, 1, MOST)), TrackingError::NoUpload, "{id}");
        }
        let one = send(&store, &upload, 1, b"one").expect("a part");
        let two = send(&store, &upload, 2, b"two").expect("a part");
        let (one, two) = (one.as_str(), two.as_str());
        let assemble = |path: &str, parts: &[(i64, &str)], most| store.assemble_parts(&upload.id, path, parts, most);
        assert_eq!(problem(assemble("1/a", &[(1, one), (2, two)], 100)), TrackingError::NoUpload);
        assert_eq!(problem(store.abort_parts(&upload.id, "1/a")), TrackingError::NoUpload);
        let wrong: [&[(i64, &str)]; 7] = [
            &[],
            &[(1, one)],
            &[(2, two), (1, one)],
            &[(1, one), (1, one)],
            &[(1, one), (2, two), (3, two)],
            &[(1, two), (2, one)],
            &[(1, one), (i64::MAX, two)],
        ];
        for parts in wrong {
            assert!(matches!(problem(assemble("0/a", parts, 100)), TrackingError::BadParts { .. }), "{parts:?}");
        }
        assert!(matches!(problem(assemble("0/a", &[(1, one), (2, two)], 5)), TrackingError::PartsTooLarge { .. }));
        let quoted = format!("\"{one}\"");
        assert!(matches!(assemble("0/a", &[(1, &quoted), (2, two)], 6), Ok(Assembled::Now(..))));
    }

    #[test]
    fn abandoned_and_aborted_uploads_leave_nothing() {
        let (_folder, store) = store();
        let upload = store.begin_parts(None, "0/a", 1).expect("an upload");
        let mut broken_off = store.part(&upload.id, &upload.token, 1, MOST).expect("a part");
        broken_off.write(b"half").expect("written");
        drop(broken_off);
        send(&store, &upload, 1, b"whole").expect("a part");
        assert_eq!(store.collect_parts(PARTS_LIFETIME).expect("a collection"), 0);
        let folder = store.directory().join(FOLDER).join(&upload.id);
        let mut names: Vec<_> =
            fs::read_dir(&folder).expect("a folder").map(|it| it.expect("it").file_name()).collect();
        names.sort();
        assert_eq!(names, ["00001.part", NOTE]);
        store.abort_parts(&upload.id, "0/a").expect("it is aborted");
        assert!(!folder.exists());
        store.begin_parts(None, "0/b", 1).expect("an upload");
        assert_eq!(store.collect_parts(Duration::ZERO).expect("a collection"), 1);
        assert_eq!(fs::read_dir(store.directory().join(FOLDER)).expect("a folder").count(), 0);
    }

    // invariant: The parts of an upload never take more disk than the file may, once they have
    // come.
    #[test]
    fn parts_are_no_more_together_than_the_file_may_be() {
        let (_folder, store) = store();
        let upload = store.begin_parts(None, "0/a", 3).expect("an upload");
        let begin = |number| store.part(&upload.id, &upload.token, number, 10).expect("a part");
        let sent = |mut part: PartWriter, bytes: &[u8]| {
            part.write(bytes)?;
            part.finish()
        };
        let too_large = TrackingError::PartsTooLarge { most: 10 };
        sent(begin(1), b"123456").expect("there is room");
        assert_eq!(problem(sent(begin(2), b"12345")), too_large);
        // One that comes again takes the room of the one before.
        sent(begin(1), b"1234567890").expect("there is room");
        sent(begin(1), b"12345").expect("there is room");
        // Each has room when it begins.
        let (second, third) = (begin(2), begin(3));
        sent(second, b"12345").expect("there is room");
        assert_eq!(problem(sent(third, b"1")), too_large);
        let folder = store.directory().join(FOLDER).join(&upload.id);
        assert_eq!(bytes_of_parts(&folder, None).expect("sizes"), 10);
        sent(begin(3), b"").expect("there is room for nothing");
    }

    #[test]
    fn one_user_leaves_uploads_for_others() {
        let (_folder, store) = store();
        let first = store.begin_parts(Some("ada"), "0/a", 1).expect("an upload");
        for _ in 1..MOST_OPEN_OF_USER {
            store.begin_parts(Some("ada"), "0/a", 1).expect("an upload");
        }
        let refused = TrackingError::TooManyUploads { most: MOST_OPEN_OF_USER };
        assert_eq!(problem(store.begin_parts(Some("ada"), "0/a", 1)), refused);
        store.begin_parts(Some("ben"), "0/a", 1).expect("an upload");
        store.begin_parts(None, "0/a", 1).expect("an upload");
        store.abort_parts(&first.id, "0/a").expect("it is aborted");
        store.begin_parts(Some("ada"), "0/a", 1).expect("an upload");
    }
}
