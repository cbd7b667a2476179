//! What a run was, for programs (`--json`) and for the table at its end.

use serde::Serialize;
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

/// How it was decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionSummary {
    /// `approved` or `rejected`.
    pub verdict: Verdict,
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
    /// `null` if the run ended before promotion.
    pub decision: Option<DecisionSummary>,
    /// `null` if the run ended before promotion.
    pub model: Option<ModelSummary>,
}
