//! Opens the files of a source for a process that reads them but may not open any.
//!
//! The opener does not look into the files. For a database it takes the locks of a SQLite reader,
//! so that other processes do not change the file meanwhile. The write-ahead log beside it is
//! copied, because writers to it cannot be locked out.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stagewright_store::open_regular;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::source::address::SourceUri;
use crate::source::file::open_file;
use crate::source::folder_source;
use crate::source::query::Source;
use crate::source::sqlite::BUSY_TIMEOUT;

/// The lock bytes of a database, far behind the end of most.
const PENDING: Bytes = (0x4000_0000, 1);
const RESERVED: Bytes = (0x4000_0001, 1);
const SHARED: Bytes = (0x4000_0002, 510);

/// The lock byte of a log's index for readers of the file: while it is locked, no page moves from
/// the log to the file.
const READS_FILE: Bytes = (123, 1);

/// Bytes of a log's header, which is rewritten when the log restarts.
const LOG_HEADER: usize = 32;

/// The pause between two attempts to get a lock.
const PAUSE: Duration = Duration::from_millis(5);

/// First byte and length of a range.
type Bytes = (i64, i64);

/// A file that is open for reading.
#[derive(Debug)]
pub struct OpenedFile {
    /// The file.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
    /// Its name in the folder that is read.
    pub name: String,
}

/// The open files of a source. While this exists, other processes cannot change a database.
#[derive(Debug)]
pub struct OpenedFiles {
    /// The file, or the files of a folder in their order.
    pub files: Vec<OpenedFile>,
    /// Whether they are the files of a folder.
    pub is_folder: bool,
    /// The content of the write-ahead log; empty if there is none.
    pub log: Vec<u8>,
    /// The log's index, with a lock.
    _index: Option<File>,
}

impl Source {
    /// Opens the files without reading them, except for a write-ahead log of at most `most` bytes.
    ///
    /// # Errors
    /// [`DataError`] as [`open`](crate::open) for files that cannot be opened;
    /// [`DataError::Memory`] for a longer log.
    pub fn open_files(&self, most: u64, interrupt: &Interrupt) -> Result<OpenedFiles, DataError> {
        self.check_query()?;
        let path = self.uri.path();
        if self.uri.is_folder() {
            let names = folder_source::names(&self.uri)?;
            let open = |name: String| OpenedFile::new(folder_source::open(path, &name)?, &path.join(&name), name);
            let files = names.into_iter().map(open).collect::<Result<_, _>>()?;
            return Ok(OpenedFiles { files, is_folder: true, log: Vec::new(), _index: None });
        }
        let file = open_file(path)?;
        let (mut index, mut log) = (None, Vec::new());
        if matches!(self.uri, SourceUri::Sqlite { .. }) {
            let database = Database { path, until: Instant::now() + BUSY_TIMEOUT, interrupt };
            database.share(&file)?;
            (index, log) = database.log(most)?;
        }
        Ok(OpenedFiles {
            files: vec![OpenedFile::new(file, path, String::new())?],
            is_folder: false,
            log,
            _index: index,
        })
    }
}

impl OpenedFile {
    fn new(file: File, path: &Path, name: String) -> Result<Self, DataError> {
        let length = file.metadata().map_err(|error| DataError::unreadable(path, error, ""))?.len();
        Ok(Self { file, length, name })
    }
}

impl OpenedFiles {
    /// Opens a single file without reading it.
    ///
    /// # Errors
    /// [`DataError`] as [`open`](crate::open) for a file that cannot be opened.
    pub fn of_file(path: &Path) -> Result<Self, DataError> {
        let file = OpenedFile::new(open_file(path)?, path, String::new())?;
        Ok(Self { files: vec![file], is_folder: false, log: Vec::new(), _index: None })
    }
}

/// A database that is being locked.
struct Database<'a> {
    path: &'a Path,
    until: Instant,
    interrupt: &'a Interrupt,
}

impl Database<'_> {
    /// Locks out writers of the file.
    fn share(&self, file: &File) -> Result<(), DataError> {
        // A writer that waits for readers holds the first lock, so that no new reader begins.
        self.waiting(|| Ok(read_lock(file, PENDING)? && read_lock(file, SHARED)?))?;
        self.try_lock(unlock(file, PENDING))?;
        let journal = self.beside("-journal");
        let mut first = [0];
        let is_hot = open_regular(&journal).is_ok_and(|mut file| file.read_exact(&mut first).is_ok()) && first != [0];
        if is_hot && !self.try_lock(is_written(file, RESERVED))? {
            let hint = "open it once with a program that may write to it, e.g. `sqlite3 FILE .tables`";
            return Err(DataError::unreadable(self.path, "a writer was interrupted, and left it half written", hint));
        }
        Ok(())
    }

    /// Copies the log. Its index is locked first, if it exists: pages then reach the file only once
    /// nobody reads it.
    fn log(&self, most: u64) -> Result<(Option<File>, Vec<u8>), DataError> {
        let path = self.beside("-wal");
        let failed = |error| DataError::unreadable(&path, error, "");
        let mut log = match open_regular(&path) {
            Ok(log) if log.metadata().map_err(failed)?.is_file() => log,
            _ => return Ok((None, Vec::new())),
        };
        let index = open_regular(&self.beside("-shm")).ok();
        if let Some(index) = &index {
            self.waiting(|| read_lock(index, READS_FILE))?;
        }
        loop {
            let mut bytes = Vec::new();
            log.rewind().and_then(|()| (&log).take(most.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed)?;
            if bytes.len() as u64 > most {
                return Err(DataError::Memory { path: path.display().to_string(), allowed: most });
            }
            let mut header = Vec::new();
            log.rewind().and_then(|()| (&log).take(LOG_HEADER as u64).read_to_end(&mut header)).map_err(failed)?;
            // If the log restarted meanwhile, it is copied again: halves of two logs are no log.
            if bytes.starts_with(&header) {
                return Ok((index, bytes));
            }
            self.pause()?;
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }

    fn waiting(&self, locks: impl Fn() -> std::io::Result<bool>) -> Result<(), DataError> {
        while !self.try_lock(locks())? {
            self.pause()?;
        }
        Ok(())
    }

    fn try_lock<T>(&self, result: std::io::Result<T>) -> Result<T, DataError> {
        result.map_err(|error| DataError::unreadable(self.path, error, ""))
    }

    fn pause(&self) -> Result<(), DataError> {
        if self.interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        if Instant::now() >= self.until {
            return Err(DataError::busy(self.path));
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

fn range(kind: libc::c_int, (first, bytes): Bytes) -> libc::flock {
    // SAFETY: zeroes are a valid `flock`.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = first;
    range.l_len = bytes;
    range
}

/// Tries to lock a range for this file description, and returns whether it succeeded. Such a lock
/// survives closing other descriptors of the file.
fn lock(file: &File, kind: libc::c_int, bytes: Bytes) -> std::io::Result<bool> {
    let range = range(kind, bytes);
    // SAFETY: the descriptor is open, and the kernel reads the range before it returns.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) } == 0 {
        return Ok(true);
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

fn read_lock(file: &File, bytes: Bytes) -> std::io::Result<bool> {
    lock(file, libc::F_RDLCK, bytes)
}

fn unlock(file: &File, bytes: Bytes) -> std::io::Result<bool> {
    lock(file, libc::F_UNLCK, bytes)
}

/// Returns whether another process holds a write lock.
fn is_written(file: &File, bytes: Bytes) -> std::io::Result<bool> {
    let mut range = range(libc::F_RDLCK, bytes);
    // SAFETY: the descriptor is open, and the range outlives the call, which writes to it.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut range) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(libc::c_int::from(range.l_type) != libc::F_UNLCK)
}
