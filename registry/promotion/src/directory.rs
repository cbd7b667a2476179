//! A directory as a store: a mount that serving machines read, or a directory of this machine.
//!
//! Every write goes to a temporary file, which is flushed and renamed, so that a reader sees the
//! old content or the new one, even after a loss of power. Conditional writes compare and rename
//! under an advisory lock on one file, which the system releases when a process ends, however it
//! ends. Why not a hard link or `RENAME_NOREPLACE` for writes that create? They cannot replace
//! under a condition, so that the lock is needed anyway, and one way of writing is easier to trust
//! than two.
//!
//! A dead process may leave a temporary file; a living one holds a lock on its own.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use stagewright_store::{Digest, open_regular, read_regular};
use tempfile::NamedTempFile;

use crate::error::{PromotionError, io_error};
use crate::store::{Condition, Etag, MAX_DOCUMENT, ObjectStore, Put, Sink, StoredObject, Unfinished, check_key};

/// The directory of temporary files and of the lock. Its files are not keys.
const TEMPORARY: &str = ".stagewright";
const LOCK: &str = "lock";
/// The bytes that are copied or read at once.
const PIECE: usize = 1 << 20;

/// A directory that holds objects as files.
#[derive(Debug)]
pub struct Directory {
    uri: String,
    root: PathBuf,
}

impl Directory {
    /// Creates a store of a directory, which the first write creates. Its URI names the machine
    /// too: a registry that several machines use must not confuse the same path on two of them.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let absolute = std::path::absolute(&root).unwrap_or_else(|_| root.clone());
        let absolute: PathBuf = absolute.components().collect();
        Self { uri: format!("file://{}{}", machine(), absolute.display()), root: absolute }
    }

    fn path(&self, key: &str) -> Result<PathBuf, PromotionError> {
        Ok(self.root.join(check_key(key)?))
    }

    fn temporary_directory(&self) -> PathBuf {
        self.root.join(TEMPORARY)
    }

    /// Creates a temporary file, locked while this process lives.
    fn create_temporary(&self) -> Result<NamedTempFile, PromotionError> {
        let temporary = self.temporary_directory();
        create_directories(&temporary)?;
        loop {
            let file = tempfile::Builder::new()
                .prefix("write-")
                .permissions(Permissions::from_mode(0o644)) // for those who serve
                .tempfile_in(&temporary)
                .map_err(io_error("create a file in", &temporary))?;
            file.as_file().lock().map_err(io_error("lock", file.path()))?;
            // Between creation and locking, another process may have taken it for an abandoned one
            // and removed it.
            if file.path().exists() {
                return Ok(file);
            }
        }
    }

    /// Makes a flushed file the content of a key.
    fn publish(&self, file: NamedTempFile, key: &str) -> Result<(), PromotionError> {
        let target = self.path(key)?;
        let parent = target.parent().unwrap_or(&self.root);
        create_directories(parent)?;
        file.as_file().sync_all().map_err(io_error("flush", file.path()))?;
        file.persist(&target).map_err(|error| io_error("create", &target)(error.error))?;
        flush_directory(parent)
    }

    /// Waits for the lock of conditional writes to this directory. Dropping the file releases it.
    fn lock_conditional_writes(&self) -> Result<File, PromotionError> {
        let temporary = self.temporary_directory();
        create_directories(&temporary)?;
        let path = temporary.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        file.lock().map_err(io_error("lock", &path))?;
        Ok(file)
    }
}

/// Returns the name of this machine.
pub(crate) fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

impl ObjectStore for Directory {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn put_file(&self, key: &str, file: &Path, size: u64, progress: &dyn Fn(u64)) -> Result<(), PromotionError> {
        check_key(key)?;
        let mut source = File::open(file).map_err(io_error("open", file))?;
        let mut temporary = self.create_temporary()?;
        let mut left = size;
        while left > 0 {
            let piece = left.min(8 * PIECE as u64);
            // The system copies within the file system where it can.
            let copied = io::copy(&mut Read::by_ref(&mut source).take(piece), temporary.as_file_mut());
            let copied = copied.map_err(io_error("write", temporary.path()))?;
            if copied == 0 {
                return Err(io_error("read", file)(io::ErrorKind::UnexpectedEof.into()));
            }
            left -= copied;
            progress(copied);
        }
        self.publish(temporary, key)
    }

    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Put, PromotionError> {
        let mut temporary = self.create_temporary()?;
        temporary.write_all(bytes).map_err(io_error("write", temporary.path()))?;
        let _turn = self.lock_conditional_writes()?;
        let there = self.get(key)?;
        let holds = match (condition, &there) {
            (Condition::Absent, there) => there.is_none(),
            (Condition::Unchanged(etag), there) => there.as_ref().is_some_and(|(_, it)| it == etag),
        };
        match there {
            _ if holds => self.publish(temporary, key).map(|()| Put::Written(etag(bytes))),
            Some((content, etag)) if content == bytes => Ok(Put::Written(etag)),
            _ => Ok(Put::Refused),
        }
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, PromotionError> {
        let path = self.path(key)?;
        let bytes = present(read_regular(&path, MAX_DOCUMENT)).map_err(io_error("read", &path))?;
        Ok(bytes.map(|bytes| {
            let etag = etag(&bytes);
            (bytes, etag)
        }))
    }

    fn read(&self, key: &str, range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), PromotionError> {
        let path = self.path(key)?;
        let mut file = open_regular(&path).map_err(io_error("open", &path))?;
        file.seek(SeekFrom::Start(range.start)).map_err(io_error("read", &path))?;
        let mut left = range.end.saturating_sub(range.start);
        let mut piece = vec![0; PIECE.min(left as usize)];
        while left > 0 {
            let wanted = PIECE.min(left as usize);
            file.read_exact(&mut piece[..wanted]).map_err(io_error("read", &path))?;
            if sink(&piece[..wanted]).is_break() {
                return Ok(());
            }
            left -= wanted as u64;
        }
        Ok(())
    }

    fn head(&self, key: &str) -> Result<Option<StoredObject>, PromotionError> {
        let path = self.path(key)?;
        let metadata = present(fs::metadata(&path)).map_err(io_error("look at", &path))?;
        metadata.filter(|it| it.is_file()).map(|it| entry(key.to_owned(), &path, &it)).transpose()
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PromotionError> {
        let mut found = Vec::new();
        // The search begins in the deepest directory of the prefix; the rest of the prefix is
        // compared.
        let start = prefix.rsplit_once('/').map_or("", |(directories, _)| directories);
        if !start.is_empty() {
            check_key(start)?;
        }
        let mut waiting = vec![(self.root.join(start), start.to_owned())];
        while let Some((directory, name)) = waiting.pop() {
            let Some(entries) = present(fs::read_dir(&directory)).map_err(io_error("list", &directory))? else {
                continue;
            };
            for item in entries {
                let item = item.map_err(io_error("list", &directory))?;
                let segment = item.file_name().to_string_lossy().into_owned();
                let key = if name.is_empty() { segment } else { format!("{name}/{segment}") };
                let path = item.path();
                // It was removed meanwhile.
                let Some(metadata) = present(fs::metadata(&path)).map_err(io_error("look at", &path))? else {
                    continue;
                };
                // A link to a folder may lead to one that contains it.
                if metadata.is_dir() && fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink()) {
                    continue;
                }
                if metadata.is_dir() && key != TEMPORARY {
                    waiting.push((path, key));
                } else if metadata.is_file() && key.starts_with(prefix) && check_key(&key).is_ok() {
                    found.push(entry(key, &path, &metadata)?);
                }
            }
        }
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    fn delete(&self, key: &str) -> Result<(), PromotionError> {
        let path = self.path(key)?;
        if present(fs::remove_file(&path)).map_err(io_error("remove", &path))?.is_some() {
            flush_directory(path.parent().unwrap_or(&self.root))?;
        }
        Ok(())
    }

    fn unfinished(&self) -> Result<Vec<Unfinished>, PromotionError> {
        let temporary = self.temporary_directory();
        let mut found = Vec::new();
        let Some(entries) = present(fs::read_dir(&temporary)).map_err(io_error("list", &temporary))? else {
            return Ok(found);
        };
        for item in entries {
            let item = item.map_err(io_error("list", &temporary))?;
            let id = item.file_name().to_string_lossy().into_owned();
            if id == LOCK || is_alive(&item.path()) {
                continue;
            }
            let Some(metadata) = present(item.metadata()).map_err(io_error("look at", &item.path()))? else { continue };
            let started = metadata.modified().map_err(io_error("look at", &item.path()))?;
            found.push(Unfinished { key: format!("{TEMPORARY}/{id}"), id, started, bytes: metadata.len() });
        }
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    fn abort(&self, unfinished: &Unfinished) -> Result<(), PromotionError> {
        let path = self.temporary_directory().join(check_key(&unfinished.id)?);
        present(fs::remove_file(&path)).map_err(io_error("remove", &path))?;
        Ok(())
    }

    /// Removes temporary files without a lock: the processes that wrote them are dead.
    fn sweep(&self) -> Result<(), PromotionError> {
        self.unfinished()?.iter().try_for_each(|unfinished| self.abort(unfinished))
    }
}

/// Returns the etag of some content. Like S3's, it depends on the content alone: the same bytes may
/// have the same etag.
fn etag(bytes: &[u8]) -> Etag {
    Etag(Digest::of(bytes).to_string())
}

fn entry(key: String, path: &Path, metadata: &fs::Metadata) -> Result<StoredObject, PromotionError> {
    let modified: SystemTime = metadata.modified().map_err(io_error("look at", path))?;
    Ok(StoredObject { key, size: metadata.len(), modified })
}

/// Returns `None` if the file does not exist.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether a process may still write this file. A file of another user that cannot be
/// opened may be written.
fn is_alive(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Creates a directory and its parents, and flushes each into its parent.
fn create_directories(path: &Path) -> Result<(), PromotionError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_directories(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error("create", path)(error)),
        // Even if another process created it: that process may not have flushed it yet.
        _ => flush_directory(parent),
    }
}

fn flush_directory(path: &Path) -> Result<(), PromotionError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("flush", path))
}
