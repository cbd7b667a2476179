//! Tables: columns in files, read without copying.
//!
//! A table is an uncompressed Arrow IPC file of one record batch per chunk, mapped into memory.
//! Categorical columns are stored as int32 codes, with the table's list of categories in the
//! footer: IPC files cannot grow a dictionary, and the list is known only at the end. The digest
//! covers the logical content (docs/formats/table-digest.md), so that it depends neither on how
//! rows arrived nor on what a version of Arrow writes.
//!
//! - [`writer`]: [`TableWriter`]; [`chunk`]: the rows that it collects; [`hashing`]: its threads
//! - [`reader`]: [`Table`]; [`mod@file`]: its mapped file
//! - [`column_digest`], [`column_message`], [`sha256_lanes`]: the digest
//! - [`export`]: CSV and Parquet

mod chunk;
mod column_digest;
mod column_message;
mod export;
mod file;
mod hashing;
mod reader;
mod sha256_lanes;
mod writer;

pub use export::{ExportFile, Formulas, ParquetExport, export_bytes, export_csv, export_parquet};
pub use reader::Table;
pub use writer::TableWriter;
