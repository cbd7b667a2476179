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
    /// The name: `churn-classifier/3`.
    pub title: String,
    /// Further facts in order: version, stage, verdict, reason, aliases, run, time, semantic
    /// version.
    #[serde(with = "pairs")]
    pub facts: Vec<(String, String)>,
    /// Parameters by name, such as `training.learning_rate`.
    #[serde(with = "pairs")]
    pub parameters: Vec<(String, String)>,
    /// The metrics that the host computed from its predictions.
    pub metrics: MetricSet,
    /// Its tables. Metrics can be compared if [`Dataset::MEASURED_ON`] is the same.
    pub data: Vec<Dataset>,
    /// Its components.
    pub components: Vec<StageComponent>,
    /// The working tree of its run, if it is known.
    pub code: Option<WorkingTree>,
    /// The limits of its stages, by name: `training.memory`.
    #[serde(with = "pairs")]
    pub limits: Vec<(String, String)>,
    /// Feature importance; scaled to sum to 1 when shown.
    #[serde(with = "pairs")]
    pub importance: Vec<(String, f64)>,
    /// Line plots of the evaluation report: `roc`, `precision-recall`, `calibration`. The first
    /// series of each that is not a reference belongs to this subject. Plots with the same name are
    /// drawn together.
    pub curves: Vec<Figure>,
    /// The caveats of its evaluation report.
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
