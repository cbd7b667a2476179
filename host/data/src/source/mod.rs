//! Data from files: what can be read, and one way to read it.
//!
//! Each kind of source has a module that pushes its cells, row by row or column by column, to a [`CellVisitor`]: the decoder
//! behind a [`Cursor`], or [`crate::infer`]. Sources must not interpret values (that is [`crate::cell`]'s) and never write:
//! SQLite is opened read-only.
//!
//! Pushing, and a thread that turns it into pulling, because SQLite's statements borrow their connection and cannot be kept in a
//! struct without unsafe code; and because a batch is then decoded while the stage looks at the one before.

mod address;
mod apart;
mod content;
mod csv;
mod cursor;
mod guarded;
mod http;
mod log;
mod memory;
mod opened;
mod parquet;
mod recognise;
pub(crate) mod records;
mod sqlite;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;

pub use address::SourceUri;
pub(crate) use apart::apart;
pub use content::{Content, ContentMemory, FileStamp};
pub(crate) use csv::CsvText;
pub(crate) use cursor::Batches;
pub use cursor::{BatchSink, Cursor, open};
pub use http::{HostGrant, HttpRequest, fetch};
pub use memory::InMemory;
pub use opened::OpenedFiles;
pub use recognise::STANDARD_INPUT;
pub(crate) use recognise::recognise;
pub use sqlite::initialize_sqlite;

/// A value bound to a query's `?`. It never becomes part of the query's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// Bound as 0 or 1.
    Boolean(bool),
    /// Bound as an integer.
    Integer(i64),
    /// Bound as a real.
    Float(f64),
    /// Bound as text.
    Text(String),
}

/// A source: an address, and for databases what to ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// Where the data is.
    pub uri: SourceUri,
    /// For SQLite instead of a table: one `SELECT`, with a `?` for each parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Values for the query's `?`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Literal>,
}

impl Source {
    /// A whole file or table.
    pub fn new(uri: SourceUri) -> Self {
        Self { uri, query: None, parameters: Vec::new() }
    }

    /// What a query gives.
    #[must_use]
    pub fn with_query(mut self, query: impl Into<String>, parameters: Vec<Literal>) -> Self {
        self.query = Some(query.into());
        self.parameters = parameters;
        self
    }

    /// Refuses a query for a source that answers none.
    fn check_query(&self) -> Result<(), DataError> {
        let has_query = self.query.is_some() || !self.parameters.is_empty();
        if has_query && !matches!(self.uri, SourceUri::Sqlite { .. }) {
            return Err(DataError::plan(
                format!("source `{}` has a query, which only databases answer", self.uri),
                "remove `query` and `parameters`",
            ));
        }
        Ok(())
    }
}

/// Who takes the cells of a source.
pub(crate) trait CellVisitor {
    /// Called once, before any cell, with the names of the source's columns. Returns which of them it wants, by place.
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError>;

    /// Called for each row (or for a column of several rows, before the next column) with the number of a column among those
    /// wanted.
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>>;

    /// Called when `rows` rows are complete. Returns whether it wants more.
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError>;

    /// At most how many rows should come column by column.
    fn rows_at_once(&self) -> usize;
}

/// Where the bytes of a source's files are.
pub(crate) enum Place {
    /// Where its address says.
    Files,
    /// In memory.
    Memory(InMemory),
}

/// Pushes a source's cells until it ends or the visitor has enough. Call it on a thread that nobody
/// has to wait for ([`apart`]), or in a process that can be killed: a database may be busy for
/// hours without looking at the interrupt.
///
/// # Errors
/// Any [`DataError`]; [`DataError::Interrupted`] when told to stop.
pub(crate) fn visit(
    source: &Source,
    place: Place,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    source.check_query()?;
    match &source.uri {
        SourceUri::Csv { path, delimiter, header } => {
            let delimiter = delimiter.unwrap_or_else(|| SourceUri::delimiter_by_ending(path));
            let name = path.display().to_string();
            let text: Box<dyn Read> = match place {
                Place::Files => Box::new(open_file(path)?),
                Place::Memory(memory) => Box::new(memory.bytes()),
            };
            CsvText::new(text, name, delimiter, header.unwrap_or(true))?.visit(interrupt, visitor)
        }
        SourceUri::Sqlite { path, table } => {
            if matches!(place, Place::Files) {
                check_is_file(path)?;
            }
            sqlite::visit(path, place, table.as_deref(), source, interrupt, visitor)
        }
        SourceUri::Parquet { path } => {
            let pages = match place {
                Place::Files => parquet::Pages::File(open_file(path)?),
                Place::Memory(memory) => parquet::Pages::Memory(memory.bytes().into()),
            };
            parquet::visit(path, pages, interrupt, visitor)
        }
    }
}

fn open_file(path: &Path) -> Result<File, DataError> {
    check_is_file(path)?;
    File::open(path).map_err(|error| DataError::unreadable(path, error, ""))
}

/// Tells a missing file and a folder apart from what a reader would say about them.
fn check_is_file(path: &Path) -> Result<(), DataError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => Err(DataError::unreadable(path, "it is a directory", "name a file in it")),
        // Opening a pipe waits for its writer, for ever; and the signature and the rows are read one after the other.
        Ok(_) => {
            Err(DataError::unreadable(path, "it is no regular file", "write what comes out of it to a file first"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let here = std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default();
            let hint = if path.is_relative() { format!("the path is taken from `{here}`") } else { String::new() };
            Err(DataError::unreadable(path, "there is no such file", &hint))
        }
        Err(error) => Err(DataError::unreadable(path, error, "")),
    }
}
