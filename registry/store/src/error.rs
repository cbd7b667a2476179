//! Why the store refused or failed: one enum for artifacts and records.

use std::io;
use std::path::{Path, PathBuf};

use crate::artifact::ArtifactKind;
use crate::digest::Digest;
use crate::schema::SchemaError;

/// Why something could not be stored, found or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused an operation on a file.
    #[error("cannot {action} `{}`: {source}{}", path.display(), disk_hint(source))]
    Io {
        /// A verb: `write`, `open`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No artifact of this kind and digest is stored.
    #[error("{kind} `{digest}` is not in the store `{}`", store.display())]
    Missing {
        /// What was asked for.
        kind: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The artifact directory.
        store: PathBuf,
    },
    /// A stored file is damaged: cut off or edited.
    #[error("`{}` is damaged: {problem}\nhint: delete the file and run the pipeline again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A stored file's content is not what its digest says.
    #[error("`{}` is damaged: its content has the digest `{actual}`\nhint: delete the file and run the pipeline again", path.display())]
    DigestDiffers {
        /// The file.
        path: PathBuf,
        /// What its content has.
        actual: Digest,
    },
    /// A list of fields is no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A batch does not fit the table that it was written to.
    #[error("a batch does not fit its table: {problem}")]
    BatchMismatch {
        /// What differs.
        problem: String,
    },
    /// A null was written to a column that may not hold one.
    #[error("column `{column}`, row {row}: a null stands in a column that is not nullable")]
    Null {
        /// The column's name.
        column: String,
        /// The row of the table, from 0.
        row: u64,
    },
    /// A chunk's text, or a table's categories, are too long to store.
    #[error("column `{column}`: {problem}")]
    TextTooLong {
        /// The column's name.
        column: String,
        /// How long is too long.
        problem: String,
    },
    /// A reading starts past the end of a table.
    #[error("row {start} lies past the end of a table of {rows} rows")]
    PastEnd {
        /// The first row asked for.
        start: u64,
        /// How many there are.
        rows: u64,
    },
    /// A reading asks for a column that the table does not have.
    #[error("column {index} does not exist in a table of {columns} columns")]
    NoColumn {
        /// The index asked for.
        index: usize,
        /// How many there are.
        columns: usize,
    },
    /// A table could not be written in another format.
    #[error("cannot export to `{}`: {problem}", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// What its writer said.
        problem: String,
    },
    /// SQLite refused an operation.
    #[error("cannot {action} in `{}`: {source}{}", path.display(), database_hint(source))]
    Database {
        /// What was tried: `record a stage`.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database was written by a newer Stagewright.
    #[error("`{}` has format {found}; this program knows formats up to {known}\nhint: install a newer Stagewright, or use another STAGEWRIGHT_HOME", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// A row of the database holds what nothing ever wrote there.
    #[error("`{}` is damaged: {problem}", path.display())]
    BadRecord {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No run has this identifier or prefix.
    #[error("no run `{id}`\nhint: `stagewright runs` lists them")]
    NoRun {
        /// What was asked for.
        id: String,
    },
    /// Several runs have this prefix.
    #[error("`{prefix}` stands for {count} runs\nhint: give more digits")]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// How many runs begin with it.
        count: usize,
    },
    /// A run of this identifier exists already.
    #[error("run `{id}` exists already")]
    RunExists {
        /// The identifier.
        id: String,
    },
    /// The run has ended; nothing can be added to it.
    #[error("run `{id}` is {status}, not running")]
    RunEnded {
        /// The run.
        id: String,
        /// Its status.
        status: String,
    },
    /// The text is not a run's identifier.
    #[error("`{text}` is not a run identifier\nhint: a run identifier has 32 lower-case hex digits")]
    BadRunId {
        /// What was given.
        text: String,
    },
    /// A name is not an identifier.
    #[error("`{name}` is not a valid {what} name\nhint: use 1 to 128 letters, digits, `.`, `_` or `-`")]
    BadName {
        /// `model`, `alias`.
        what: &'static str,
        /// What was given, at most its first 200 characters.
        name: String,
    },
    /// No model has this name.
    #[error("no model `{model}`\nhint: `stagewright models` lists them")]
    NoModel {
        /// The model's name.
        model: String,
    },
    /// The model has no such version.
    #[error("model `{model}` has no version {version}")]
    NoVersion {
        /// The model's name.
        model: String,
        /// The version asked for.
        version: u32,
    },
    /// A version was judged before.
    #[error("version {version} of model `{model}` is {verdict} already")]
    AlreadyJudged {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// Its verdict.
        verdict: String,
    },
    /// An alias was moved by somebody else since it was looked at.
    #[error("alias `{alias}` of model `{model}` points to {}, not to {}\nhint: another run moved it; look at it and try again", version_text(*.actual), version_text(*.expected))]
    AliasMoved {
        /// The model's name.
        model: String,
        /// The alias.
        alias: String,
        /// Where the caller believed it to point.
        expected: Option<u32>,
        /// Where it points.
        actual: Option<u32>,
    },
    /// Only approved versions may become champion.
    #[error("version {version} of model `{model}` cannot become `{alias}`: it is {state}")]
    NotApproved {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The alias.
        alias: String,
        /// `rejected` or `not judged`.
        state: String,
    },
}

/// What to do about a disk that is full: the system's error, a quota's, or that of a limit on files.
fn disk_hint(error: &io::Error) -> &'static str {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => "\nhint: free some space on that disk, or use another",
        _ => "",
    }
}

/// The same, of a database. SQLite tells a full disk as such only where it writes rows.
fn database_hint(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, SystemIoFailure};
    match error.sqlite_error_code() {
        Some(DiskFull) => "\nhint: free some space on that disk, or use another",
        Some(CannotOpen | SystemIoFailure) => {
            "\nhint: see that the disk has free space and no errors, and that you may write there"
        }
        _ => "",
    }
}

fn version_text(version: Option<u32>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}

/// Wraps an I/O error with what was tried on which file.
pub(crate) fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}
