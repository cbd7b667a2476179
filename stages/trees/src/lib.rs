//! Random forests and gradient boosting over binned features, in one thread and for Wasm.
//!
//! Both learners work in the same steps. [`FeatureSketch`] reads a column in chunks and returns its
//! [`FeatureBins`]; the bins encode the column in one byte a row; the columns form a
//! [`BinnedMatrix`]. [`boosted::train`] and [`forest::train`] learn from it and return a
//! [`TreeModel`]. A model holds thresholds on the raw values, so it predicts from `f64` columns
//! without the bins. [`TreeModel::write_to`] and [`TreeModel::read_from`] use the format of
//! `docs/formats/tree-model.md`. [`estimators`] offers the learners through linfa's traits.
//!
//! Everything is deterministic: the same inputs, parameters and seed give the same bytes on every
//! machine. Histograms hold integers, so no sum depends on the order of its terms, and the sigmoid
//! is computed with basic IEEE operations only. The crate knows nothing of Wasm, WIT or files.
//!
//! # Examples
//!
//! Trains a model that predicts whether a number is above 2:
//!
//! ```
//! use stagewright_trees::{BinnedMatrix, BoostedOptions, MAX_BINS, TrainingSet, boosted};
//!
//! let numbers: Vec<f64> = (0..200).map(|row| f64::from(row % 5)).collect();
//! let targets: Vec<f64> = numbers.iter().map(|&number| f64::from(u8::from(number > 2.0))).collect();
//! let features = BinnedMatrix::from_columns(&["number".to_owned()], &[numbers.as_slice()], MAX_BINS)?;
//! let set = TrainingSet { features: &features, targets: &targets, weights: None };
//!
//! let model = boosted::train(&BoostedOptions::default().check()?, set, None, None)?;
//! let mut probabilities = Vec::new();
//! model.predictor().predict(&[&[1.0, 4.0]], &mut probabilities)?;
//! assert!(probabilities[0] < 0.1 && probabilities[1] > 0.9);
//! # Ok::<(), stagewright_trees::TreesError>(())
//! ```

mod bins;
pub mod boosted;
mod bundles;
mod bytes16;
mod cells;
mod error;
pub mod estimators;
pub mod forest;
mod format;
mod growth;
mod histogram;
mod layout;
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
