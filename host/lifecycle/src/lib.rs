//! The lifecycle of a model: six stages from data to a decision, and the record that a run keeps.
//!
//! A [`Run`] ingests a table, validates it, transforms it, trains a model, evaluates the model
//! beside the champion, and decides whether it becomes the champion. The stages themselves are
//! components that a [`Sandbox`](sandbox::Sandbox) runs; this crate knows no Wasm. It prepares what
//! each component sees, checks and records what the component makes, and judges the model.
//!
//! ```
//! use stagewright_lifecycle::{Request, Run, RunError};
//!
//! /// Runs a pipeline, and prints its steps and the decision on its candidate.
//! fn run(request: Request) -> Result<(), RunError> {
//!     let (summary, result) = Run::execute(request);
//!     for stage in &summary.stages {
//!         println!("{}{}", stage.name, if stage.cached { " (cached)" } else { "" });
//!     }
//!     if let Some(decision) = &summary.decision {
//!         println!("{:?}", decision.verdict);
//!     }
//!     result
//! }
//! ```
//!
//! A step of a run is a value, the [`Invocation`](invocation::Invocation). Its key covers exactly
//! what can change the step's artifacts, so steps with one key are executed once:
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use stagewright_lifecycle::invocation::{
//!     CONTRACT, FORMAT, GuestSpec, HOST_SEMANTICS, Invocation, Work,
//! };
//! use stagewright_manifest::World;
//! use stagewright_store::Digest;
//!
//! let guest = GuestSpec {
//!     world: World::Training,
//!     contract: CONTRACT.to_owned(),
//!     name: "train".to_owned(),
//!     component: Digest::of(b"the component's bytes"),
//!     stubs: BTreeSet::new(),
//!     grants: BTreeSet::new(),
//!     canonicalize_nans: true,
//!     parameters: serde_json::Map::new(),
//!     seed: 42,
//!     as_of: 0,
//!     limits: World::Training.default_limits(),
//! };
//! let step = Invocation {
//!     format: FORMAT,
//!     host: HOST_SEMANTICS,
//!     step: World::Training.into(),
//!     guest,
//!     work: Work::Training,
//!     inputs: Vec::new(),
//! };
//!
//! let mut more_time = step.clone();
//! more_time.guest.limits.cpu *= 2;
//! assert_eq!(more_time.key(), step.key());
//!
//! let mut other_seed = step.clone();
//! other_seed.guest.seed = 43;
//! assert_ne!(other_seed.key(), step.key());
//! ```
//!
//! # Map
//!
//! A module imports only from modules above it in this list.
//!
//! **Vocabulary.** [`fault`]: why a stage failed, and who can fix it; [`run_error`]: why a run
//! ended early. [`artifact_names`] and [`artifact`]: the names and types of what the stages make.
//! [`model`]: a registered model as data; [`semantic_version`]: the version number that a change
//! calls for. [`overlap`]: the test rows that a model was trained on. [`invocation`]: everything
//! that decides what a step makes; [`key`]: its digest. [`settings`]: sections of the manifest in
//! the types of other crates. [`summary`] and [`observer`]: what a run reports.
//!
//! **One stage.** [`limits`]: the limits of a stage and the budget of the process. [`sandbox`]: the
//! interface to whoever runs components. [`spans`]: tracing. [`execution`]: a step while it is
//! executed, which opens the declared inputs and collects the outputs. [`table_reading`]: tables
//! read within the limits of a stage.
//!
//! **Computation.** [`row_independence`]: the check that an answer depends on its row alone.
//! [`isolation_check`]: the check that pooled instances answer as fresh ones do.
//! [`predict`]: predictions of a registered model. [`test_rows`] and [`judgement`]: the measurement
//! of two models on the same rows, and the gates.
//!
//! **The stages.** [`stages`]: the host's work around each component, one file for each stage.
//!
//! **A run.** [`run`]: the main flow, `Run::lifecycle`, and its parts. [`plan`]: the steps that a
//! run would execute, and why. [`foreach`]: one run for each of several values or segments.
//!
//! **Afterwards.** [`reproduce`]: the steps of a run executed again and compared with the record.
//! [`lineage`]: where an artifact or a version comes from. [`portable`]: a run in one file.
//! [`code`]: the commit that a manifest comes from.

mod artifact;
pub mod artifact_names;
pub mod code;
mod execution;
pub mod fault;
pub mod foreach;
pub mod invocation;
pub mod isolation_check;
pub mod judgement;
pub mod key;
pub mod limits;
pub mod lineage;
pub mod model;
pub mod observer;
mod overlap;
pub mod plan;
pub mod portable;
pub mod predict;
pub mod reproduce;
mod row_independence;
pub mod run;
mod run_error;
pub mod sandbox;
pub mod semantic_version;
pub mod settings;
pub mod spans;
mod stages;
pub mod summary;
mod table_reading;
mod test_rows;

pub use execution::Session;
pub use run::{Request, Reuse, Run};
pub use run_error::RunError;
pub use stages::execute;
