//! The home of artifacts, runs and models: everything that outlives a process.
//!
//! Artifacts (tables, blobs, documents) are files under the digest of their content. The registry,
//! a SQLite or PostgreSQL database, records which run made them and which versions of models refer
//! to them. Artifacts are published before they are recorded.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow_array::{Int64Array, RecordBatch};
//! use stagewright_store::search::{Entity, Filter, OrderBy};
//! use stagewright_store::{DataType, Field, Home, MetricPoint, NewRun, Page, RunStatus, Schema, ViewType};
//!
//! let folder = tempfile::tempdir()?;
//! let home = Home::open(folder.path())?;
//!
//! // A table: staged, published, then found by its digest.
//! let schema = Schema::new(vec![Field::new("age", DataType::Int64)])?;
//! let staging = home.artifacts.stage();
//! let mut writer = staging.create_table(&schema)?;
//! let ages = Arc::new(Int64Array::from(vec![34, 57]));
//! writer.write(&RecordBatch::try_new(schema.to_arrow(), vec![ages])?)?;
//! let digest = writer.finish()?.digest();
//! staging.publish()?;
//! assert_eq!(home.artifacts.open_table(&digest)?.rows(), 2);
//!
//! // A run: begun, logged to, finished, then found by a metric.
//! let run = NewRun { experiment: "demo".into(), pipeline: "churn".into(), ..NewRun::default() };
//! let run_id = home.registry.begin_run(&run)?;
//! let auc = MetricPoint { name: "roc_auc".into(), value: 0.91, ..MetricPoint::default() };
//! home.registry.log_metric(&run_id, &auc)?;
//! home.registry.finish_run(&run_id, RunStatus::Finished, None)?;
//!
//! let filter = Filter::parse(Entity::Runs, "metrics.roc_auc > 0.9 AND status = 'FINISHED'")?;
//! let page = Page { limit: 10, offset: 0 };
//! let found = home.registry.search_runs(None, &filter, &OrderBy::default(), ViewType::Active, page)?;
//! assert_eq!(found[0].run_id, run_id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Home`]: the directory that holds the artifacts and, by default, the registry
//! - [`ArtifactStore`], [`Staging`]: opening and publishing artifacts
//! - [`Table`], [`Blob`], [`Document`]: the kinds of artifacts; [`Schema`]: the columns of a table
//! - [`Registry`]: runs, stages, models, versions, promotions, deployments, the audit
//! - [`search`]: MLflow's grammar of filters and orders
//! - [`packed`]: batches from and for untrusted guests
//! - [`StoreError`]: the error of all of these

#[cfg(not(target_endian = "little"))]
compile_error!("tables are mapped into memory as they are stored: little-endian");

mod artifact;
mod batch_fault;
mod bitmap;
mod database;
mod digest;
mod error;
mod files;
mod fsyncs;
mod home;
mod liveness;
pub mod packed;
mod random;
mod registry;
mod schema;
pub mod search;
mod table;
mod write_beneath;

pub use artifact::{
    ArtifactKind, ArtifactStore, Assembled, Blob, BlobWriter, CollectedArtifact, Document, MOST_PARTS, OpenFile,
    OpenParts, PARTS_LIFETIME, PartWriter, PartsUpload, SharedArtifact, SharedArtifacts, Staging, UnknownKind, Upload,
};
pub use batch_fault::{BatchFault, BatchProblem};
pub use database::DatabaseError;
#[cfg(feature = "postgres")]
pub use database::postgres_tls;
pub use digest::{Digest, DigestParseError};
pub use error::{DAMAGED_HINT, DISK_FULL_HINT, StoreError, is_disk_full};
pub use files::{open_regular, read_bounded, read_regular, read_regular_text, write_whole};
pub use fsyncs::fsyncs;
pub use home::Home;
pub use packed::{CANONICAL_NAN, MAX_BATCH_BYTES, MAX_BATCH_ROWS};
pub use registry::{
    AccountError, AccountsState, ArmCounts, ArtifactRecord, ArtifactUse, AuditCheck, AuditDifference, AuditEntry,
    AuditPage, AuditSearch, CACHED, CHAMPION, ChampionChange, ChampionChangeKind, ChangedDestination, ClientFile,
    CurvePoint, DataArtifact, DataKind, DataReference, DataRequirement, DataVersion, DataVersionError,
    DataVersionRecord, Dataset, DatasetInput, DatasetName, DatasetSummary, Deployment, DeploymentArm, DeploymentError,
    DeploymentRevision, DeploymentStatus, DeploymentStep, DeploymentStrategy, Experiment, ExperimentRow, FAILED,
    FINISHED, FileEntry, ForeignSource, ForeignState, Grant, HeldHook, HeldWebhook, HookProgress, Imported,
    ImportedClientRun, ImportedKind, ImportedLoggedModel, ImportedRun, ImportedVersion, InputRecord, JudgedAgainst,
    LifecycleStage, LogLine, LoggedMetric, LoggedModel, LoggedModelMetric, LoggedModelOrder, LoggedModelSearch,
    LoggedModelStatus, MAX_DATA_NAME_BYTES, MAX_OUTCOMES, MAX_OUTCOMES_AT_ONCE, MOST_COUNTED_RUNS, MetricCurve,
    MetricHistory, MetricPoint, MetricRecord, Model, ModelOutput, ModelVersion, NamedValue, NewClientRun,
    NewDeployment, NewForeignVersion, NewLoggedModel, NewModel, NewOutcome, NewRun, NewVerdict, NewVersion, NewWebhook,
    Numbering, OfDataset, OpenMode, OutcomePosting, OutcomeTally, PARENT_TAG, PERSON, Page, Permission, Promotion,
    PromotionRequest, PromotionState, QueuedEvent, RecordedOutcome, Reference, Registration, Registry, RegistryWatch,
    Remote, Resource, RowMemory, Run, RunColumns, RunId, RunInputs, RunPage, RunPoint, RunRow, RunStatus, RunTable,
    RunUpdate, RunningLine, RunningStep, SOURCE_TAG, StageRecord, Token, TokenSecret, TrackingError, UseKind, User,
    Verdict, VerdictReason, VersionManifest, VersionObject, VersionVerdict, ViewType, Visible, Webhook, WebhookAttempt,
    WebhookChange, WebhookDelivery, WebhookEvent, WebhookOutcome, WebhookSecret, check_data_name, check_file_path,
    check_upload_path, proxied_path,
};
pub use schema::{DataType, Field, MAX_NAME_BYTES, Role, Schema, SchemaError, UnknownName};
pub use table::{ExportFile, Formulas, ParquetExport, Table, TableWriter, export_bytes, export_csv, export_parquet};
pub use write_beneath::write_beneath;
