//! What a run was, for programs (`--json`) and for the table at its end.

use serde::Serialize;
use stagewright_evaluation::difference::Difference;
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{Reason, Verdict};

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
    /// The world's name.
    pub name: String,
    /// The component that ran.
    pub component: String,
    /// The component's digest.
    pub digest: String,
    /// Time on the wall, host's work included, milliseconds.
    pub wall_ms: f64,
    /// CPU time of its instances, milliseconds.
    pub cpu_ms: f64,
    /// Largest linear memory of one instance, bytes.
    pub peak_memory_bytes: u64,
    /// Rows that went into its instances.
    pub rows_in: u64,
    /// Rows that came out of its instances.
    pub rows_out: u64,
    /// Bytes that went into its instances.
    pub bytes_in: u64,
    /// Bytes that came out of its instances.
    pub bytes_out: u64,
    /// Bytes copied at the boundary.
    pub bytes_copied: u64,
    /// Bytes written to artifacts by its instances: what the output limit counts.
    pub output_bytes: u64,
    /// Bytes of log lines and figures: what the log limit counts.
    pub log_bytes: u64,
    /// Log lines dropped past the limit.
    pub log_lines_dropped: u64,
    /// What it made.
    pub artifacts: Vec<ArtifactSummary>,
}

/// Metrics on the test rows, computed by the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsSummary {
    /// The candidate's.
    pub candidate: MetricSet,
    /// The champion's; `null` without one.
    pub champion: Option<MetricSet>,
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
    pub difference: Option<Difference>,
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
    /// The stages that ran, in order.
    pub stages: Vec<StageSummary>,
    /// How often this process waited for the disk to have everything.
    pub fsyncs: u64,
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

impl Summary {
    /// The summary of a run that has done nothing yet.
    pub fn of(run_id: String) -> Self {
        Self {
            run_id,
            stages: Vec::new(),
            fsyncs: 0,
            metrics: None,
            evaluation: None,
            decision: None,
            model: None,
            is_champion_already: false,
        }
    }
}
