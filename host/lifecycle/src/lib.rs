//! What a run is: the six stages in order, their artifacts, their gates. Knows no Wasm.
//!
//! - [`run`]: the main flow. [`invocation`]: a step as a value, and its outcome; `wire` makes them. `made`: what later steps are wired from.
//!   `bench`: a step at work, which opens what its invocation declares. `stages`: what the host does around each component.
//!   [`reproduce`]: the steps of a run again, and where they differ; [`portable`]: a run in one
//!   file. `candidate`: the version that training registers; `production`: from a decision to
//!   champion.
//! - `artifact`: the names of what stages make, each with its type.
//! - [`sandbox`]: what the flow asks of whoever runs components. [`fault`]: what can go wrong there, and whose fault it is.
//! - [`model`]: a registered model as data. [`semantic_version`]: what a new one changes. [`predict`]: new rows through one.
//! - `purity`: whether answers for a row hang on nothing but the row. [`wall_clock`]: how a stage's
//!   time is counted; [`cpu_clock`]: a thread's. [`watch`]: the host's own work for a stage, as part of
//!   the stage's budget. [`foreach`]: one run for each of several values or segments.
//! - [`budget`]: what all runs of a process may do at once. [`summary`]: what a run was.
//!   [`observer`]: who watches it; [`spans`]: where its time goes.

mod artifact;
pub mod artifact_names;
mod bench;
mod candidate;
pub mod code;
mod contents;
pub mod fault;
mod flow;
pub mod foreach;
pub mod invocation;
pub mod judgement;
pub mod key;
pub mod limits;
pub mod lineage;
mod made;
mod measured;
pub mod model;
pub mod observer;
mod outputs;
pub mod plan;
pub mod portable;
pub mod predict;
mod production;
mod purity;
pub mod reproduce;
pub mod run;
mod run_error;
pub mod sandbox;
pub mod semantic_version;
pub mod settings;
pub mod spans;
mod stages;
pub mod summary;
mod turn;
mod upon;
mod wire;

pub use bench::Session;
pub use run::cache::Reuse;
pub use run::{Request, Run, RunError};
pub use stages::execute;
