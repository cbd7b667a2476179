//! The lifecycle of a model: six stages from data to a decision, and what a run records of them.
//!
//! A [`Run`] ingests a table, validates it, transforms it, trains a model, evaluates the model
//! beside the champion, and decides whether it becomes the champion. The stages themselves are
//! components that a [`sandbox`](sandbox::Sandbox) runs; this crate knows no Wasm. It prepares what
//! each component sees, checks and records what it makes, and judges the model.
//!
//! # Map
//!
//! A module imports only from modules above it in this list.
//!
//! **Vocabulary.** [`fault`]: why a stage failed, and whose fault it is; `run_error`: why a run
//! ended early. [`artifact_names`] and `artifact`: the names and types of what the stages make.
//! [`model`]: a registered model as data; [`semantic_version`]: the version number that a change
//! calls for. [`invocation`]: everything that decides what a step makes, as a value; [`key`]: its
//! digest; `overlap`: the test rows that a model has seen. [`settings`]: sections of the manifest in
//! the types of other crates. [`summary`] and [`observer`]: what a run reports.
//!
//! **One stage.** [`limits`]: the limits of a stage and the budget of the process. [`sandbox`]: the
//! interface to whoever runs components. [`spans`]: tracing. `execution`: one step while it runs,
//! which opens what its invocation declares and collects what it makes. `table_reading`: tables
//! read within the limits of a stage.
//!
//! **Computation.** `row_independence`: the check that an answer depends on its row alone.
//! [`predict`]: predictions of a registered model. `test_rows` and [`judgement`]: the measurement of
//! two models on the same rows, and the gates.
//!
//! **The stages.** `stages`: the host's work around each component, one file for each stage.
//!
//! **A run.** [`run`]: the main flow, `Run::lifecycle`, and its parts. [`plan`]: the steps that a run
//! would execute, and why. [`foreach`]: one run for each of several values or segments.
//!
//! **Afterwards.** [`reproduce`]: the steps of a run again, compared with the record. [`lineage`]:
//! where an artifact or a version comes from. [`portable`]: a run in one file. [`code`]: the commit
//! that a manifest comes from.

mod artifact;
pub mod artifact_names;
pub mod code;
mod execution;
pub mod fault;
pub mod foreach;
pub mod invocation;
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
