//! What the author of a Rust stage uses.
//!
//! A stage is a type that implements the trait of its world and a macro call that makes a component of it:
//!
//! | world | trait | macro |
//! | --- | --- | --- |
//! | `ingestion` | [`Ingestion`] | [`ingestion!`] |
//! | `preparation` | [`Preparation`] | [`preparation!`] |
//! | `validation` | [`Validation`] | [`validation!`] |
//! | `transformation` | [`Transformation`] | [`transformation!`] |
//! | `rebalancing-transformation` | [`Transformation`] and [`Rebalancing`] | [`rebalancing_transformation!`] |
//! | `training` | [`Training`] | [`training!`] |
//! | `sharded-training` | [`Training`] and [`Sharding`] | [`sharded_training!`] |
//! | `evaluation` | [`Evaluation`] | [`evaluation!`] |
//! | `promotion` | [`Promotion`] | [`promotion!`] |
//!
//! Stages read through the traits [`Table`], [`Blob`], [`Cursor`](source::Cursor) and [`Model`], which the host's
//! resources implement in a component and values in memory implement in native tests. Depends on no host crate.

pub mod bindings;
mod blob;
mod column;
mod ends;
mod failure;
mod matrix;
pub mod packed;
pub mod parameters;
pub mod source;
mod table;
pub mod tracking;
mod worlds;

pub use bindings::exports::stagewright::stage::decide;
pub use bindings::exports::stagewright::stage::metadata::TaskKind;
pub use bindings::exports::stagewright::stage::validate::{Cell, Check, ColumnSummary, Findings};
pub use bindings::stagewright::stage::models::FeatureImportance;
pub use bindings::stagewright::stage::types::{
    BinaryClasses, DataFault, DataType, Failure, Field, Metric, Output, ParameterFault, Role, Task,
};
pub use blob::{Blob, BlobReader, BlobWriter};
pub use column::{Batch, Categorical, Column, StringView, Strings, TextView, Values, bitmap};
pub use ends::Ends;
pub use matrix::{FeatureMatrix, matrix, numbers};
pub use ndarray;
pub use parameters::{NoParameters, Settings};
pub use schemars;
pub use serde;
pub use table::{Batches, FinishedTable, MemoryTable, ROWS_PER_BATCH, Table, TableWriter};
pub use worlds::{
    ANY_TASK, Contributions, Described, Evaluation, Ingestion, Inputs, Model, Preparation, Promotion, Rebalancing,
    Scale, Sharding, Stage, Told, Training, Transformation, Validation,
};
