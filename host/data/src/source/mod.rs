//! Data from files: what can be read, and one way to read it.
//!
//! Each kind of source has a module that pushes its cells, row by row or column by column, to a
//! `CellVisitor`: the decoder behind a [`Cursor`], or [`crate::infer`]. Sources must not interpret
//! values (that is [`crate::cell`]'s) and never write: SQLite is opened read-only.
//!
//! Pushing, and a thread that turns it into pulling, because SQLite's statements borrow their
//! connection and cannot be kept in a struct without unsafe code; and because a batch is then
//! decoded while the stage looks at the one before.

mod address;
mod catch_panic;
mod content;
mod csv;
pub(crate) mod csv_records;
mod cursor;
mod file;
mod file_format;
mod http;
mod memory;
mod open_files;
mod parquet;
mod query;
mod reader_thread;
mod sqlite;
mod sqlite_wal;
mod visit;
mod visitor;

pub use address::SourceUri;
pub use content::{Content, ContentMemory, FileStamp};
pub(crate) use csv::CsvText;
pub(crate) use cursor::Batches;
pub use cursor::{BatchSink, Cursor, open};
pub use file_format::STANDARD_INPUT;
pub(crate) use file_format::recognise;
pub use http::{HostGrant, HttpRequest, fetch};
pub use memory::InMemory;
pub(crate) use memory::Place;
pub use open_files::OpenedFiles;
pub use query::{Literal, Source};
pub(crate) use reader_thread::on_reader_thread;
pub use sqlite::initialize_sqlite;
pub(crate) use visit::visit;
pub(crate) use visitor::CellVisitor;
