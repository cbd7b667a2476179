//! The files of a source in memory, for a process that may open none.

/// The content of a source's files, in memory that lasts as long as the process.
#[derive(Debug)]
pub enum InMemory {
    /// A file.
    File(&'static [u8]),
    /// A database.
    Database {
        /// The file, and behind it room for what its log adds.
        memory: &'static mut [u8],
        /// How long the file is.
        length: usize,
        /// Its write-ahead log; empty if there is none.
        log: &'static [u8],
    },
}

impl InMemory {
    /// The bytes of the file.
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Database { memory, length, .. } => memory.split_at(length).0,
        }
    }

    /// The database as a reader of file and log sees it.
    ///
    /// # Errors
    /// The two do not belong together.
    pub(super) fn database(self) -> Result<&'static [u8], &'static str> {
        match self {
            Self::File(bytes) => Ok(bytes),
            Self::Database { memory, length, log } => {
                let length = super::sqlite_wal::apply(memory, length, log)?;
                Ok(memory.split_at(length).0)
            }
        }
    }
}

/// Where the bytes of a source's files are.
pub(crate) enum Place {
    /// Where its address says.
    Files,
    /// In memory.
    Memory(InMemory),
}
