//! A model version or a run that is compared.

use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::metrics::MetricSet;
use crate::report::pairs;
use crate::report::provenance::{Dataset, StageComponent, WorkingTree};

/// A model version or a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// What it is called: `churn-classifier/3`.
    pub title: String,
    /// What else is known of it, in order: version, stage, verdict, reason, aliases, run, time, semantic version.
    #[serde(with = "pairs")]
    pub facts: Vec<(String, String)>,
    /// Parameters by name, such as `training.learning_rate`.
    #[serde(with = "pairs")]
    pub parameters: Vec<(String, String)>,
    /// What the host computed from its predictions.
    pub metrics: MetricSet,
    /// Its tables; [`Dataset::MEASURED_ON`] tells whether metrics can be compared.
    pub data: Vec<Dataset>,
    /// Its components.
    pub components: Vec<StageComponent>,
    /// The working tree that it comes from, if it is known.
    pub code: Option<WorkingTree>,
    /// Limits that it ran under, by name: `training.memory`.
    #[serde(with = "pairs")]
    pub limits: Vec<(String, String)>,
    /// How much features count; scaled to sum to 1 when shown.
    #[serde(with = "pairs")]
    pub importance: Vec<(String, f64)>,
    /// Plots of lines, as the evaluation report has them: `roc`, `precision-recall`, `calibration`. Of each, the first
    /// series that is no reference is this subject's; plots of one name are drawn together.
    pub curves: Vec<Figure>,
    /// The sentences to read before its figures are believed, as its evaluation report has them.
    pub caveats: Vec<String>,
}

impl Subject {
    pub(super) fn measured_on(&self) -> Option<&str> {
        self.digest_of(Dataset::MEASURED_ON)
    }

    pub(super) fn trained_on(&self) -> Option<&str> {
        self.digest_of(Dataset::TRAINED_ON)
    }

    fn digest_of(&self, name: &str) -> Option<&str> {
        self.data.iter().find(|table| table.name == name).map(|table| table.digest.as_str())
    }
}
