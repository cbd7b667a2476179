//! The reason why a database that could be written is only read.

/// A newer format that this program may read and not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewerFormat {
    /// The format of the database.
    pub(crate) found: u32,
    /// The format of this program.
    pub(crate) known: u32,
    /// The version of the program that made the format.
    pub(crate) program: String,
}
