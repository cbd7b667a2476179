//! The difference of two lists of files.

use serde::Serialize;
use stagewright_store::Digest;

use crate::files::list::FileList;

/// The difference of two folders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FilesDiff {
    /// The files of the first folder.
    pub files_before: u64,
    /// The files of the second folder.
    pub files_after: u64,
    /// Files of the second folder alone.
    pub added: u64,
    /// Files of the first folder alone.
    pub removed: u64,
    /// Files of both folders that differ.
    pub changed: u64,
    /// Files of both folders that are equal.
    pub unchanged: u64,
    /// The first paths that were added.
    pub added_files: Vec<String>,
    /// The first paths that were removed.
    pub removed_files: Vec<String>,
    /// The first files that changed.
    pub changed_files: Vec<ChangedFile>,
}

/// A file that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedFile {
    /// Its path.
    pub path: String,
    /// The digest before.
    pub before: Digest,
    /// The digest after.
    pub after: Digest,
}

impl FilesDiff {
    /// Returns whether all files are the same.
    pub fn is_same(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }
}

/// Compares two lists, and keeps the first `examples` paths of each kind.
pub fn compare(before: &FileList, after: &FileList, examples: usize) -> FilesDiff {
    let (files_before, files_after) = (before.files.len() as u64, after.files.len() as u64);
    let mut diff = FilesDiff { files_before, files_after, ..FilesDiff::default() };
    let (mut old, mut new) = (before.files.iter().peekable(), after.files.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return diff,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        match (was, is) {
            (Some(was), Some(is)) if was.digest == is.digest => diff.unchanged += 1,
            (Some(was), Some(is)) => {
                diff.changed += 1;
                if diff.changed_files.len() < examples {
                    let (path, before, after) = (is.path.clone(), was.digest, is.digest);
                    diff.changed_files.push(ChangedFile { path, before, after });
                }
            }
            (Some(was), None) => {
                diff.removed += 1;
                if diff.removed_files.len() < examples {
                    diff.removed_files.push(was.path.clone());
                }
            }
            (None, is) => {
                diff.added += 1;
                diff.added_files.extend(is.filter(|_| diff.added_files.len() < examples).map(|is| is.path.clone()));
            }
        }
    }
}
