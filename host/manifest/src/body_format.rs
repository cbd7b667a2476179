//! The formats of what servers and buckets hold.

use serde::Serialize;
use stagewright_data::{Compression, Dialect};

use crate::json_source::JsonSource;

/// The default of `max-bytes`, the longest body of an HTTP response.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// The format of the body of an HTTP response.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum HttpFormat {
    /// Delimited text.
    Csv {
        /// The separator: one ASCII character.
        delimiter: char,
        /// Whether the first line names the columns.
        header: bool,
        /// How it is compressed; `None` if it is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        compression: Option<Compression>,
        /// The deviations from plain CSV.
        #[serde(flatten)]
        dialect: Dialect,
    },
    /// An object on each line.
    Jsonl {
        /// How it is compressed; `None` if it is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        compression: Option<Compression>,
    },
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC file or stream.
    Arrow,
    /// An API that answers JSON, whose records the host keeps as JSON lines.
    Json(JsonSource),
}
