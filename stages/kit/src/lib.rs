//! Everything that the author of a stage in Rust uses.
//!
//! A stage is a type that implements the trait of its world, and a macro call that makes a
//! component of it:
//!
//! | world | trait | macro |
//! | --- | --- | --- |
//! | `ingestion` | [`Ingestion`] | [`ingestion!`] |
//! | `preparation` | [`Preparation`] | [`preparation!`] |
//! | `validation` | [`Validation`] | [`validation!`] |
//! | `transformation` | [`Transformation`] | [`transformation!`] |
//! | `rebalancing-transformation` | [`Transformation`], [`Rebalancing`] | [`rebalancing_transformation!`] |
//! | `training` | [`Training`] | [`training!`] |
//! | `sharded-training` | [`Training`] and [`Sharding`] | [`sharded_training!`] |
//! | `evaluation` | [`Evaluation`] | [`evaluation!`] |
//! | `promotion` | [`Promotion`] | [`promotion!`] |
//!
//! Stages read through the traits [`Table`], [`Blob`], [`Cursor`](source::Cursor) and [`Model`]. In
//! a component, the host's resources implement them; in native tests, values in memory do. This
//! crate depends on no crate of the host.
//!
//! # Examples
//!
//! A training stage that predicts the mean of the target, and a native test of it:
//!
//! ```
//! use stagewright_kit::{
//!     Batch, BlobReader, BlobWriter, DataType, Failure, FeatureMatrix, Field, MemoryTable, NoParameters, Output, Role,
//!     Settings, Table, Task, TaskKind, Training, training,
//! };
//!
//! struct Mean(f64);
//!
//! impl Training for Mean {
//!     type Parameters = NoParameters;
//!     const TASKS: &'static [TaskKind] = &[TaskKind::Regression];
//!
//!     fn train(
//!         train: &dyn Table,
//!         _validation: Option<&dyn Table>,
//!         _task: &Task,
//!         _settings: &Settings<NoParameters>,
//!         model: &mut BlobWriter,
//!     ) -> Result<(), Failure> {
//!         let target = FeatureMatrix::read(train)?.target;
//!         model.write_json(&(target.iter().sum::<f64>() / target.len() as f64))
//!     }
//!
//!     fn load(model: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
//!         model.read_json().map(Self)
//!     }
//!
//!     fn outputs(&self) -> Vec<Output> {
//!         vec![Output::Value]
//!     }
//!
//!     fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
//!         Ok(vec![self.0; rows.len()])
//!     }
//! }
//!
//! training!(Mean);
//!
//! let columns = [("x", Role::Feature), ("y", Role::Target)];
//! let columns = columns.map(|(name, role)| (Field::required(name, DataType::Float64), role));
//! let rows = Batch::new(3, vec![vec![1.0, 2.0, 3.0].into(), vec![2.0, 4.0, 9.0].into()]);
//! let table = MemoryTable::new(columns, vec![rows]);
//! let settings = Settings { parameters: NoParameters {}, seed: 1, as_of: 0 };
//!
//! let mut model = BlobWriter::new();
//! Mean::train(&table, None, &Task::Regression, &settings, &mut model)?;
//! let model = Mean::load(&mut BlobReader::new(&model.into_bytes()), &[])?;
//! assert_eq!(model.predict(Batch::new(2, vec![vec![7.0, 8.0].into()]))?, [5.0, 5.0]);
//! # Ok::<(), Failure>(())
//! ```

pub mod bindings;
mod blob;
mod column;
mod failure;
mod matrix;
pub mod packed;
pub mod parameters;
pub mod source;
mod table;
mod text_ends;
pub mod tracking;
mod view;
mod worlds;

pub use bindings::exports::stagewright::stage::assess::Assessment;
pub use bindings::exports::stagewright::stage::decide;
pub use bindings::exports::stagewright::stage::metadata::TaskKind;
pub use bindings::exports::stagewright::stage::validate::{Cell, Check, ColumnSummary, Findings};
pub use bindings::stagewright::stage::models::FeatureImportance;
pub use bindings::stagewright::stage::types::{
    BinaryClasses, DataFault, DataType, Failure, Field, Metric, Output, ParameterFault, Role, Task,
};
pub use blob::{Blob, BlobReader, BlobWriter};
pub use column::{Batch, Categorical, Column, StringView, Strings, TextView, Values, bitmap};
pub use matrix::{FeatureMatrix, matrix, numbers};
pub use ndarray;
pub use parameters::{NoParameters, Settings};
pub use schemars;
pub use serde;
pub use table::{Batches, FinishedTable, MemoryTable, ROWS_PER_BATCH, Table, TableWriter};
pub use text_ends::TextEnds;
pub use view::{BatchView, ColumnView, MatrixView, StringsView, ValuesView};
pub use worlds::{
    ANY_TASK, Assessing, Contributions, Described, Evaluation, HasMetadata, Ingestion, Inputs, LoadedModel,
    LoadedTransformation, Model, Preparation, Promotion, Rebalancing, Scale, Sharding, Stage, Training, Transformation,
    Validation,
};
