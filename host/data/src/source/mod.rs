//! Sources of data: CSV, JSON lines, Parquet, Arrow and SQLite files, and files on servers.
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
pub(crate) mod arrow_ipc;
mod arrow_rows;
mod batch_sink;
mod broken_text;
pub(crate) mod catch_panic;
mod compression;
mod content;
mod csv;
mod csv_options;
pub(crate) mod csv_records;
mod cursor;
mod encoded;
mod file;
mod file_format;
mod folder_source;
mod host_grant;
mod http;
mod joined;
mod jsonl;
mod lines;
mod memory;
mod open_files;
mod pack;
mod parquet;
mod postgres;
mod query;
mod reader_thread;
mod reading;
mod sqlite;
mod sqlite_wal;
mod visit;
mod visitor;

pub use address::SourceUri;
pub use batch_sink::BatchSink;
pub use compression::{Compression, inner_ending};
pub use content::{Content, ContentMemory, FileStamp};
pub(crate) use csv::CsvText;
pub use csv_options::CsvOptions;
pub(crate) use cursor::Batches;
pub use cursor::{Cursor, open};
pub(crate) use file::open_file;
pub use file_format::STANDARD_INPUT;
pub(crate) use file_format::{FileFormat, recognise};
pub use host_grant::HostGrant;
pub use http::{FetchedPage, HttpRequest, JsonPages, NextPage, check_granted, fetch, fetch_json, granted_addresses};
pub use memory::InMemory;
pub(crate) use memory::Place;
pub use open_files::{OpenedFile, OpenedFiles};
pub use pack::PackWriter;
pub use postgres::{
    Password, PostgresAddress, PostgresRequest, PostgresRows, Secret, SslMode, TableName, fetch_postgres, is_postgres,
    needed_grants, without_password,
};
pub use query::{Literal, Source};
pub(crate) use reader_thread::on_reader_thread;
pub(crate) use reading::Reading;
pub use sqlite::initialize_sqlite;
pub(crate) use visit::{head, visit};
pub(crate) use visitor::{CellVisitor, Wanted};
