//! Files of a source, opened by a process that does not look into them for one that does.
//!
//! Of a database, such a process takes the locks that a reader of SQLite takes: what another
//! process writes meanwhile does not reach the file. The log beside it is copied: nobody can be
//! kept from writing to that.

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
use crate::source::query::Source;
use crate::source::sqlite::BUSY_TIMEOUT;

/// Bytes of a database by which processes say what they do with it, far behind what most have.
const PENDING: Bytes = (0x4000_0000, 1);
const RESERVED: Bytes = (0x4000_0001, 1);
const SHARED: Bytes = (0x4000_0002, 510);

/// The byte of a log's index by which a reader says that it reads the file: no page may be moved
/// from the log to the file.
const READS_FILE: Bytes = (123, 1);

/// Bytes of a log's header. It is written anew when the log begins anew.
const LOG_HEADER: usize = 32;

/// How long another process is given before it is asked again.
const PAUSE: Duration = Duration::from_millis(5);

/// First byte and number of a range.
type Bytes = (i64, i64);

/// The files of a source. Whoever keeps this keeps other processes from changing a database.
#[derive(Debug)]
pub struct OpenedFiles {
    /// The file.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
    /// The content of the log beside it, if there is one.
    pub log: Vec<u8>,
    /// The log's index, with a lock.
    _index: Option<File>,
}

impl Source {
    /// Opens the files, and looks into none. A log may have at most `most` bytes.
    ///
    /// # Errors
    /// [`DataError`], as [`open`](crate::open) says it of files that cannot be opened;
    /// [`DataError::Memory`] for a longer log.
    pub fn open_files(&self, most: u64, interrupt: &Interrupt) -> Result<OpenedFiles, DataError> {
        self.check_query()?;
        let path = self.uri.path();
        let file = open_file(path)?;
        let (mut index, mut log) = (None, Vec::new());
        if matches!(self.uri, SourceUri::Sqlite { .. }) {
            let database = Database { path, until: Instant::now() + BUSY_TIMEOUT, interrupt };
            database.share(&file)?;
            (index, log) = database.log(most)?;
        }
        let length = file.metadata().map_err(|error| DataError::unreadable(path, error, ""))?.len();
        Ok(OpenedFiles { file, length, log, _index: index })
    }
}

/// A database, as its locks have it.
struct Database<'a> {
    path: &'a Path,
    until: Instant,
    interrupt: &'a Interrupt,
}

impl Database<'_> {
    /// Keeps others from writing to the file.
    fn share(&self, file: &File) -> Result<(), DataError> {
        // Who waits for readers to end holds the first: nobody begins to read before.
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

    /// Copies the log. Its index is locked if it has one: what is in the log then reaches the file
    /// when nobody reads it any more.
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
            // One that began anew meanwhile is copied anew: half of each is none.
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

/// Asks for a lock of this file description, which no other closing of the file gives back. Says
/// whether it was given.
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

/// Whether another process has a lock for writing.
fn is_written(file: &File, bytes: Bytes) -> std::io::Result<bool> {
    let mut range = range(libc::F_RDLCK, bytes);
    // SAFETY: the descriptor is open, and the range outlives the call, which writes to it.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut range) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(libc::c_int::from(range.l_type) != libc::F_UNLCK)
}
