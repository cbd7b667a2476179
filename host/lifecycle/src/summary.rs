//! The summary of a run, for programs (`--json`) and for the table at its end.

use serde::Serialize;
use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{EvaluationReport, Reason, Verdict};
use stagewright_manifest::{StepId, World};
use stagewright_store::{ArtifactRecord, LogLine, StageRecord};

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

/// One step of a run that completed.
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
    /// The time, memory and bytes that it used.
    #[serde(flatten)]
    pub usage: Usage,
    /// The walls around every call of its components: `wasm`, `seccomp`, `landlock`, `rlimits`.
    pub walls: Vec<String>,
    /// The step's key; `null` if it has none.
    pub key: Option<String>,
    /// Whether it was taken from the cache. Its usage is then that of the run that executed it.
    pub cached: bool,
    /// The run that executed it, if this one did not.
    pub cached_from: Option<String>,
    /// The artifacts that it made.
    pub artifacts: Vec<ArtifactSummary>,
    /// The warnings of its component, such as rows that a join left without a partner.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Its invocation.
    pub invocation: Option<Invocation>,
}

/// Metrics on the test rows, computed by the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsSummary {
    /// The candidate's metrics.
    pub candidate: MetricSet,
    /// The champion's metrics; `null` without a champion.
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
    /// Whether it became the candidate: the best one in the primary metric.
    pub is_candidate: bool,
}

/// The rows that the candidate and the champion were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EvaluationSummary {
    /// The number of test rows.
    pub test_rows: u64,
    /// The number of test rows that the candidate was trained on; `null` if that is not known.
    pub candidate_overlap_rows: Option<u64>,
    /// The number of test rows that the champion was trained on; `null` without a champion, or if
    /// that is not known.
    pub champion_overlap_rows: Option<u64>,
    /// The number of test rows that neither was trained on, on which they are compared; `null`
    /// without a comparison.
    pub compared_rows: Option<u64>,
    /// The number of test rows that the champion was trained on under another key, with equal
    /// content; `null` without a champion, or if that is not known.
    pub equal_content_rows: Option<u64>,
}

/// The decision on the candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionSummary {
    /// `approved`, `rejected` or `undecided`.
    pub verdict: Verdict,
    /// The policy by which the candidate and the champion were compared.
    pub policy: String,
    /// The version that was the champion then; `null` if there was none.
    pub judged_against: Option<u32>,
    /// The difference to the champion in the primary metric, with its interval; `null` without a
    /// comparison.
    pub difference: Option<MetricDifference>,
    /// The result of every gate.
    pub reasons: Vec<Reason>,
}

/// The registered version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelSummary {
    /// The model's name.
    pub name: String,
    /// Its number.
    pub version: u32,
    /// The version as `MAJOR.MINOR.PATCH`. It states how much the model differs from the version
    /// before.
    pub semantic_version: Option<String>,
    /// The aliases that point to it now.
    pub aliases: Vec<String>,
    /// Whether this run registered it. A model with the same parts as an older version is that
    /// version.
    pub is_new: bool,
}

/// The summary of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The run's identifier.
    pub run_id: String,
    /// The steps that completed, in order.
    pub stages: Vec<StageSummary>,
    /// The number of steps that were executed.
    pub executed: usize,
    /// The number of steps that were taken from the cache.
    pub cached: usize,
    /// The number of times that this process waited for the disk to store data.
    pub fsyncs: u64,
    /// The models of the run, if it trained several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trained: Vec<TrainedSummary>,
    /// The metrics; `null` if the run ended before evaluation.
    pub metrics: Option<MetricsSummary>,
    /// The rows of the evaluation; `null` if the run ended before evaluation.
    pub evaluation: Option<EvaluationSummary>,
    /// The decision; `null` if the run ended before promotion, or if the candidate is the champion
    /// already.
    pub decision: Option<DecisionSummary>,
    /// The registered version; `null` if the run ended before the end of training, or if a
    /// candidate that failed was not to be registered.
    pub model: Option<ModelSummary>,
    /// Whether the candidate is the champion already, so that there is nothing to judge.
    pub is_champion_already: bool,
}

impl StageSummary {
    /// Returns the summary of a step that completed.
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
            warnings: outcome.logs.iter().filter(|line| warns(line)).map(|line| line.message.clone()).collect(),
            invocation,
        }
    }
}

fn warns(line: &LogLine) -> bool {
    // The level's name in records.
    line.level == "warn"
}

impl EvaluationSummary {
    /// Returns the rows of an evaluation.
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
    /// Returns the summary of a run without steps.
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
