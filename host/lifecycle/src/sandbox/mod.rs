//! The interface between a run and the sandbox that runs its components.
//!
//! `host/runtime` implements [`StageRunner`], [`ModelRunner`] and [`ComponentSource`] with Wasm
//! components. This module has only data and traits, so the flow of a run can be read and tested
//! without a Wasm engine. A sandbox makes no decisions: it calls one export under limits and checks
//! the result.

mod component;
mod context;
mod runner;
mod session;
mod view;

pub use component::{Component, Description};
pub use context::{Shelf, SourceCursor, Sources, StageContext, Tracker, stage_seed, step_seed};
pub use runner::{
    ComponentSource, DecisionInput, ModelRunner, PredictionSink, RowStream, Sandbox, StageDecision, StageRunner,
    TransformSink,
};
pub use session::{CallLimits, Isolation, ModelSession, ModelSessions};
pub use stagewright_evaluation::figure::Figure;
pub use stagewright_evaluation::report::{Check, ColumnSummary, Severity};
pub use view::{ModelParts, View};

pub use crate::limits::{Cancel, Claim, Meter};
pub use crate::observer::Level;
