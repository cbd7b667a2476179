//! A folder as a source: which of its files are read, and in which order.
//!
//! An address that ends with `/` names a folder: `parquet:customers/`. Its files of that kind are
//! one table, in the byte order of their names. Folders below it are not read.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{DataError, shown};
use crate::source::address::SourceUri;
use crate::source::compression::inner_ending;

/// The most files of a folder. Each is open while the folder is read.
pub(super) const MAX_FILES: usize = 4096;

/// The folder with the log of a Delta table.
const DELTA_LOG: &str = "_delta_log";

/// Returns the endings of the files that are read from a folder.
fn endings(uri: &SourceUri) -> &'static [&'static str] {
    match uri {
        SourceUri::Csv { .. } => &["csv", "tsv", "tab", "txt"],
        SourceUri::Jsonl { .. } => &["jsonl", "ndjson", "json"],
        SourceUri::Parquet { .. } => &["parquet", "pq"],
        SourceUri::Arrow { .. } => &["arrow", "arrows", "feather", "ipc"],
        SourceUri::Sqlite { .. } | SourceUri::PostgresRows { .. } => &[],
    }
}

/// Returns the ending that counts: of text, the one in front of `.gz` or `.zst`.
fn ending<'a>(uri: &SourceUri, name: &'a str) -> Option<&'a str> {
    match uri {
        SourceUri::Csv { .. } | SourceUri::Jsonl { .. } => inner_ending(Path::new(name)),
        _ => Path::new(name).extension()?.to_str(),
    }
}

/// Returns the names of the files that are read, in their order.
///
/// # Errors
/// The folder cannot be listed, has none of them, too many, or something that could be meant to be
/// one.
pub(super) fn names(uri: &SourceUri) -> Result<Vec<String>, DataError> {
    let folder = uri.path();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => DataError::unreadable(folder, "there is no such folder", ""),
        std::io::ErrorKind::NotADirectory => {
            DataError::unreadable(folder, "it is no folder", "an address that ends with `/` names a folder")
        }
        _ => DataError::unreadable(folder, error, ""),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == DELTA_LOG {
            let problem = "it is a Delta table, whose log says which of its files count";
            return Err(DataError::unreadable(folder, problem, "export the table to Parquet files in a new folder"));
        }
        // What writers leave behind: `_SUCCESS`, `_temporary`, `.part-0.crc`.
        if matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_')) {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            let problem = format!("it has the folder `{}`, and folders in a folder are not read", of(&name));
            let hint = "name the folder with the files, or move it out";
            return Err(DataError::unreadable(folder, problem, hint));
        }
        let Some(text) = name.to_str() else {
            // Nobody could name such a file in a message or find it in a record.
            let problem = format!("the name of the file `{}` is not UTF-8", of(&name));
            return Err(DataError::unreadable(folder, problem, "rename the file"));
        };
        if !ending(uri, text).is_some_and(|found| endings(uri).iter().any(|known| found.eq_ignore_ascii_case(known))) {
            continue;
        }
        if !kind.is_file() {
            let what = if kind.is_symlink() { "a symbolic link" } else { "no regular file" };
            let problem = format!("`{}` in it is {what}", of(&name));
            return Err(DataError::unreadable(folder, problem, "put the file itself into the folder"));
        }
        names.push(text.to_owned());
        if names.len() > MAX_FILES {
            let problem = format!("it has more than {MAX_FILES} files");
            return Err(DataError::unreadable(folder, problem, "write them together into fewer files"));
        }
    }
    if names.is_empty() {
        let endings: Vec<String> = endings(uri).iter().map(|ending| format!(".{ending}")).collect();
        let problem = format!("there is no file in it whose name ends with {}", endings.join(", "));
        return Err(DataError::unreadable(folder, problem, "name a folder that has some"));
    }
    // Strings are compared by their bytes.
    names.sort_unstable();
    Ok(names)
}

fn of(name: &OsStr) -> String {
    shown(&name.to_string_lossy())
}

/// Opens a file of a folder, unless it has become a link meanwhile.
pub(super) fn open(folder: &Path, name: &str) -> Result<File, DataError> {
    let path = folder.join(name);
    let failed = |error: std::io::Error| {
        let is_full = error.raw_os_error() == Some(libc::EMFILE);
        DataError::unreadable(
            &path,
            error,
            if is_full { "raise the limit of open files: `ulimit -n 8192`" } else { "" },
        )
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| failed(error.into()))?);
    match file.metadata().map_err(failed)?.is_file() {
        true => Ok(file),
        false => Err(DataError::unreadable(&path, "it is no regular file", "put the file itself into the folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(kind: &str, folder: &Path) -> SourceUri {
        format!("{kind}:{}/", folder.display()).parse().unwrap()
    }

    #[test]
    fn files_of_the_kind_are_read_in_the_byte_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["b.csv", "B.csv", "a-10.csv", "a-9.csv.gz", "z.TSV.zst", "c.parquet", "_SUCCESS", ".b.csv.crc", "é.csv"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("_temporary")).unwrap();
        let found = names(&uri("csv", folder.path())).unwrap();
        assert_eq!(found, ["B.csv", "a-10.csv", "a-9.csv.gz", "b.csv", "z.TSV.zst", "é.csv"]);
        assert_eq!(names(&uri("parquet", folder.path())).unwrap(), ["c.parquet"]);
    }

    // invariant: A folder as a source never leads out of itself: links, and folders in it, are
    // errors.
    #[test]
    fn what_could_be_meant_and_is_not_read_is_an_error() {
        type Case = (&'static str, fn(&Path), &'static str);
        let cases: [Case; 5] = [
            ("empty", |_| {}, "there is no file in it whose name ends with .csv"),
            (
                "link",
                |folder| std::os::unix::fs::symlink("/etc/passwd", folder.join("a.csv")).unwrap(),
                "`a.csv` in it is a symbolic link",
            ),
            ("nested", |folder| std::fs::create_dir(folder.join("year=2024")).unwrap(), "the folder `year=2024`"),
            ("delta", |folder| std::fs::create_dir(folder.join("_delta_log")).unwrap(), "a Delta table"),
            ("named", |folder| std::fs::create_dir(folder.join("a.csv")).unwrap(), "the folder `a.csv`"),
        ];
        for (case, make, part) in cases {
            let folder = tempfile::tempdir().unwrap();
            make(folder.path());
            let error = names(&uri("csv", folder.path())).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("\nhint: "), "{case}: {error}");
        }
        let gone = names(&uri("csv", Path::new("/nowhere/at/all"))).unwrap_err().to_string();
        assert!(gone.contains("there is no such folder"), "{gone}");
    }

    #[test]
    fn a_file_that_became_a_link_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("a.csv")).unwrap();
        assert!(open(folder.path(), "a.csv").is_err());
    }
}
