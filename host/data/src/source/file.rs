//! Opens a source's file.

use std::fs::File;
use std::path::Path;

use crate::error::DataError;

pub(crate) fn open_file(path: &Path) -> Result<File, DataError> {
    check_is_file(path)?;
    File::open(path).map_err(|error| DataError::unreadable(path, error, ""))
}

/// Refuses missing files and folders, with better messages than a reader would give.
pub(super) fn check_is_file(path: &Path) -> Result<(), DataError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => Err(DataError::unreadable(
            path,
            "it is a directory",
            "name a file in it; an address that ends with `/` reads all its files of CSV, JSON lines, Parquet or Arrow",
        )),
        // Opening a pipe could wait forever for its writer. And the file is read twice: for the
        // signature and for the rows.
        Ok(_) => {
            Err(DataError::unreadable(path, "it is no regular file", "write what comes out of it to a file first"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let here = std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default();
            let hint = if path.is_relative() { format!("the path is taken from `{here}`") } else { String::new() };
            Err(DataError::unreadable(path, "there is no such file", &hint))
        }
        Err(error) => Err(DataError::unreadable(path, error, "")),
    }
}
