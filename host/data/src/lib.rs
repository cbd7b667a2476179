//! Data from outside, under the host's rules.
//!
//! - `signature`: what data must look like; [`Signature`] is written in the manifest and stored in every model.
//! - `cell`, `column`: the one decoder from a foreign value to a typed column.
//! - `source`: CSV, SQLite and Parquet; [`open`] gives a [`Cursor`] of Arrow batches, [`fetch`] a file from an HTTP server.
//! - `decode`: where files are decoded: [`InProcess`], or in a process that performs a [`DecodeJob`].
//! - `request`: rows that arrive whole, as JSON or CSV, for prediction.
//! - `infer`: proposes a signature for data that nobody described.
//! - `split`: which rows train, validate and test.
//! - `target`: the target column as a task wants it.
//!
//! Nothing here knows Wasm, manifests or the registry. `docs/types.md` says how types map, for users.

mod cell;
mod column;
mod decode;
mod error;
mod infer;
mod interrupt;
mod json;
mod request;
mod signature;
mod source;
mod split;
mod target;
mod values;

pub use decode::{
    Decode, DecodeFailure, DecodeJob, DecodeLimits, FailureText, InProcess, JobKind, SPLIT, SourceRows, WallObserver,
};
pub use error::{DataError, DataFault, MAX_SHOWN_BYTES, row_text, shown};
pub use infer::{ColumnReport, Inference, InferenceOptions, TargetReport, UnusableColumn, infer, propose};
pub use interrupt::Interrupt;
pub use request::{KeptColumn, MAX_READ_TIME, Rows, RowsInput, decode_csv, decode_json, decode_rows};
pub use signature::{ExtraColumns, SchemaDifference, Signature, Strictness};
pub use source::{
    BatchSink, Content, ContentMemory, Cursor, FileStamp, HostGrant, HttpRequest, InMemory, Literal, OpenedFiles,
    STANDARD_INPUT, Source, SourceUri, fetch, initialize_sqlite, open,
};
pub use split::{
    Gather, Partition, RowHash, Select, Split, SplitCellSink, SplitMethod, SplitPlan, hash_rows, in_hash_order,
    max_split_bytes, row_key_columns, select, split_cells, split_schema,
};
pub use target::{Task, TaskKind};
