//! The contents of a card.

use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::gates::{GateResult, Verdict};
use crate::metrics::MetricSet;
use crate::report::comparison_details::ComparisonDetails;
use crate::report::evaluated_model::{Champion, Confusion};
use crate::report::evaluation::Reason;
use crate::report::pairs;
use crate::report::provenance::{Dataset, StageComponent, WorkingTree};

/// The facts about a model version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// Name, version and origin.
    pub details: CardDetails,
    /// The intended use, as the manifest describes it.
    pub intended_use: IntendedUse,
    /// The data that it learnt from.
    pub data: CardData,
    /// The evaluation.
    pub evaluation: CardEvaluation,
    /// Every verdict on it, the oldest first. The last one counts.
    pub verdicts: Vec<VersionVerdict>,
    /// The limits that its stages ran under, in lifecycle order.
    pub limits: Vec<CardLimits>,
    /// The working tree of its run, if it is known.
    pub code: Option<WorkingTree>,
    /// The events since its registration, the oldest first.
    pub history: Vec<CardEvent>,
}

/// Name, version and origin of a model version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardDetails {
    /// The name of the model.
    pub model: String,
    /// The version in the registry.
    pub version: u64,
    /// The semantic version: `1.2.0`.
    pub semantic_version: Option<String>,
    /// The reasons for the semantic version.
    pub version_reasons: Vec<String>,
    /// The stage: `staging`.
    pub stage: Option<String>,
    /// The aliases that point to it.
    pub aliases: Vec<String>,
    /// The last verdict; `None` if there is none.
    pub verdict: Option<Verdict>,
    /// The reason for the verdict.
    pub reason: Option<String>,
    /// The time of registration, for people.
    pub registered_at: Option<String>,
    /// Who registered it.
    pub registered_by: Option<String>,
    /// The run that made it.
    pub run: Option<String>,
    /// The task: `binary, positive class Yes`.
    pub task: Option<String>,
    /// The digest of the model.
    pub digest: Option<String>,
    /// The components of the run, in lifecycle order.
    pub components: Vec<StageComponent>,
    /// The parameters of the components, by name: `training.learning_rate`.
    #[serde(with = "pairs")]
    pub parameters: Vec<(String, String)>,
}

/// The intended use of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntendedUse {
    /// The business objective.
    pub business_objective: Option<String>,
    /// How success is measured.
    pub success_metric: Option<String>,
    /// Further requirements.
    pub constraints: Vec<String>,
}

/// The data that a model learnt from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardData {
    /// The ingested table.
    pub source: Option<Dataset>,
    /// The table of features.
    pub features: Option<Dataset>,
    /// The columns of the source.
    pub fields: Vec<DataField>,
    /// How rows were split, for people: `stratified, 20 % test, 10 % validation, seed 42`.
    pub split: Option<String>,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataField {
    /// The name.
    pub name: String,
    /// The type: `float64`.
    pub data_type: String,
    /// The role: `feature`.
    pub role: String,
    /// Whether it may contain nulls.
    pub nullable: bool,
}

/// The evaluation of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardEvaluation {
    /// The primary metric.
    pub primary_metric: Option<String>,
    /// The metrics that the host computed from its predictions.
    pub metrics: MetricSet,
    /// The results of the gates.
    pub gates: Vec<GateResult>,
    /// The test table.
    pub test: Option<Dataset>,
    /// The champion that it was compared with; `None` if that is not known.
    pub champion: Option<Champion>,
    /// How the two were compared. In JSON, its fields are inlined.
    #[serde(flatten)]
    pub compared: ComparisonDetails,
    /// The confusion matrix of a classification.
    pub confusion: Option<Confusion>,
    /// The host's figures: ROC, precision and recall, calibration.
    pub figures: Vec<Figure>,
    /// Feature importance; scaled to sum to 1 when shown.
    #[serde(with = "pairs")]
    pub importance: Vec<(String, f64)>,
}

/// A verdict on a version. It never changes; a later one supersedes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// How it was reached: `better`, `no-worse`, `absolute` or `person`.
    pub policy: String,
    /// The champion at that time.
    pub judged_against: JudgedAgainst,
    /// The reason, on one line.
    pub reason: String,
    /// Every rule that was considered.
    pub reasons: Vec<Reason>,
    /// Who gave it.
    pub by: String,
    /// The time, for people.
    pub at: String,
    /// Whether a person gave it, regardless of the gates.
    #[serde(rename = "override")]
    pub is_override: bool,
}

/// The champion at the time of a verdict. In JSON: the version's number, `null` without a champion,
/// or `"unknown"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "JudgedAgainstJson", into = "JudgedAgainstJson")]
pub enum JudgedAgainst {
    /// There was no champion.
    NoChampion,
    /// The champion was this version.
    Champion(u64),
    /// Not known: the verdict is older than the record of it.
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum JudgedAgainstJson {
    Champion(Option<u64>),
    Unknown(String),
}

impl From<JudgedAgainst> for JudgedAgainstJson {
    fn from(against: JudgedAgainst) -> Self {
        match against {
            JudgedAgainst::NoChampion => Self::Champion(None),
            JudgedAgainst::Champion(version) => Self::Champion(Some(version)),
            JudgedAgainst::Unknown => Self::Unknown("unknown".to_owned()),
        }
    }
}

impl From<JudgedAgainstJson> for JudgedAgainst {
    fn from(twin: JudgedAgainstJson) -> Self {
        match twin {
            JudgedAgainstJson::Champion(version) => version.map_or(Self::NoChampion, Self::Champion),
            JudgedAgainstJson::Unknown(_) => Self::Unknown,
        }
    }
}

/// The limits of a stage, for people: `512 MiB`, `30 s`. Empty if not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardLimits {
    /// The stage.
    pub stage: String,
    /// Memory.
    pub memory: String,
    /// CPU time.
    pub cpu: String,
    /// Wall-clock time.
    pub wall: String,
}

/// An event in the history of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardEvent {
    /// The time, for people.
    pub at: String,
    /// Who caused it.
    pub who: String,
    /// The kind of event: `stage changed`.
    pub what: String,
    /// The old value.
    pub from: Option<String>,
    /// The new value.
    pub to: Option<String>,
    /// The reason.
    pub reason: Option<String>,
}

impl Card {
    /// Returns the version as commands name it: `churn-classifier/3`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.details.model, self.details.version)
    }
}
