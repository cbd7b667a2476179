//! The errors that end a run.

use std::path::PathBuf;
use std::sync::Arc;

use stagewright_data::row_text;
use stagewright_evaluation::report::Check;
use stagewright_manifest::StepId;
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{RunId, StoreError};

use crate::fault::StageFault;

/// The error that ended a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A stage failed.
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// The server of a source failed or cannot be reached.
    #[error(transparent)]
    Server(StageFault),
    /// Checks of the validation stage failed.
    #[error("the data failed validation: {}", failed_checks(.checks))]
    Unfit {
        /// The step that checked the table.
        step: StepId,
        /// The checks that failed.
        checks: Vec<Check>,
    },
    /// A stage needs an artifact that the base run does not have.
    #[error("there is no artifact `{name}` of stage `{stage}` to work on")]
    MissingArtifact {
        /// The step that makes it.
        stage: StepId,
        /// Its name.
        name: String,
    },
    /// No step made an artifact that the manifest lists under its outputs.
    #[error("`{}` was to be `{name}` of stage `{stage}`, which was not made", .path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// The stage.
        stage: StepId,
        /// The artifact.
        name: String,
    },
    /// An output of the manifest would replace a file that no run may replace.
    #[error("`{}` cannot be an output: {problem}", .path.display())]
    NoOutput {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
    /// The base run's artifacts were made by another component or with other parameters than the
    /// manifest has now.
    #[error(
        "stage `{stage}` of run {run} ran {recorded}, and the manifest names {named} now: a model of the two would be neither"
    )]
    OtherComponent {
        /// The stage.
        stage: StepId,
        /// The base run.
        run: RunId,
        /// The component that ran, or its parameters.
        recorded: String,
        /// The component of the manifest, or its parameters.
        named: String,
    },
    /// No part of the champion is on this machine or at the shared location.
    #[error("the champion, version {version} of `{model}`, is not here: {reason}")]
    ChampionMissing {
        /// The model's name.
        model: String,
        /// The champion's version.
        version: u32,
        /// A part that is missing.
        reason: String,
    },
    /// Another version became champion after each judgement of the candidate.
    #[error("the champion of `{model}` changed {tries} times while the candidate was judged: {reason}")]
    Overtaken {
        /// The model's name.
        model: String,
        /// The number of judgements.
        tries: u32,
        /// The error of the last one.
        reason: String,
    },
    /// Children of the run failed. Each child has its own error.
    #[error("{failed} of {children} children failed; the first of them is `{first}`: {why}")]
    Children {
        /// The number of children that failed.
        failed: usize,
        /// The number of children.
        children: usize,
        /// The first child that failed, in the order of the values.
        first: String,
        /// Its error.
        why: Arc<RunError>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The candidate was approved, and its promotion failed.
    #[error("{}", promotion_text(.0))]
    Promotion(#[from] PromoteError),
}

impl RunError {
    /// Returns the error of a run with one child, which failed.
    pub fn of_child(first: String, why: Arc<Self>) -> Self {
        Self::Children { failed: 1, children: 1, first, why }
    }

    /// Returns the error as a fault of a stage.
    pub(crate) fn fault(&self) -> StageFault {
        match self {
            Self::Stage(fault) | Self::Server(fault) => fault.clone(),
            other => StageFault::host(other),
        }
    }

    /// Whether another try may succeed: a server, a disk or a database failed. A failure of a
    /// component, of the data or of a limit would repeat.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Server(_) | Self::Stage(StageFault::Host { .. }) => true,
            Self::Store(error) => {
                matches!(error, StoreError::Io { .. } | StoreError::Database { .. } | StoreError::Shared { .. })
            }
            _ => false,
        }
    }

    /// Whether another version became champion while the candidate was judged or promoted.
    pub(crate) fn champion_changed(&self) -> bool {
        let (Self::Store(error) | Self::Promotion(PromoteError::Store(error))) = self else { return false };
        matches!(
            error,
            StoreError::ChampionChanged { .. }
                | StoreError::StaleVerdict { .. }
                | StoreError::AliasMoved { .. }
                | StoreError::IsChampion { .. }
        )
    }
}

fn promotion_text(error: &PromoteError) -> String {
    if error.is_champion() || matches!(error, PromoteError::InDoubt { .. }) {
        error.to_string()
    } else {
        format!("the candidate was registered and approved, and not promoted: {error}")
    }
}

fn failed_checks(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let column = check.column.as_ref().map(|column| format!(" of `{}`", brief(column))).unwrap_or_default();
        let first = check.examples.first().map(|cell| match &cell.value {
            Some(value) => format!("; first in {}: `{}`", row_text(cell.row), brief(value)),
            None => format!("; first in {}", row_text(cell.row)),
        });
        format!(
            "{}{column} is {}, expected {}{}",
            brief(&check.name),
            brief(&check.observed),
            brief(&check.expected),
            first.unwrap_or_default()
        )
    };
    let shown: Vec<String> = checks.iter().take(5).map(line).collect();
    let more = checks.len().saturating_sub(shown.len());
    if more > 0 { format!("{} (and {more} more)", shown.join("; ")) } else { shown.join("; ") }
}

/// The longest part of a finding that an error shows, in characters. The report has all of it.
const SHOWN: usize = 200;

fn brief(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
