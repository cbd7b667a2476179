//! The content of a source that is a file, by digest; and whether it is still the same.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::Sha256;
use stagewright_store::Digest;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::source::{Source, SourceUri, open_file};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// The content of a source's files, when they were read.
#[derive(Clone, Debug)]
pub struct Content {
    /// SHA-256 of the file's bytes. Of a database whose latest changes stand in a log beside it,
    /// the digest of the two files' digests.
    pub digest: Digest,
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// The marks of a file that a system changes when somebody writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let (modified, changed) = (metadata.mtime_nsec(), metadata.ctime_nsec());
        let place = [metadata.dev().cast_signed(), metadata.ino().cast_signed(), metadata.size().cast_signed()];
        Self([place[0], place[1], place[2], metadata.mtime(), modified, metadata.ctime(), changed])
    }
}

impl Content {
    /// Reads the files of a source.
    ///
    /// # Errors
    /// [`DataError::Unreadable`], as for a reader of the source; [`DataError::Interrupted`] when
    /// told to stop.
    pub fn of(source: &Source, interrupt: &Interrupt) -> Result<Self, DataError> {
        let path = source.uri.path();
        let (digest, stamp) = hashed(path, open_file(path)?, interrupt)?;
        let mut content = Self { digest, files: vec![(path.to_owned(), Some(stamp))] };
        if matches!(source.uri, SourceUri::Sqlite { .. }) {
            let log = log_of(path);
            match File::open(&log) {
                Ok(file) if file.metadata().is_ok_and(|metadata| metadata.len() > 0) => {
                    let (changes, stamp) = hashed(&log, file, interrupt)?;
                    content.digest = Digest::of(&[*digest.as_bytes(), *changes.as_bytes()].concat());
                    content.files.push((log, Some(stamp)));
                }
                _ => content.files.push((log, None)),
            }
        }
        Ok(content)
    }

    /// Whether somebody wrote to the files, or put others in their place, since they were read.
    pub fn has_changed(&self) -> bool {
        self.files.iter().any(|(path, read)| {
            let now = std::fs::metadata(path).ok().filter(|metadata| read.is_some() || metadata.len() > 0);
            now.as_ref().map(Stamp::of) != *read
        })
    }
}

/// Where SQLite writes changes that are not in the database's file yet.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn hashed(path: &Path, mut file: File, interrupt: &Interrupt) -> Result<(Digest, Stamp), DataError> {
    let unreadable = |error: std::io::Error| DataError::unreadable(path, error, "");
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
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
    Ok((Digest::from_bytes(sha2::Digest::finalize(hasher).into()), stamp))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn changes_that_stand_beside_a_database_belong_to_it() {
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
