//! The pipeline file: reading and checking it.
//!
//! A pipeline file (docs/manifest.md) becomes a [`Manifest`], in which everything is present, typed
//! and consistent, or a [`ManifestError`], which lists every problem with line and hint. This crate
//! runs nothing and opens no data.
//!
//! ```
//! use std::path::PathBuf;
//!
//! use stagewright_manifest::{Manifest, Overrides, World};
//!
//! let text = r#"
//!     pipeline = "churn"
//!     experiment = "churn"
//!     model = "churn-classifier"
//!     seed = 42
//!     task = { kind = "binary", target = "Churn", positive = "Yes" }
//!
//!     [sources.customers]
//!     uri = "csv:telco.csv"
//!
//!     [stages]
//!     ingestion = { component = "ingest-table", source = "customers" }
//!     validation = { component = "validate-table" }
//!     transformation = { component = "transform-table" }
//!     training = { component = "train-boosted", limits = { memory = "1 GiB" } }
//!     evaluation = { component = "evaluate-classifier" }
//!     promotion = { component = "promote-gated" }
//! "#;
//! let parse = |text: &str, overrides: &Overrides| {
//!     Manifest::parse("churn.toml", text.to_owned(), PathBuf::from("."), overrides)
//! };
//!
//! // As `stagewright run churn.toml --seed 7`.
//! let overrides = Overrides { seed: Some(7), ..Overrides::default() };
//! let manifest = parse(text, &overrides)?;
//! assert_eq!(manifest.seed, 7);
//! assert_eq!(manifest.stage(World::Training).limits.memory, 1 << 30);
//! assert_eq!(manifest.graph.steps().len(), 6);
//!
//! // An error lists all problems, each with its line and a hint.
//! let error = parse(&text.replace("seed", "sead"), &Overrides::default()).unwrap_err();
//! assert!(error.render().contains("churn.toml:5: unknown key `sead`"), "{}", error.render());
//! assert!(error.render().contains("hint: did you mean `seed`?"));
//! # Ok::<(), stagewright_manifest::ManifestError>(())
//! ```
//!
//! A text becomes a manifest in three steps:
//!
//! ```text
//! text --document--> tree with origins --overrides--> tree --sections--> Manifest
//! ```
//!
//! - `document`, `reader`, `problem`: the tree, typed reading from it, and the problems found.
//! - `manifest`: the top level. `overrides`: the changes of the command line.
//! - `task`, `source`, `signature`, `split`, `stage`, `component`, `limits`, `retry`, `http_grant`,
//!   `bucket_grant`, `gates`, `outputs`, `production`, `trust`: one section each.
//! - `world`: the contract of each kind of stage. `graph`: how stages are connected.
//! - `foreach`, `children`: runs for several values or segments. `diagram`: the graph as Mermaid.
//! - `parameters`: the check of parameters against the schema of their component.
//! - `lock`: `stagewright.lock`. `operator`, `ceilings`, `walls`, `hooks`: the operator's file.
//! - `serving`: the file of a server.
//! - `starter`: the file that `stagewright init` writes.

mod body_format;
mod bucket_grant;
mod ceilings;
mod children;
mod component;
mod database_source;
mod diagram;
mod document;
mod foreach;
mod gates;
mod graph;
mod hooks;
mod http_grant;
mod json_source;
mod limits;
mod lock;
mod manifest;
mod names;
mod nearest;
mod object_source;
mod operator;
mod outputs;
mod overrides;
mod parameters;
mod presence;
mod problem;
mod production;
mod reader;
mod requirements;
mod retry;
mod serving;
mod signature;
mod source;
mod split;
mod stage;
mod stage_selection;
mod starter;
mod step_id;
mod task;
mod trust;
mod units;
mod walls;
mod world;

pub use body_format::HttpFormat;
pub use bucket_grant::BucketGrant;
pub use ceilings::Ceilings;
pub use component::{ComponentSection, Stub};
pub use database_source::{DatabaseSource, SqliteRows};
pub use foreach::{
    ForeachSection, MAX_CHILDREN, NameCollision, NameTemplate, NullPolicy, OnFailure, Over, SEGMENTS, child_name,
    child_names,
};
pub use gates::{ChampionOverlap, ChampionUnreadable, GatesSection, NoRegression, Policy, RegisterPolicy, metrics_of};
pub use graph::{Edge, Graph, Input, Step};
pub use hooks::{HookCommand, HookRequest, HookSection, HookTarget, SecretSource};
pub use http_grant::HttpGrant;
pub use json_source::{JsonSource, NextPageSection, PagesSection};
pub use limits::{Limits, ResourceUsage};
pub use lock::{LOCK_FILE, Lock};
pub use manifest::{ForeachChild, MAX_WORKERS, Manifest};
pub use names::{Identifier, Name};
pub use object_source::ObjectSource;
pub use operator::{CompilationLimits, InstanceLimits, MachineLimits, OPERATOR_FILE, Operator};
pub use outputs::OutputSection;
pub use overrides::{Overrides, without_password};
pub use parameters::check_cost;
pub use problem::{Condition, ManifestError, Problem, ProblemLocation};
pub use production::{ProblemSection, ProductionSection};
pub use requirements::Requirements;
pub use retry::Retry;
pub use serving::{
    IsolationPolicy, LoggedFeatures, PredictionLogSection, ServedModelSection, ServerSection, ServingFile,
};
pub use signature::SignatureSection;
pub use source::{SourceLocation, SourceSection, TOKEN_PREFIX, without_query};
pub use split::SplitSection;
pub use stage::StageSection;
pub use stage_selection::StageSelection;
pub use stagewright_data::{ExtraColumns, Literal, SplitMethod, TaskKind};
pub use starter::{ContractEntry, ContractTable, Starter, StarterField, write_manifest};
pub use step_id::{InvalidStepId, StepId};
pub use task::TaskSection;
pub use trust::{TrustSection, TrustedKey};
pub use units::parse_size;
pub use walls::WallPolicy;
pub use world::{Contract, Port, UnknownWorld, WORLDS, World};
