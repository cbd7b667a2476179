//! A run: the main flow and its parts.
//!
//! The main flow is [`Run::execute`], in [`lifecycle`]. A module imports only from modules above it
//! in this list:
//!
//! - [`config`]: the keys that a run adds to its recorded configuration.
//! - [`request`]: the request for a run.
//! - [`key_lock`]: the lock of a step's key.
//! - [`artifacts`]: the artifacts that a run can read so far.
//! - [`content_memory`]: the digests of source files that did not change.
//! - [`context`]: the type [`Run`].
//! - [`base_run`]: the artifacts that a run takes from another run.
//! - [`candidate`]: the model version that training registers.
//! - [`invocation_builder`]: the [invocation](crate::invocation::Invocation) of a step.
//! - [`cache`]: results of steps that an earlier run executed.
//! - [`ended_step`], [`spans`] and [`step`]: one step, from its invocation to its record.
//! - [`schedule`]: the order of the steps.
//! - [`earlier_evaluation`]: the evaluation of a candidate that is the champion already.
//! - [`decision_lock`]: the lock under which a run decides.
//! - [`production`]: the way from a decision to production.
//! - [`outputs`]: the files that a run writes.
//! - [`summary`]: the summary of a run.
//! - [`lifecycle`]: the main flow.

pub(crate) mod artifacts;
pub(crate) mod base_run;
pub mod cache;
pub(crate) mod candidate;
pub mod config;
mod content_memory;
pub(crate) mod context;
mod decision_lock;
mod earlier_evaluation;
mod ended_step;
pub(crate) mod invocation_builder;
mod key_lock;
mod lifecycle;
pub(crate) mod outputs;
mod production;
pub(crate) mod request;
mod schedule;
pub(crate) mod spans;
mod step;
mod summary;

pub use context::Run;
pub use request::{Request, Reuse};
