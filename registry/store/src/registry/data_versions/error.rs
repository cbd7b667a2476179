//! The errors of versions of data.

use crate::registry::data_versions::number::{DataReference, DataVersion};

/// Why a version of data cannot be found or recorded.
#[derive(Debug, thiserror::Error)]
pub enum DataVersionError {
    /// The text cannot be the name of data.
    #[error(
        "`{name}` cannot be the name of data\nhint: use 1 to 64 letters, digits, `.`, `_` and `-`, and begin with a letter or a digit"
    )]
    BadName {
        /// The text, cut.
        name: String,
    },
    /// The text is no number of a version.
    #[error("`{text}` is not a version of data\nhint: write three whole numbers, such as `1.2.0`")]
    BadVersion {
        /// The text, cut.
        text: String,
    },
    /// The text names no data.
    #[error("`{text}` does not name data\nhint: write `NAME`, `NAME@1`, `NAME@1.2` or `NAME@1.2.0`")]
    BadReference {
        /// The text, cut.
        text: String,
    },
    /// The registry has no data of this name.
    #[error(
        "there is no data `{name}` in this registry\nhint: `stagewright data list` shows what there is; `stagewright data pull {name} --remote REMOTE` brings it from a remote"
    )]
    NoData {
        /// The name.
        name: String,
    },
    /// The data has no such version.
    #[error(
        "data `{}` has no version {} in this registry; its latest is {latest}\nhint: `stagewright data pull {reference} --remote REMOTE` brings it from a remote", .reference.name, .reference.requirement
    )]
    NoVersion {
        /// The reference that was looked for.
        reference: DataReference,
        /// The latest version that there is.
        latest: DataVersion,
    },
    /// Another process recorded a version since the caller looked.
    #[error("data `{name}` has another latest version by now\nhint: add the data again")]
    Moved {
        /// The name.
        name: String,
    },
    /// The number is taken by other data.
    #[error(
        "version {version} of data `{name}` is other data in this registry\nhint: `stagewright data remove {name}@{version}` gives the number up here; add that data again afterwards, and it gets a new one"
    )]
    Taken {
        /// The name.
        name: String,
        /// The number.
        version: DataVersion,
    },
}
