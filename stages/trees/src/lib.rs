//! Histogram trees: random forests and gradient boosting over binned features, for one thread and for Wasm.
//!
//! The flow is the same for both learners. [`FeatureSketch`] looks at a column in chunks and yields [`FeatureBins`];
//! the bins turn the column into one byte a row; the columns make a [`BinnedMatrix`]. [`boosted::train`] and
//! [`forest::train`] learn from it, and both return a [`TreeModel`], which holds real thresholds and so predicts
//! from plain `f64` columns without the bins. [`TreeModel::write_to`] and [`TreeModel::read_from`] speak the format of
//! `docs/formats/tree-model.md`. [`estimators`] offers all of it through linfa's traits.
//!
//! Everything is deterministic: the same inputs, parameters and seed give the same bytes on every machine. The
//! histograms hold integers, so no sum depends on its order, and the sigmoid is computed with basic IEEE operations
//! only. The crate knows nothing of Wasm, WIT or files.

mod bins;
pub mod boosted;
mod bundles;
mod cells;
mod error;
pub mod estimators;
pub mod forest;
mod format;
mod growth;
mod histogram;
mod loss;
mod matrix;
mod model;
mod predict;
mod random;
mod split;
mod tree;

pub use bins::{FeatureBins, FeatureSketch, MAX_BINS};
pub use boosted::{BoostedOptions, BoostedValidParams, Growth, Loss};
pub use error::TreesError;
pub use estimators::{BoostedParams, ForestParams};
pub use forest::{ForestOptions, ForestValidParams, MaxFeatures};
pub use matrix::{BinnedMatrix, TrainingSet};
pub use model::{Objective, TreeModel};
pub use predict::Predictor;
