//! A model as it was evaluated: the candidate, and the champion beside it.

use serde::{Deserialize, Serialize};

use crate::metrics::{ConfusionMatrix, MetricSet};

/// Test rows by actual and predicted class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The names of the classes, by index.
    pub classes: Vec<String>,
    /// Counts by actual class, each in the order of predicted classes; `classes` x `classes`.
    pub counts: Vec<u64>,
}

impl Confusion {
    /// Returns the matrix of a binary task; `classes` are the names of class 0 and class 1.
    #[must_use]
    pub fn binary(classes: [&str; 2], confusion: &ConfusionMatrix) -> Self {
        let ConfusionMatrix { true_negatives, false_positives, false_negatives, true_positives } = *confusion;
        Self {
            classes: classes.map(str::to_owned).to_vec(),
            counts: vec![true_negatives, false_positives, false_negatives, true_positives],
        }
    }
}

/// A model as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedModel {
    /// The version in the registry; `None` before it is registered.
    pub version: Option<u64>,
    /// The digest of the model.
    pub digest: String,
    /// The digest of the table that it predicted.
    pub test_digest: String,
    /// The metrics that the host computed from its predictions: for the candidate, on the test rows
    /// that it did not learn from; for the champion, on the rows that were compared.
    pub metrics: MetricSet,
    /// The confusion matrix of a classification.
    pub confusion: Option<Confusion>,
}

/// The champion, or the reason for which there was no comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Champion {
    /// There is none. The candidate is accepted unless an absolute gate rejects it.
    None,
    /// It predicted the same rows.
    Evaluated(EvaluatedModel),
    /// It cannot read today's table, and the manifest lets absolute gates decide in this case.
    Unreadable {
        /// The version in the registry.
        version: u64,
        /// The digest of the model.
        digest: String,
        /// The reason.
        reason: String,
    },
}
