//! Metrics, gates, figures and reports of models.
//!
//! This crate computes the numbers that gates read and the pages that people read. It uses no
//! files, clock or Wasm: its inputs are slices and plain structs, its outputs are structs, SVG,
//! HTML and JSON. The same input gives the same bytes on every machine, because outputs are stored
//! by their content.
//!
//! ```
//! use stagewright_evaluation::difference::{Labels, difference};
//! use stagewright_evaluation::figure::{Predictions, roc_figure, svg};
//! use stagewright_evaluation::gates::{Gate, GateRule, Gates, Verdict, judge};
//! use stagewright_evaluation::metrics::{DECISION_THRESHOLD, binary};
//!
//! // Labels, and the probability of class 1 for each row.
//! let labels = [0, 0, 0, 1, 1, 1];
//! let candidate = [0.1, 0.2, 0.6, 0.5, 0.8, 0.9];
//! let champion = [0.4, 0.5, 0.6, 0.3, 0.7, 0.8];
//!
//! let metrics = binary(&labels, &candidate, DECISION_THRESHOLD)?;
//! assert_eq!(metrics.roc_auc, 8.0 / 9.0);
//!
//! // A gate decides, and says why.
//! let gates = Gates::absolute(vec![Gate::new(GateRule::Minimum, "roc_auc", 0.8)]);
//! let judgement = judge(&gates, &metrics.named(), None);
//! assert_eq!(judgement.verdict, Verdict::Approved);
//! assert_eq!(judgement.gates[0].message, "roc_auc 0.8889 is at least 0.8");
//!
//! // Six rows do not tell the two models apart: the interval contains 0.
//! let known = Labels::Binary(&labels);
//! let gain = difference(known, &candidate, &champion, "roc_auc", 0.95, &|| false)?;
//! assert!(gain.is_some_and(|gain| gain.value > 0.0 && gain.low < 0.0));
//!
//! let models = [("candidate", &candidate), ("champion", &champion)];
//! let curves = models.map(|(name, scores)| Predictions { name, scores });
//! let figure = roc_figure(&labels, &curves)?.expect("both classes");
//! assert!(svg(&figure).starts_with("<svg"));
//! # Ok::<(), stagewright_evaluation::Error>(())
//! ```
//!
//! - [`metrics`]: metrics from labels and predictions, equal to scikit-learn's.
//! - [`difference`]: the difference of two models on the same rows, with its interval.
//! - [`interval`]: a metric of one model, with its interval.
//! - [`gates`]: whether metrics are good enough, and why.
//! - [`figure`]: figures as data, their limits, their drawing as SVG, and the figures of the host.
//! - [`report`]: validation, evaluation, comparison of models and model card, as HTML and JSON;
//!   some also as Markdown.

pub mod difference;
mod error;
pub mod figure;
pub mod gates;
pub mod interval;
pub mod metrics;
pub mod report;
mod text;

pub use error::Error;
