//! The pipeline file: reading and checking it.
//!
//! A pipeline file (docs/manifest.md) becomes a [`Manifest`], in which everything is present, typed
//! and consistent, or a [`ManifestError`], which holds everything that is wrong with file, line and
//! hint. It runs nothing and opens no data.
//!
//! ```text
//! text --document--> tree with origins --overrides--> tree --sections--> Manifest
//! ```

mod ceilings;
mod children;
mod component;
mod diagram;
mod document;
mod foreach;
mod gates;
mod graph;
mod http_grant;
mod limits;
mod lock;
mod manifest;
mod names;
mod nearest;
mod operator;
mod outputs;
mod overrides;
mod parameters;
mod presence;
mod problem;
mod production;
mod reader;
mod retry;
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

pub use ceilings::Ceilings;
pub use component::{ComponentSection, Stub};
pub use foreach::{
    ForeachSection, MAX_CHILDREN, NameCollision, NameTemplate, NullPolicy, OnFailure, Over, SEGMENTS, child_name,
    child_names,
};
pub use gates::{ChampionOverlap, ChampionUnreadable, GatesSection, NoRegression, Policy, RegisterPolicy, metrics_of};
pub use graph::{Edge, Graph, Input, Step};
pub use http_grant::HttpGrant;
pub use limits::{Limits, ResourceUsage};
pub use lock::{LOCK_FILE, Lock};
pub use manifest::{ForeachChild, MAX_WORKERS, Manifest};
pub use names::{Identifier, Name};
pub use operator::{CompilationLimits, InstanceLimits, MachineLimits, OPERATOR_FILE, Operator};
pub use outputs::OutputSection;
pub use overrides::Overrides;
pub use parameters::check_cost;
pub use problem::{ManifestError, Problem, ProblemLocation};
pub use production::{ProblemSection, ProductionSection};
pub use retry::Retry;
pub use signature::SignatureSection;
pub use source::{HttpFormat, SourceLocation, SourceSection, SqliteRows, TOKEN_PREFIX, without_query};
pub use split::SplitSection;
pub use stage::StageSection;
pub use stage_selection::StageSelection;
pub use stagewright_data::{ExtraColumns, Literal, SplitMethod, TaskKind};
pub use starter::{Starter, StarterField, write_manifest};
pub use step_id::{InvalidStepId, StepId};
pub use task::TaskSection;
pub use trust::{TrustSection, TrustedKey};
pub use units::parse_size;
pub use walls::WallPolicy;
pub use world::{Contract, Port, UnknownWorld, WORLDS, World};
