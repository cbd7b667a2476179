//! Runs, models and versions, in one database.
//!
//! [`Registry`] has its methods spread over the files of this folder, one file a subject. Every
//! change is one transaction. Artifacts are published before they are recorded, never after. Every
//! change of a model adds an entry to the audit chain, in the same transaction.
//!
//! - [`handle`]: the type itself; [`open`]: opening it; [`migrations`]: its tables;
//!   [`compatibility`]: who may use them
//! - runs: [`runs`], [`logging`], [`metric_points`], [`stages`], [`experiments`], [`imports`]
//! - what clients of the tracking server log: [`client_runs`], [`experiments_by_number`],
//!   [`metric_history`], [`run_inputs`], [`client_files`], [`logged_models`],
//!   [`logged_model_metrics`], [`logged_model_search`]
//! - models: [`models`], [`versions`], [`version_parts`], [`row_memory`], [`verdicts`],
//!   [`transitions`], [`aliases`], [`promotions`], [`retirement`], [`collections`], [`deletion`];
//!   those that clients register: [`foreign`], [`foreign_source`]
//! - what serves: [`deployments`], [`outcomes`], [`refusals`], [`watch`]
//! - who is told of changes of champions: [`hooks`]; who is told of other events: [`webhooks`]
//! - what other servers had: [`imported`]
//! - data under a name and a number: [`data_versions`]
//! - who may do what: [`accounts`]
//! - across: [`audit`], [`search`], [`bounded_page`], [`lineage`], [`reachable`] (what garbage
//!   collection must leave)
//! - below all of them: [`ids`] (rows by name), [`names`] (what may be a name), [`rows`] (many rows
//!   in one statement), [`metric`], [`tracking_error`]
//!
//! Why a database and not files? Consecutive version numbers, compare-and-set of aliases and
//! searches need transactions. SQLite needs nothing to be installed on an edge host.

mod accounts;
mod aliases;
mod audit;
mod bounded_page;
mod client_files;
mod client_runs;
mod collections;
mod compatibility;
mod data_versions;
mod deletion;
mod deployments;
mod experiment_table;
mod experiments;
mod experiments_by_number;
mod foreign;
mod foreign_source;
mod handle;
mod hooks;
mod ids;
mod imported;
mod imports;
mod judgement;
mod lifecycle_stage;
mod lineage;
mod logged_model_metrics;
mod logged_model_search;
mod logged_models;
mod logging;
mod metric;
mod metric_curve;
mod metric_history;
mod metric_points;
mod migrations;
mod models;
mod names;
mod open;
mod outcomes;
mod promotion_record;
mod promotions;
mod reachable;
mod references;
mod refusals;
mod retirement;
mod row_memory;
mod rows;
mod run_id;
mod run_inputs;
mod run_table;
mod running_rows;
mod running_steps;
mod runs;
mod search;
mod search_query;
mod stages;
mod tracking_error;
mod transitions;
mod verdicts;
mod version_manifest;
mod version_metrics;
mod version_parts;
mod versions;
mod watch;
mod webhooks;

pub use accounts::{AccountError, AccountsState, Grant, Permission, Resource, Token, TokenSecret, User, Visible};
pub use audit::{AuditCheck, AuditDifference, AuditEntry, AuditPage, AuditSearch};
pub use bounded_page::RunPage;
pub use client_files::{ClientFile, FileEntry, check_file_path, check_upload_path, proxied_path};
pub use client_runs::{NewClientRun, RunUpdate};
pub use data_versions::{
    DataArtifact, DataKind, DataReference, DataRequirement, DataVersion, DataVersionError, DataVersionRecord,
    MAX_DATA_NAME_BYTES, check_data_name,
};
pub use deployments::{
    ArmCounts, Deployment, DeploymentArm, DeploymentError, DeploymentRevision, DeploymentStatus, DeploymentStep,
    DeploymentStrategy, NewDeployment,
};
pub use experiment_table::{ExperimentRow, MOST_COUNTED_RUNS};
pub use experiments::Experiment;
pub use foreign::NewForeignVersion;
pub use foreign_source::{ForeignSource, ForeignState};
pub use handle::Registry;
pub use hooks::{ChampionChange, ChampionChangeKind, ChangedDestination, HeldHook, HookProgress};
pub use imported::{Imported, ImportedClientRun, ImportedKind, ImportedLoggedModel, ImportedVersion, Remote};
pub use imports::ImportedRun;
pub use judgement::{JudgedAgainst, Verdict};
pub use lifecycle_stage::LifecycleStage;
pub use lineage::{ArtifactUse, UseKind};
pub use logged_model_metrics::LoggedModelMetric;
pub use logged_model_search::{LoggedModelOrder, LoggedModelSearch, OfDataset};
pub use logged_models::{LoggedModel, LoggedModelStatus, NewLoggedModel};
pub use metric::{DatasetName, LoggedMetric, MetricPoint};
pub use metric_curve::{CurvePoint, MetricCurve};
pub use metric_history::{MetricHistory, RunPoint};
pub use models::{Model, NewModel};
pub use names::CHAMPION;
pub(crate) use names::random_id;
pub use open::OpenMode;
pub use outcomes::{MAX_OUTCOMES, MAX_OUTCOMES_AT_ONCE, NewOutcome, OutcomePosting, OutcomeTally, RecordedOutcome};
pub use promotion_record::{Promotion, PromotionRequest, PromotionState};
pub use references::Reference;
pub use row_memory::RowMemory;
pub use run_id::RunId;
pub use run_inputs::{Dataset, DatasetInput, DatasetSummary, ModelOutput, RunInputs};
pub use run_table::{NamedValue, PARENT_TAG, RunColumns, RunRow, RunTable};
pub use running_steps::{RunningLine, RunningStep};
pub use runs::{NewRun, Run, RunStatus};
pub use search::ViewType;
pub use search_query::Page;
pub use stages::{ArtifactRecord, CACHED, FAILED, FINISHED, InputRecord, LogLine, MetricRecord, StageRecord};
pub use tracking_error::TrackingError;
pub use verdicts::{NewVerdict, PERSON, VerdictReason, VersionVerdict};
pub use version_manifest::{VersionManifest, VersionObject};
pub use versions::{ModelVersion, NewVersion, Numbering, Registration, SOURCE_TAG};
pub use watch::RegistryWatch;
pub use webhooks::{
    HeldWebhook, NewWebhook, QueuedEvent, Webhook, WebhookAttempt, WebhookChange, WebhookDelivery, WebhookEvent,
    WebhookOutcome, WebhookSecret,
};
