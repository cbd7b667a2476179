//! The files of a model's log, and which of them are removed.
//!
//! A file is written under a temporary name, `.NAME.part`, and gets its own when it is whole and on
//! the disk. So no reader meets half a file, and a server that is killed leaves nothing but a
//! temporary file, which the next one removes. Several servers may write to a folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;

use super::name::{HOUR_MS, LogName};

/// The age from which on a temporary file is one that nobody writes any more. A file takes seconds.
pub(super) const ABANDONED: Duration = Duration::from_secs(600);

/// A model's files take at most this share of their bound each, so that removing one makes room.
const SHARE: u64 = 8;

/// The most bytes of a file.
const MOST_FILE_BYTES: u64 = 64 << 20;

/// The counts of a model's log.
#[derive(Debug, Clone, Default)]
pub struct LogCounts {
    /// Rows that were written.
    pub rows: Counter,
    /// Rows that were dropped.
    pub dropped: Counter,
}

/// The files of a model's log.
#[derive(Debug)]
pub(super) struct ModelFiles {
    pub(super) folder: PathBuf,
    pub(super) most_bytes: u64,
    pub(super) keep: Duration,
    pub(super) counts: LogCounts,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: LogName,
    pub(super) bytes: u64,
}

/// Lists the files of a folder by their names. A folder that is not there has none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Listed>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(LogName::parse) else { continue };
        // It may have been removed since.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            files.push(Listed { name, bytes: metadata.len() });
        }
    }
    files.sort_unstable_by_key(|file| file.name);
    Ok(files)
}

/// Returns the files that have each row once: pieces whose rows are in a whole file are left out.
pub(super) fn without_repeated(mut files: Vec<Listed>) -> Vec<Listed> {
    let whole: std::collections::HashSet<LogName> =
        files.iter().map(|file| file.name).filter(|name| name.piece.is_none()).collect();
    files.retain(|file| file.name.piece.is_none() || !whole.contains(&file.name.whole()));
    files
}

/// Creates a folder that its owner alone can enter. Its parents get the default permissions.
pub(super) fn create_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        created => created,
    }
}

impl ModelFiles {
    /// Returns the path of a file.
    pub(super) fn path(&self, name: LogName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// Returns the bytes from which on a file is finished and another one begun.
    pub(super) fn most_file_bytes(&self) -> u64 {
        (self.most_bytes / SHARE).min(MOST_FILE_BYTES)
    }

    /// Makes a file. It is there as a whole, or not at all. Returns its bytes.
    pub(super) fn publish(&self, name: LogName, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<u64> {
        create_private(&self.folder)?;
        let temporary = self.folder.join(format!(".{name}.part"));
        // One that could not be removed, or a link that somebody put there: it is not followed.
        let _ = fs::remove_file(&temporary);
        let whole = OpenOptions::new().write(true).create_new(true).open(&temporary).and_then(|file| {
            write(&file)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path(name))?;
            File::open(&self.folder)?.sync_all()?;
            Ok(file.metadata()?.len())
        });
        if whole.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        whole
    }

    /// Removes a file, unless it has gone already.
    pub(super) fn remove(&self, name: LogName) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes files that are older than allowed, and then the oldest until there is room for
    /// `more` bytes. Nothing is removed for what never finds room.
    pub(super) fn make_room(&self, more: u64, now_ms: i64) -> io::Result<()> {
        if more > self.most_bytes {
            let problem = format!("they take {more} bytes, and all files of the log {} at most", self.most_bytes);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
        let keep_ms = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let files = list(&self.folder)?;
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        for Listed { name, bytes: own } in files {
            let end_ms = (name.hour + 1).saturating_mul(HOUR_MS);
            let is_old = end_ms.saturating_add(keep_ms) < now_ms;
            if !is_old && bytes.saturating_add(more) <= self.most_bytes {
                // Later ones are younger.
                break;
            }
            self.remove(name)?;
            bytes -= own;
        }
        Ok(())
    }

    /// Removes what servers left that were killed: temporary files, and pieces whose rows are in a
    /// whole file.
    pub(super) fn clean(&self) -> io::Result<()> {
        let files = list(&self.folder)?;
        let kept: std::collections::HashSet<LogName> =
            without_repeated(files.clone()).into_iter().map(|file| file.name).collect();
        for file in files.iter().filter(|file| !kept.contains(&file.name)) {
            self.remove(file.name)?;
        }
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let is_temporary = entry.file_name().to_str().is_some_and(|name| {
                let own = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part"));
                own.is_some_and(|name| LogName::parse(name).is_some())
            });
            let age = || SystemTime::now().duration_since(entry.metadata().ok()?.modified().ok()?).ok();
            if is_temporary && age().is_some_and(|age| age >= ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}
