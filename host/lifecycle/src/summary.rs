//! What a run was, for programs (`--json`) and for the table at its end.

use serde::Serialize;
use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{EvaluationReport, Reason, Verdict};
use stagewright_manifest::{StepId, World};
use stagewright_store::{ArtifactRecord, StageRecord};

use crate::invocation::{Invocation, Outcome, Usage};

/// An artifact by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactSummary {
    /// Its name among the stage's artifacts.
    pub name: String,
    /// `table`, `blob` or `document`.
    pub kind: String,
    /// The digest of its content.
    pub digest: String,
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageSummary {
    /// The step's name.
    pub name: String,
    /// The world of its component.
    pub world: World,
    /// The component that ran.
    pub component: String,
    /// The component's digest.
    pub digest: String,
    /// Its use of time, memory and bytes.
    #[serde(flatten)]
    pub usage: Usage,
    /// The walls that stood around every call of its instances: `wasm`, `seccomp`, `landlock`,
    /// `rlimits`.
    pub walls: Vec<String>,
    /// The digest of all that can change what it makes; `null` if that is not known.
    pub key: Option<String>,
    /// Whether it was not executed, because an earlier run had done the same. What it used is of
    /// that run then.
    pub cached: bool,
    /// The run that executed it, if this one did not.
    pub cached_from: Option<String>,
    /// What it made.
    pub artifacts: Vec<ArtifactSummary>,
    /// All that decided what it made.
    pub invocation: Option<Invocation>,
}

/// Metrics on the test rows, computed by the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsSummary {
    /// The candidate's.
    pub candidate: MetricSet,
    /// The champion's; `null` without one.
    pub champion: Option<MetricSet>,
}

/// One of several models that a run trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainedSummary {
    /// The step that trained it.
    pub training: StepId,
    /// The step that evaluated it.
    pub evaluation: StepId,
    /// Its metrics on the test rows; `null` if it was not evaluated.
    pub metrics: Option<MetricSet>,
    /// Whether it became the candidate: the best in the primary metric.
    pub is_candidate: bool,
}

/// The rows that candidate and champion were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EvaluationSummary {
    /// Rows of the test table.
    pub test_rows: u64,
    /// How many of them the candidate learnt from; `null` if that is not known.
    pub candidate_overlap_rows: Option<u64>,
    /// How many of them the champion learnt from; `null` without a champion, or if that is not
    /// known.
    pub champion_overlap_rows: Option<u64>,
    /// Rows that neither learnt from, on which the two are compared; `null` without a comparison.
    pub compared_rows: Option<u64>,
    /// Test rows whose content, but not whose key, the champion learnt from; `null` as above.
    pub equal_content_rows: Option<u64>,
}

/// How it was decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionSummary {
    /// `approved`, `rejected` or `undecided`.
    pub verdict: Verdict,
    /// The policy by which candidate and champion were compared.
    pub policy: String,
    /// The version that was champion then; `null` if there was none.
    pub judged_against: Option<u32>,
    /// The primary metric's difference to the champion, with its interval; `null` without a
    /// comparison.
    pub difference: Option<MetricDifference>,
    /// Every rule that was looked at.
    pub reasons: Vec<Reason>,
}

/// The registered version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelSummary {
    /// The model's name.
    pub name: String,
    /// Its number.
    pub version: u32,
    /// `MAJOR.MINOR.PATCH`: how much it differs from the version before it.
    pub semantic_version: Option<String>,
    /// Aliases that point to it now.
    pub aliases: Vec<String>,
    /// Whether this run registered it. An older version that has the same parts is not registered
    /// twice.
    pub is_new: bool,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The run's identifier.
    pub run_id: String,
    /// The stages that came to their end, in order.
    pub stages: Vec<StageSummary>,
    /// How many of them were executed.
    pub executed: usize,
    /// How many of them were not, because an earlier run had done the same.
    pub cached: usize,
    /// How often this process waited for the disk to have everything.
    pub fsyncs: u64,
    /// The models of the run, if it trained several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trained: Vec<TrainedSummary>,
    /// `null` if the run ended before evaluation.
    pub metrics: Option<MetricsSummary>,
    /// `null` if the run ended before evaluation.
    pub evaluation: Option<EvaluationSummary>,
    /// `null` if the run ended before promotion, or if the candidate is the champion already.
    pub decision: Option<DecisionSummary>,
    /// `null` if the run ended before the end of training, or if a candidate that failed was not to
    /// be registered.
    pub model: Option<ModelSummary>,
    /// Whether the candidate equals the champion, so that there is nothing to judge.
    pub is_champion_already: bool,
}

impl StageSummary {
    /// A stage that came to its end.
    pub(crate) fn of(world: World, record: &StageRecord, outcome: &Outcome, invocation: Option<Invocation>) -> Self {
        let usage = outcome.usage;
        let artifact = |output: &ArtifactRecord| ArtifactSummary {
            name: output.name.clone(),
            kind: output.kind.to_string(),
            digest: output.digest.to_string(),
        };
        Self {
            name: record.name.clone(),
            world,
            component: record.component.clone(),
            digest: record.digest.to_string(),
            walls: outcome.walls.clone(),
            usage,
            key: record.key.map(|key| key.to_string()),
            cached: record.cached_from.is_some(),
            cached_from: record.cached_from.as_ref().map(ToString::to_string),
            artifacts: outcome.outputs.iter().map(artifact).collect(),
            invocation,
        }
    }
}

impl EvaluationSummary {
    /// The rows that an evaluation counted.
    pub(crate) fn of(evaluated: &EvaluationReport) -> Self {
        let compared = &evaluated.compared;
        Self {
            test_rows: evaluated.test.rows,
            candidate_overlap_rows: compared.candidate_overlap_rows,
            champion_overlap_rows: compared.champion_overlap_rows,
            compared_rows: compared.comparison.as_ref().map(|comparison| comparison.rows),
            equal_content_rows: compared.equal_content_rows,
        }
    }
}

impl Summary {
    /// The summary of a run that has done nothing yet.
    pub fn of(run_id: String) -> Self {
        Self {
            run_id,
            stages: Vec::new(),
            executed: 0,
            cached: 0,
            fsyncs: 0,
            trained: Vec::new(),
            metrics: None,
            evaluation: None,
            decision: None,
            model: None,
            is_champion_already: false,
        }
    }
}
