//! The files of a source in memory, for a process that may open none.

use std::io::Read;

use crate::error::DataError;

/// The content of a source's files, in memory that lives as long as the process.
#[derive(Debug)]
pub enum InMemory {
    /// A file.
    File(&'static [u8]),
    /// The files of a folder in their order, each with its name.
    Folder(Vec<(String, &'static [u8])>),
    /// A database.
    Database {
        /// The file, followed by room for the pages that its log adds.
        memory: &'static mut [u8],
        /// The length of the file.
        length: usize,
        /// Its write-ahead log; empty if there is none.
        log: &'static [u8],
    },
}

impl InMemory {
    /// Returns the bytes of the file.
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Database { memory, length, .. } => memory.split_at(length).0,
            // A folder is read file by file.
            Self::Folder(_) => &[],
        }
    }

    /// Returns the database with the pages of its log applied.
    ///
    /// # Errors
    /// File and log do not belong together.
    pub(super) fn database(self) -> Result<&'static [u8], &'static str> {
        match self {
            Self::File(bytes) => Ok(bytes),
            Self::Folder(_) => Err("it is a folder"),
            Self::Database { memory, length, log } => {
                let length = super::sqlite_wal::apply(memory, length, log)?;
                Ok(memory.split_at(length).0)
            }
        }
    }
}

/// Where the files of a source are.
pub(crate) enum Place {
    /// At the paths of the address.
    Files,
    /// In memory.
    Memory(InMemory),
    /// A text that is read once.
    Stream(Box<dyn Read>),
}

impl Place {
    /// Returns the text of a file that is not at a path.
    ///
    /// # Errors
    /// It is at one.
    pub(crate) fn text(self) -> Result<Box<dyn Read>, DataError> {
        match self {
            Self::Files => Err(DataError::Host("a text without a place".to_owned())),
            Self::Memory(memory) => Ok(Box::new(memory.bytes())),
            Self::Stream(text) => Ok(text),
        }
    }
    /// Returns the error for a format that is not read from its first byte to its last.
    pub(crate) fn only_text() -> DataError {
        DataError::Host("only text can be read as it comes".to_owned())
    }
}
