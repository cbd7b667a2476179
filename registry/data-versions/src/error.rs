//! The errors of versions of data, beside those of the store and of remotes.

use std::io;
use std::path::PathBuf;

use stagewright_promotion::PromotionError;
use stagewright_store::{DataReference, DataVersion, DataVersionError, Digest, StoreError};
use stagewright_text::Untrusted;

/// Why data cannot be added, compared, exported, pushed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum DataVersionsError {
    /// The store or the registry failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The remote failed.
    #[error(transparent)]
    Remote(#[from] PromotionError),
    /// A version is recorded, and its bytes are on another machine.
    #[error(
        "the bytes of data `{reference}` are not in this home\nhint: `stagewright data pull {reference} --remote REMOTE` brings them, once they were pushed from where they are"
    )]
    NotHere {
        /// The version.
        reference: DataReference,
    },
    /// A table lacks a column of the key.
    #[error(
        "{table} has no column `{}`, which is part of the key\nhint: its columns are {columns}",
        Untrusted::new(column)
    )]
    NoKeyColumn {
        /// Which table: `the data`, `customers@1.0.0`.
        table: String,
        /// The column.
        column: String,
        /// The columns that there are, cut.
        columns: String,
    },
    /// A column of the key has another type in the other table.
    #[error(
        "column `{}`, which is part of the key, is {before} in one version and {after} in the other, so rows cannot be matched\nhint: name another key with --key",
        Untrusted::new(column)
    )]
    KeyType {
        /// The column.
        column: String,
        /// Its type before.
        before: String,
        /// Its type after.
        after: String,
    },
    /// The key does not identify a row.
    #[error(
        "the key is not unique in {table}: {} on more than one row, such as {example}\nhint: name more columns with --key, or none to compare whole rows",
        keys(*.count)
    )]
    KeyRepeated {
        /// Which table.
        table: String,
        /// The number of keys that are on more than one row.
        count: u64,
        /// One of them with two of its rows, escaped and cut.
        example: String,
    },
    /// One version is a table and the other is files.
    #[error("{before} is a {before_kind} and {after} is {after_kind}, which cannot be compared")]
    Kinds {
        /// The first version.
        before: DataReference,
        /// Its kind.
        before_kind: &'static str,
        /// The second version.
        after: DataReference,
        /// Its kind.
        after_kind: &'static str,
    },
    /// The number that was asked for is too low.
    #[error(
        "version {asked} is lower than {least}, which the changes ask for: {reasons}\nhint: leave --version out, or name {least} or a higher one"
    )]
    TooLow {
        /// The number that was asked for.
        asked: DataVersion,
        /// The lowest number.
        least: DataVersion,
        /// Why it is the lowest.
        reasons: String,
    },
    /// A path cannot be part of a folder of files.
    #[error("`{path}` cannot be kept: {problem}")]
    BadPath {
        /// The path, escaped and cut.
        path: String,
        /// The problem, with a remedy.
        problem: String,
    },
    /// An operation on a file failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// A verb: `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Something recorded or stored is not what it says.
    #[error("{what} is damaged: {problem}")]
    Damaged {
        /// Its name for people.
        what: String,
        /// The problem, with a remedy.
        problem: String,
    },
    /// The remote has no such version.
    #[error("`{remote}` has no version of data `{reference}`{}\nhint: `stagewright data push {} --remote REMOTE` sends one, where it is", listed(.there), .reference.name)]
    NotAtRemote {
        /// The remote.
        remote: String,
        /// The reference that was looked for.
        reference: DataReference,
        /// The versions that are there, by number.
        there: Vec<DataVersion>,
    },
    /// The remote has other data under the number.
    #[error(
        "version {version} of data `{name}` is other data at `{remote}`: {theirs}, and here {ours}\nhint: `stagewright data remove {name}@{version}` gives the number up here, `stagewright data pull {name} --remote REMOTE` brings theirs; then add your data again, and it gets the next number"
    )]
    TakenAtRemote {
        /// The remote.
        remote: String,
        /// The name.
        name: String,
        /// The number.
        version: DataVersion,
        /// The digest there.
        theirs: Digest,
        /// The digest here.
        ours: Digest,
    },
    /// Others changed the index again and again.
    #[error("others push `{name}` to `{remote}` all the time\nhint: push again; what was uploaded is kept")]
    Crowded {
        /// The remote.
        remote: String,
        /// The name.
        name: String,
    },
    /// The remote asks for more than the caller allows.
    #[error(
        "data `{reference}` at `{remote}` has {bytes} bytes, and at most {allowed} are fetched\nhint: allow more with --max-bytes"
    )]
    TooLarge {
        /// The remote.
        remote: String,
        /// The version.
        reference: DataReference,
        /// The bytes to fetch.
        bytes: u64,
        /// The most that are fetched.
        allowed: u64,
    },
}

impl From<DataVersionError> for DataVersionsError {
    fn from(error: DataVersionError) -> Self {
        StoreError::from(error).into()
    }
}

/// Wraps an I/O error with the action and the file.
pub(crate) fn io_error(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> DataVersionsError {
    let path = path.into();
    move |source| DataVersionsError::Io { action, path, source }
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key is".to_owned() } else { format!("{count} keys are") }
}

fn listed(versions: &[DataVersion]) -> String {
    const SHOWN: usize = 10;
    if versions.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = versions.iter().rev().take(SHOWN).map(ToString::to_string).collect();
    let more = if versions.len() > SHOWN { ", ..." } else { "" };
    format!(": it has {}{more}", shown.join(", "))
}
