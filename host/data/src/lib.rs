//! Data from outside: reading, decoding, splitting.
//!
//! Sources are CSV, SQLite and Parquet files. Every value passes through one decoder, under a
//! [`Signature`], so that it means the same in training and in prediction. This crate knows neither
//! Wasm nor manifests nor the registry. `docs/types.md` lists how types are converted.
//!
//! ```
//! use stagewright_data::{Interrupt, Signature, Source, Strictness, decode_json, open};
//! use stagewright_store::{DataType, Field, Role};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("churn.csv");
//! std::fs::write(&file, "id,tenure,charges,churn\nC-1,1,29.85,No\nC-2,34,,Yes\n")?;
//!
//! let signature = Signature::new(vec![
//!     Field::new("id", DataType::Utf8).with_role(Role::Identifier),
//!     Field::new("tenure", DataType::Int64),
//!     Field::new("charges", DataType::Float64).with_nullable(true),
//!     Field::new("churn", DataType::Categorical).with_role(Role::Target),
//! ])?;
//!
//! // Training reads a source in Arrow batches.
//! let source = Source::new(format!("csv:{}", file.display()).parse()?);
//! let mut cursor = open(&source, &signature, Strictness::Ingest, &Interrupt::never())?;
//! let batch = cursor.next(1000)?.expect("two rows");
//! assert_eq!((batch.num_rows(), batch.num_columns()), (2, 4));
//!
//! // Prediction decodes the features alone, by the same rules.
//! let batch = decode_json(br#"{"tenure": 12, "charges": null}"#, &signature, Strictness::Predict)?;
//! assert_eq!((batch.num_rows(), batch.num_columns()), (1, 2));
//!
//! // A value that does not fit is an error with its place.
//! let error = decode_json(br#"{"tenure": 1.5, "charges": 3}"#, &signature, Strictness::Predict);
//! let message = error.unwrap_err().to_string();
//! assert_eq!(message, "column `tenure`, data row 1: `1.5` is not an int64: it has a fraction");
//! # Ok(())
//! # }
//! ```
//!
//! - `signature`: the columns that data must have. A signature is part of every model.
//! - `cell`, `column`, `decoder`, `values`: from a value of a source to an Arrow column and back.
//! - `source`: CSV, SQLite and Parquet files ([`open`] returns a [`Cursor`] of batches), and
//!   downloads over HTTP ([`fetch`]).
//! - `decode`: decoding in this process ([`InProcess`]) or in one that performs a [`DecodeJob`].
//! - `prediction`, `kept`, `kept_builder`: rows to predict, in pieces, with columns that are passed
//!   through.
//! - `rows`, `json`: rows that arrive at once; `request`: as one batch; [`RequestDecoder`]: for a
//!   server, prepared once.
//! - `infer`: a proposed signature for a source ([`infer`], [`propose`]).
//! - `split`: which rows are for training, validation and test ([`SplitPlan`]).
//! - `target`: the classes of the target, and its encoding ([`Task`]).
//! - `interrupt`: stops readers and charges their CPU time.

mod cell;
mod column;
mod decode;
mod decoder;
mod dialect;
mod error;
mod infer;
mod interrupt;
mod json;
mod kept;
mod kept_builder;
mod prediction;
mod request;
mod request_decoder;
mod rows;
mod signature;
mod source;
mod split;
mod target;
mod values;

pub use decode::{
    Decode, DecodeFailure, DecodeJob, DecodeLimits, FailureText, InProcess, JobKind, SPLIT, SourceRows, WallObserver,
};
pub use dialect::{Dialect, Encoding, Quote};
pub use error::{DataError, DataFault, MAX_SHOWN_BYTES, row_text, shown};
pub use infer::{
    ColumnReport, FoundDialect, Inference, InferenceOptions, TargetReport, UnusableColumn, infer, propose,
};
pub use interrupt::Interrupt;
pub use kept::{KeptColumn, KeptKind, KeptValues, RowsPiece};
pub use prediction::{MAX_READ_TIME, PredictionRows, RowsInput, RowsText, TextFormat};
pub use request::{decode_csv, decode_json};
pub use request_decoder::{
    DecodedRequest, RequestDecoder, RequestFault, RequestOptions, RowError, UnknownFields, json_elements, json_members,
};
pub use rows::JsonColumn;
pub use signature::{ExtraColumns, SchemaDifference, Signature, Strictness};
pub use source::{
    BatchSink, Compression, Content, ContentMemory, CsvOptions, Cursor, FetchedPage, FileStamp, HostGrant, HttpRequest,
    InMemory, JsonPages, Literal, NextPage, OpenedFile, OpenedFiles, PackWriter, Password, PostgresAddress,
    PostgresRequest, PostgresRows, STANDARD_INPUT, Secret, Source, SourceUri, SslMode, TableName, check_granted, fetch,
    fetch_json, fetch_postgres, granted_addresses, initialize_sqlite, inner_ending, is_postgres, needed_grants, open,
    without_password,
};
pub use split::{
    Gather, Partition, RowHash, Select, Split, SplitCellSink, SplitMethod, SplitPlan, hash_rows, in_hash_order,
    max_split_bytes, row_key_columns, select, split_cells, split_schema,
};
pub use target::{Task, TaskKind};
