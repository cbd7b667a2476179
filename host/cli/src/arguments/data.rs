//! The arguments of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stagewright_store::{DataReference, DataVersion};

use super::json::JsonArgument;

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Records a version of data: a table that is read from a source, or the files of a folder.
    /// Data that equals the latest version is no new one.
    Add(DataAddArguments),
    /// Lists versions.
    List {
        /// The data. [default: all]
        name: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows a version: its digest, its origin, and why it has its number.
    Show {
        /// The version: `NAME`, `NAME@1`, `NAME@1.2` (the latest of those), or `NAME@1.2.0`.
        data: DataReference,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Compares two versions: rows that were added, removed and changed, cell by cell; or files.
    Diff(DataDiffArguments),
    /// Writes a version for other programs: `data_v1.2.0.parquet`, or a folder of its files.
    Export {
        /// The version: `NAME`, `NAME@1`, `NAME@1.2` (the latest of those), or `NAME@1.2.0`.
        data: DataReference,
        /// The folder to write to.
        #[arg(long, short, value_name = "FOLDER", default_value = ".")]
        output: PathBuf,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Sends versions to a remote: `s3://BUCKET/PREFIX` or a folder. Sends nothing that is there.
    Push(DataPushArguments),
    /// Brings versions from a remote, each as the bytes that were sent.
    Pull(DataPullArguments),
    /// Gives up the number of a version here. Its bytes stay until `stagewright gc`.
    Remove {
        /// The version: `NAME@1.2.0`.
        data: DataReference,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DataAddArguments {
    /// The name: letters, digits, `.`, `_` and `-`.
    pub(crate) name: String,
    /// The source: an address such as `csv:FILE` or `parquet:FILE`, or a folder of any files.
    pub(crate) source: String,
    /// The columns that identify a row. Repeatable, or joined by commas. [default: those of the
    /// latest version]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) key: Option<Vec<String>>,
    /// A manifest whose signature the table has. [default: types are inferred from all rows, and
    /// are those of the latest version where values fit]
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// The number of the version, not lower than the one that the changes ask for. [default: that
    /// one]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<DataVersion>,
    /// Writes a pointer to the version to this file, for a repository of code.
    #[arg(long, value_name = "FILE")]
    pub(crate) pointer: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct DataDiffArguments {
    /// The first version: `NAME@1.0.0`.
    pub(crate) before: DataReference,
    /// The second version: `NAME@1.1.0`, or `NAME` for the latest.
    pub(crate) after: DataReference,
    /// The columns by which rows are matched. Repeatable, or joined by commas. [default: the key of
    /// both versions; without one, whole rows are compared]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) key: Option<Vec<String>>,
    /// The number of rows or files that are shown of each kind.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(..=1000))]
    pub(crate) examples: u16,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct DataPushArguments {
    /// The data, or some versions of it: `NAME`, `NAME@1.2`. [default: all versions of all data]
    pub(crate) data: Option<DataReference>,
    /// The remote: `s3://BUCKET/PREFIX` or a folder.
    #[arg(long, value_name = "URI")]
    pub(crate) remote: String,
    /// Also compares what is there with what is here, and sends again what differs.
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct DataPullArguments {
    /// The version: `NAME` or `NAME@1.2` for the latest of those, or `NAME@1.2.0`. [default: the
    /// latest version of all data]
    #[arg(conflicts_with = "pointer")]
    pub(crate) data: Option<DataReference>,
    /// The remote: `s3://BUCKET/PREFIX` or a folder.
    #[arg(long, value_name = "URI")]
    pub(crate) remote: String,
    /// Brings the version that this pointer file names.
    #[arg(long, value_name = "FILE")]
    pub(crate) pointer: Option<PathBuf>,
    /// Brings all versions instead of the latest.
    #[arg(long, conflicts_with = "pointer")]
    pub(crate) all: bool,
    /// The most bytes to fetch: `20 GiB`.
    #[arg(long, value_name = "SIZE", default_value = "100 GiB")]
    pub(crate) max_bytes: String,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}
