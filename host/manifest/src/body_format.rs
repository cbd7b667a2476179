//! The formats of what servers and buckets hold.

use serde::Serialize;
use stagewright_data::{Compression, Dialect};

use crate::json_source::JsonSource;
use crate::reader::Item;

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

/// Reads a digest as hexadecimal.
pub(crate) fn sha256_of(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    let is_digest = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_digest {
        let hint = "write the 64 lower-case hexadecimal digits that `sha256sum` prints".to_owned();
        item.report_value(format!("`{}` is not a SHA-256", item.key), Some(hint));
    }
    is_digest.then(|| text.to_owned())
}
