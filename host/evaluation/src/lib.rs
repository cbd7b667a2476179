//! What the host computes about a model: metrics, gates, figures, reports.
//!
//! This crate owns the arithmetic that gates read and everything that people see of it. It is pure: no tables, no files,
//! no clock, no Wasm. Its inputs are slices and plain structs, its outputs structs, SVG, HTML and JSON, and the same
//! input gives the same bytes on every machine, because its outputs are stored by their content.
//!
//! - [`metrics`]: numbers from labels and predictions, equal to scikit-learn's.
//! - [`difference`]: how much two models differ on the same rows, and how sure that is.
//! - [`gates`]: whether those numbers are good enough, and why not.
//! - [`figure`]: figures as data, their limits, their drawing as SVG; and the figures that the host makes itself.
//! - [`report`]: validation, evaluation, comparison of models, model card: as HTML and JSON, some as Markdown.

pub mod difference;
mod error;
pub mod figure;
pub mod gates;
pub mod metrics;
pub mod report;
mod text;

pub use error::Error;
