//! What the lifecycle asks of a sandbox, in the lifecycle's own words.
//!
//! `host/runtime` implements [`StageRunner`], [`ModelRunner`] and [`ComponentSource`] with Wasm
//! components. Everything here is plain data or a trait, so that the flow of a run can be read, and
//! tested, without a Wasm engine in mind. A sandbox never decides anything: it calls one export
//! under limits and checks what comes back.

mod component;
mod context;
mod runner;
mod view;

pub use component::{Component, Description};
pub use context::{Shelf, SourceCursor, Sources, StageContext, Tracker, stage_seed, step_seed};
pub use runner::{ComponentSource, DecisionInput, ModelRunner, Sandbox, StageDecision, StageRunner, TransformSink};
pub use stagewright_evaluation::report::{Check, ColumnSummary};
pub use view::{ModelParts, View};

pub use crate::limits::{Cancel, Claim, Meter};
pub use crate::observer::Level;
