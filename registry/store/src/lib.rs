//! What lasts: artifacts by content, runs, models.
//!
//! - [`schema`](Schema): names, types and roles of columns
//! - [`packed`]: batches from and to an untrusted guest
//! - [`ArtifactStore`]: tables, blobs and documents by content
//! - [`Registry`]: runs, stages, models, aliases
//! - [`search`]: MLflow's grammar for filters and orders
//! - [`Home`]: the directory that holds it all

#[cfg(not(target_endian = "little"))]
compile_error!("tables are mapped into memory as they are stored: little-endian");

mod artifact;

mod bitmap;
mod database;
mod digest;
mod error;
mod fault;
mod files;
mod fsyncs;
mod home;
mod liveness;
pub mod packed;
mod registry;
mod schema;
pub mod search;
mod table;
mod write_beneath;

pub use artifact::{
    ArtifactKind, ArtifactStore, Blob, BlobWriter, CollectedArtifact, Document, SharedArtifact, SharedArtifacts,
    Staging, UnknownKind,
};
pub use database::DatabaseError;
pub use digest::{Digest, DigestParseError};
pub use error::{DISK_FULL_HINT, StoreError, is_disk_full};
pub use fault::{BatchFault, BatchProblem};
pub use files::{open_regular, read_bounded, read_regular, read_regular_text, write_whole};
pub use fsyncs::fsyncs;
pub use home::Home;
pub use packed::{CANONICAL_NAN, MAX_BATCH_BYTES, MAX_BATCH_ROWS};
pub use registry::{
    ArtifactRecord, ArtifactUse, AuditCheck, AuditDifference, AuditEntry, CACHED, CHAMPION, Experiment, FAILED,
    FINISHED, ImportedRun, InputRecord, JudgedAgainst, LifecycleStage, LogLine, LoggedMetric, MetricPoint,
    MetricRecord, Model, ModelVersion, NewModel, NewRun, NewVerdict, NewVersion, Numbering, PERSON, Page, Promotion,
    PromotionRequest, PromotionState, Reference, Registration, Registry, RowMemory, Run, RunId, RunStatus, SOURCE_TAG,
    StageRecord, UseKind, Verdict, VerdictReason, VersionVerdict, ViewType,
};
pub use schema::{DataType, Field, MAX_NAME_BYTES, Role, Schema, SchemaError, UnknownName};
pub use table::{Formulas, Table, TableWriter, export_bytes, export_csv, export_parquet};
pub use write_beneath::write_beneath;
