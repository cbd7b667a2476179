//! Sources of data: CSV, SQLite and Parquet files, and files on HTTP servers.
//!
//! The reader of each format passes cells, by row or by column, to a `CellVisitor`: the decoder
//! behind a [`Cursor`], or [`crate::infer`]. Readers do not interpret values, which is the task of
//! [`crate::cell`], and never write: SQLite is opened read-only.
//!
//! Why push cells and pull batches from a thread: SQLite's statements borrow their connection and
//! cannot be stored in a struct without unsafe code. And the next batch is decoded while a stage
//! works on the last one.

mod address;
pub(crate) mod arrow_cells;
mod batch_sink;
pub(crate) mod catch_panic;
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
mod reading;
mod sqlite;
mod sqlite_wal;
mod visit;
mod visitor;

pub use address::SourceUri;
pub use batch_sink::BatchSink;
pub use content::{Content, ContentMemory, FileStamp};
pub(crate) use csv::CsvText;
pub(crate) use cursor::Batches;
pub use cursor::{Cursor, open};
pub(crate) use file::open_file;
pub use file_format::STANDARD_INPUT;
pub(crate) use file_format::{FileFormat, recognise};
pub use http::{HostGrant, HttpRequest, fetch};
pub use memory::InMemory;
pub(crate) use memory::Place;
pub use open_files::OpenedFiles;
pub use query::{Literal, Source};
pub(crate) use reader_thread::on_reader_thread;
pub(crate) use reading::Reading;
pub use sqlite::initialize_sqlite;
pub(crate) use visit::visit;
pub(crate) use visitor::CellVisitor;
