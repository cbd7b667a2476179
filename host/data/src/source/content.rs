//! Digests of the files of a source, and whether the files have changed.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::Sha256;
use stagewright_store::Digest;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::source::address::SourceUri;
use crate::source::file::open_file;
use crate::source::folder_source;
use crate::source::query::Source;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// The beginning of what the digest of a folder is a digest of.
const FOLDER: &[u8] = b"stagewright.folder.v1\0";

/// The content of a source's files at the time when they were read.
#[derive(Clone, Debug)]
pub struct Content {
    /// SHA-256 of the file. For a database with a write-ahead log, the digest of the digests of
    /// both. For a folder, the digest of the names and digests of its files.
    pub digest: Digest,
    files: Vec<(PathBuf, Option<FileStamp>)>,
    /// The folder, with the names of its files.
    folder: Option<(SourceUri, Vec<String>)>,
}

/// The attributes of a file that change when it is written: device, inode, size, and the times of
/// modification and of status change, each in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(pub [i64; 7]);

/// Stores the digests of files, so that unchanged files are not read again.
pub trait ContentMemory {
    /// Returns the digest of the file with this stamp, if it is known.
    fn recall(&self, stamp: &FileStamp) -> Option<Digest>;

    /// Stores the digest of the file with this stamp.
    fn keep(&self, stamp: &FileStamp, digest: &Digest);
}

/// For this long after a change, another change may leave the same [`FileStamp`]: file times have a
/// granularity of up to two seconds.
const UNSETTLED: Duration = Duration::from_secs(2);

impl FileStamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let (modified, changed) = (metadata.mtime_nsec(), metadata.ctime_nsec());
        let place = [metadata.dev().cast_signed(), metadata.ino().cast_signed(), metadata.size().cast_signed()];
        Self([place[0], place[1], place[2], metadata.mtime(), modified, metadata.ctime(), changed])
    }

    /// Returns whether any later change gives another stamp. It looks at the status change time,
    /// which only the system sets; anybody can set the modification time.
    fn is_settled(&self, now: SystemTime) -> bool {
        let Self([.., seconds, nanoseconds]) = *self;
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds)) else { return false };
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
        changed.and_then(|changed| now.duration_since(changed).ok()).is_some_and(|age| age > UNSETTLED)
    }
}

impl Content {
    /// Reads the files of a source.
    ///
    /// # Errors
    /// [`DataError::Unreadable`]; [`DataError::Interrupted`].
    pub fn of(source: &Source, interrupt: &Interrupt) -> Result<Self, DataError> {
        Self::looked_up(source, interrupt, None)
    }

    /// As [`Content::of`], but does not read files whose stamp `memory` knows.
    ///
    /// # Errors
    /// As for [`Content::of`].
    pub fn remembered(source: &Source, interrupt: &Interrupt, memory: &dyn ContentMemory) -> Result<Self, DataError> {
        Self::looked_up(source, interrupt, Some(memory))
    }

    fn looked_up(
        source: &Source,
        interrupt: &Interrupt,
        memory: Option<&dyn ContentMemory>,
    ) -> Result<Self, DataError> {
        let path = source.uri.path();
        if source.uri.is_folder() {
            return Self::of_folder(&source.uri, interrupt, memory);
        }
        let (digest, stamp) = known(path, open_file(path)?, interrupt, memory)?;
        let mut content = Self { digest, files: vec![(path.to_owned(), Some(stamp))], folder: None };
        if matches!(source.uri, SourceUri::Sqlite { .. }) {
            let log = log_of(path);
            match File::open(&log) {
                Ok(file) if file.metadata().is_ok_and(|metadata| metadata.len() > 0) => {
                    let (changes, stamp) = known(&log, file, interrupt, memory)?;
                    content.digest = Digest::of(&[*digest.as_bytes(), *changes.as_bytes()].concat());
                    content.files.push((log, Some(stamp)));
                }
                _ => content.files.push((log, None)),
            }
        }
        Ok(content)
    }

    fn of_folder(
        uri: &SourceUri,
        interrupt: &Interrupt,
        memory: Option<&dyn ContentMemory>,
    ) -> Result<Self, DataError> {
        let names = folder_source::names(uri)?;
        let (mut message, mut files) = (FOLDER.to_vec(), Vec::with_capacity(names.len()));
        for name in &names {
            let path = uri.path().join(name);
            let (digest, stamp) = known(&path, folder_source::open(uri.path(), name)?, interrupt, memory)?;
            message.extend((name.len() as u64).to_le_bytes());
            message.extend(name.as_bytes());
            message.extend(digest.as_bytes());
            files.push((path, Some(stamp)));
        }
        Ok(Self { digest: Digest::of(&message), files, folder: Some((uri.clone(), names)) })
    }

    /// Returns whether the files were written or replaced since they were read. A folder has also
    /// changed if it has other files.
    pub fn has_changed(&self) -> bool {
        if self.folder.as_ref().is_some_and(|(uri, names)| folder_source::names(uri).ok().as_ref() != Some(names)) {
            return true;
        }
        self.files.iter().any(|(path, read)| {
            let now = std::fs::metadata(path).ok().filter(|metadata| read.is_some() || metadata.len() > 0);
            now.as_ref().map(FileStamp::of) != *read
        })
    }
}

/// Returns the path of the write-ahead log of a database, which holds changes that are not in its
/// file yet.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Returns the digest of an open file, and its stamp from before it was read.
fn known(
    path: &Path,
    file: File,
    interrupt: &Interrupt,
    memory: Option<&dyn ContentMemory>,
) -> Result<(Digest, FileStamp), DataError> {
    let unreadable = |error: std::io::Error| DataError::unreadable(path, error, "");
    let stamp = FileStamp::of(&file.metadata().map_err(unreadable)?);
    if let Some(digest) = memory.and_then(|memory| memory.recall(&stamp)) {
        return Ok((digest, stamp));
    }
    let settled = stamp.is_settled(SystemTime::now());
    let digest = hashed(path, &file, interrupt)?;
    let is_same = || file.metadata().is_ok_and(|metadata| FileStamp::of(&metadata) == stamp);
    if let Some(memory) = memory.filter(|_| settled && is_same()) {
        memory.keep(&stamp, &digest);
    }
    Ok((digest, stamp))
}

fn hashed(path: &Path, mut file: &File, interrupt: &Interrupt) -> Result<Digest, DataError> {
    let unreadable = |error: std::io::Error| DataError::unreadable(path, error, "");
    let mut hasher = <Sha256 as sha2::Digest>::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        if interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            read => sha2::Digest::update(&mut hasher, &buffer[..read]),
        }
    }
    Ok(Digest::from_bytes(sha2::Digest::finalize(hasher).into()))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn content_is_a_digest_of_all_files_and_a_write_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("rows.csv");
        std::fs::write(&csv, "x\n1\n").expect("a file");
        let source = Source::new(format!("csv:{}", csv.display()).parse().expect("an address"));
        let read = |source: &Source| Content::of(source, &Interrupt::never()).expect("a file that is there");
        let first = read(&source);
        assert_eq!(first.digest, Digest::of(b"x\n1\n"));
        assert!(!first.has_changed());
        std::fs::write(&csv, "x\n2\n").expect("a file");
        assert!(first.has_changed());
        assert_ne!(read(&source).digest, first.digest);
        let stopped = Content::of(&source, &Interrupt::when(|| true));
        assert!(matches!(stopped, Err(DataError::Interrupted)), "{stopped:?}");
        std::fs::remove_file(&csv).expect("a file");
        assert!(first.has_changed());
        let gone = Content::of(&source, &Interrupt::never());
        assert!(matches!(gone, Err(DataError::Unreadable { .. })), "{gone:?}");
    }

    /// A memory that counts its hits.
    #[derive(Default)]
    struct Kept {
        known: RefCell<Vec<(FileStamp, Digest)>>,
        recalled: Cell<usize>,
    }

    impl ContentMemory for Kept {
        fn recall(&self, stamp: &FileStamp) -> Option<Digest> {
            let found = self.known.borrow().iter().find(|(known, _)| known == stamp).map(|(_, digest)| *digest)?;
            self.recalled.set(self.recalled.get() + 1);
            Some(found)
        }

        fn keep(&self, stamp: &FileStamp, digest: &Digest) {
            self.known.borrow_mut().push((*stamp, *digest));
        }
    }

    // invariant: A source file that changed within the last two seconds is always read again.
    #[test]
    fn a_file_that_rests_for_two_seconds_is_read_once_and_any_change_has_it_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("rows.csv");
        std::fs::write(&csv, "x\n1\n").expect("a file");
        let source = Source::new(format!("csv:{}", csv.display()).parse().expect("an address"));
        let kept = Kept::default();
        let read = || {
            let before = kept.recalled.get();
            let content = Content::remembered(&source, &Interrupt::never(), &kept).expect("a file that is there");
            (content.digest, kept.recalled.get() > before)
        };
        let (first, other) = (Digest::of(b"x\n1\n"), Digest::of(b"x\n2\n"));
        // Changed a moment ago: the next change could leave the same stamp.
        assert_eq!((read(), read()), ((first, false), (first, false)));
        let rest = || std::thread::sleep(UNSETTLED + Duration::from_millis(100));
        rest();
        assert_eq!((read(), read()), ((first, false), (first, true)));
        // Same size and same modification time, but another content.
        let modified = std::fs::metadata(&csv).and_then(|metadata| metadata.modified()).expect("a time");
        std::fs::write(&csv, "x\n2\n").expect("a file");
        File::options().write(true).open(&csv).and_then(|file| file.set_modified(modified)).expect("a time");
        assert_eq!(read(), (other, false));
        rest();
        assert_eq!((read(), read()), ((other, false), (other, true)));
    }

    #[test]
    fn the_log_of_a_database_is_part_of_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rows.db");
        let source = Source::new(format!("sqlite:{}#rows", file.display()).parse().expect("an address"));
        let read = || Content::of(&source, &Interrupt::never()).expect("a file that is there");
        let writer = rusqlite::Connection::open(&file).expect("a database");
        writer
            .execute_batch("CREATE TABLE rows (x); PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0")
            .expect("sql");
        let before = read();
        writer.execute_batch("INSERT INTO rows VALUES (1)").expect("sql");
        assert!(before.has_changed(), "the log has grown");
        let with_log = read();
        assert_ne!(with_log.digest, before.digest);
        assert!(!with_log.has_changed());
    }
}
