//! Rows to predict, in pieces, with columns that are passed through to the output.
//!
//! JSON, CSV and every source pass through the decoder that training used. The reader waits until a
//! piece is taken before it reads far ahead, so that a table of any length passes through bounded
//! memory. JSON may be an array of objects, one object, or a sequence of objects (JSON Lines).

mod json_rows;
mod json_values;
mod pieces;
mod read;

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::DataError;
use crate::kept::RowsPiece;
use crate::source::{Compression, CsvOptions, Source};

pub(crate) use json_rows::visit_json;
pub(crate) use pieces::Pieces;
pub(crate) use read::open;

/// The longest time without a row of a source, the same as for ingestion as a whole by default.
pub const MAX_READ_TIME: Duration = Duration::from_secs(15 * 60);

/// The rows to predict.
#[derive(Debug)]
pub enum RowsInput {
    /// A file or a table, as for training.
    Source(Source),
    /// A file of JSON.
    Json(PathBuf),
    /// Text that can be read only once, such as a pipe's.
    Text(RowsText),
}

/// Text of rows to predict.
pub struct RowsText {
    /// Its name in errors.
    pub name: String,
    /// Its format.
    pub format: TextFormat,
    /// The text. Reading it may block.
    pub text: Box<dyn Read + Send>,
}

impl fmt::Debug for RowsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsText").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

/// The format of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// JSON.
    Json,
    /// An object on each line.
    Jsonl {
        /// How it is compressed.
        compression: Compression,
    },
    /// Delimited text.
    Csv {
        /// How it is written.
        options: CsvOptions,
    },
}

/// Rows to predict, read once from the first on.
pub trait PredictionRows: Send {
    /// Returns the next rows; `None` at the end.
    ///
    /// # Errors
    /// [`DataError::Fault`] with column, row and value for a value that does not fit;
    /// [`DataError::Interrupted`]; any error of reading the input. The rows are then at their end.
    fn next(&mut self) -> Result<Option<RowsPiece>, DataError>;
}
