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

/// What is known of a model version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// What it is.
    pub details: CardDetails,
    /// What it is for, as the manifest has it.
    pub intended_use: IntendedUse,
    /// What it learnt from.
    pub data: CardData,
    /// How it was measured.
    pub evaluation: CardEvaluation,
    /// Every verdict on it, the oldest first. The last one counts.
    pub verdicts: Vec<VersionVerdict>,
    /// The limits that its stages ran under, in lifecycle order.
    pub limits: Vec<CardLimits>,
    /// The working tree that it comes from, if it is known.
    pub code: Option<WorkingTree>,
    /// What happened to it since, the oldest first.
    pub history: Vec<CardEvent>,
}

/// What a model version is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardDetails {
    /// The model's name.
    pub model: String,
    /// Its version in the registry.
    pub version: u64,
    /// Its semantic version: `1.2.0`.
    pub semantic_version: Option<String>,
    /// What made it that version.
    pub version_reasons: Vec<String>,
    /// Its stage: `staging`.
    pub stage: Option<String>,
    /// Aliases that point to it.
    pub aliases: Vec<String>,
    /// The last verdict; `None` if there is none.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: Option<String>,
    /// When it was registered, for people.
    pub registered_at: Option<String>,
    /// Who registered it.
    pub registered_by: Option<String>,
    /// The run that made it.
    pub run: Option<String>,
    /// What it learnt: `binary, positive class Yes`.
    pub task: Option<String>,
    /// The digest of the model.
    pub digest: Option<String>,
    /// The components of the run, in lifecycle order.
    pub components: Vec<StageComponent>,
    /// Their parameters, by name: `training.learning_rate`.
    #[serde(with = "pairs")]
    pub parameters: Vec<(String, String)>,
}

/// The definition of the problem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntendedUse {
    /// What it shall achieve.
    pub business_objective: Option<String>,
    /// How its success is measured.
    pub success_metric: Option<String>,
    /// What it must heed.
    pub constraints: Vec<String>,
}

/// What a model learnt from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardData {
    /// The table that was ingested.
    pub source: Option<Dataset>,
    /// The table that the transformation made.
    pub features: Option<Dataset>,
    /// The columns of the source.
    pub fields: Vec<DataField>,
    /// How rows were split, for people: `stratified, 20 % test, 10 % validation, seed 42`.
    pub split: Option<String>,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataField {
    /// Its name.
    pub name: String,
    /// Its type: `float64`.
    pub data_type: String,
    /// What it is for: `feature`.
    pub role: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
}

/// How a model was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardEvaluation {
    /// The metric that counts most.
    pub primary_metric: Option<String>,
    /// What the host computed from its predictions.
    pub metrics: MetricSet,
    /// The gates as they were found.
    pub gates: Vec<GateResult>,
    /// The untouched rows.
    pub test: Option<Dataset>,
    /// The champion that it was compared with; `None` if that is not known.
    pub champion: Option<Champion>,
    /// How the two were compared. In JSON its fields stand beside the others.
    #[serde(flatten)]
    pub compared: ComparisonDetails,
    /// Its confusion matrix, of a classification.
    pub confusion: Option<Confusion>,
    /// The host's figures: ROC, precision and recall, calibration.
    pub figures: Vec<Figure>,
    /// How much features count; scaled to sum to 1 when shown.
    #[serde(with = "pairs")]
    pub importance: Vec<(String, f64)>,
}

/// A verdict on a version. It is never changed; a later one supersedes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionVerdict {
    /// The outcome.
    pub verdict: Verdict,
    /// How it was reached: `better`, `no-worse`, `absolute`, or `person`.
    pub policy: String,
    /// The champion of the moment.
    pub judged_against: JudgedAgainst,
    /// Why, in one line.
    pub reason: String,
    /// Every rule that was looked at.
    pub reasons: Vec<Reason>,
    /// Who gave it.
    pub by: String,
    /// When, for people.
    pub at: String,
    /// Whether a person gave it, whatever the gates said.
    #[serde(rename = "override")]
    pub is_override: bool,
}

/// The champion that a verdict was reached against. In JSON the version's number, `null` without a
/// champion, or `"unknown"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AgainstTwin", into = "AgainstTwin")]
pub enum JudgedAgainst {
    /// There was none.
    NoChampion,
    /// This version.
    Champion(u64),
    /// Nobody knows: the verdict is older than the record of it.
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum AgainstTwin {
    Champion(Option<u64>),
    Unknown(String),
}

impl From<JudgedAgainst> for AgainstTwin {
    fn from(against: JudgedAgainst) -> Self {
        match against {
            JudgedAgainst::NoChampion => Self::Champion(None),
            JudgedAgainst::Champion(version) => Self::Champion(Some(version)),
            JudgedAgainst::Unknown => Self::Unknown("unknown".to_owned()),
        }
    }
}

impl From<AgainstTwin> for JudgedAgainst {
    fn from(twin: AgainstTwin) -> Self {
        match twin {
            AgainstTwin::Champion(version) => version.map_or(Self::NoChampion, Self::Champion),
            AgainstTwin::Unknown(_) => Self::Unknown,
        }
    }
}

/// What a stage was allowed, for people: `512 MiB`, `30 s`. Empty where it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardLimits {
    /// The stage.
    pub stage: String,
    /// Memory.
    pub memory: String,
    /// CPU time.
    pub cpu: String,
    /// Time on the wall.
    pub wall: String,
}

/// Something that happened to a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardEvent {
    /// When, for people.
    pub at: String,
    /// Who did it.
    pub who: String,
    /// What: `stage changed`.
    pub what: String,
    /// What it was.
    pub from: Option<String>,
    /// What it is since.
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Card {
    /// The version as people and commands name it: `churn-classifier/3`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.details.model, self.details.version)
    }
}
