//! Why a run did not come to its end.

use std::path::PathBuf;
use std::sync::Arc;

use stagewright_data::row_text;
use stagewright_evaluation::report::Check;
use stagewright_manifest::StepId;
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{RunId, StoreError};

use crate::fault::StageFault;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A stage failed.
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// A server that a source is on failed, or cannot be reached.
    #[error(transparent)]
    Server(StageFault),
    /// The data is not fit: checks of the validation stage failed.
    #[error("the data failed validation: {}", failed_checks(.checks))]
    Unfit {
        /// The step that checked it.
        step: StepId,
        /// Those that failed.
        checks: Vec<Check>,
    },
    /// A stage needs an artifact that the run it builds on does not have.
    #[error("there is no artifact `{name}` of stage `{stage}` to work on")]
    MissingArtifact {
        /// The step that makes it.
        stage: StepId,
        /// Its name.
        name: String,
    },
    /// The manifest names an artifact that is to be written to a file, and no step made it.
    #[error("`{}` was to be `{name}` of stage `{stage}`, which was not made", .path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// The stage.
        stage: StepId,
        /// The artifact.
        name: String,
    },
    /// A file that the manifest names for an output is one that no run replaces.
    #[error("`{}` cannot be an output: {problem}", .path.display())]
    NoOutput {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The run works on what another component or other parameters made.
    #[error(
        "stage `{stage}` of run {run} ran {recorded}, and the manifest names {named} now: a model of the two would be neither"
    )]
    OtherComponent {
        /// The stage.
        stage: StepId,
        /// The run whose artifacts were to be used.
        run: RunId,
        /// The component that ran, or its parameters.
        recorded: String,
        /// The component of today's manifest, or its parameters.
        named: String,
    },
    /// The champion cannot be asked, because it is on other machines alone.
    #[error("the champion, version {version} of `{model}`, is not here: {reason}")]
    ChampionMissing {
        /// The model's name.
        model: String,
        /// The champion's version.
        version: u32,
        /// The part that is missing.
        reason: String,
    },
    /// Another version became champion each time that the candidate had been judged.
    #[error("the champion of `{model}` changed {tries} times while the candidate was judged: {reason}")]
    Overtaken {
        /// The model's name.
        model: String,
        /// How often it was judged.
        tries: u32,
        /// How the last try ended.
        reason: String,
    },
    /// Children of the run failed. Each child has its own error.
    #[error("{failed} of {children} children failed; the first of them is `{first}`: {why}")]
    Children {
        /// How many failed.
        failed: usize,
        /// How many there are.
        children: usize,
        /// The name of the first that failed, in the order of the values.
        first: String,
        /// Its error.
        why: Arc<RunError>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The candidate was approved, and did not get to production.
    #[error("{}", promotion_text(.0))]
    Promotion(#[from] PromoteError),
}

impl RunError {
    /// The error of a run whose one child that failed is this.
    pub fn of_child(first: String, why: Arc<Self>) -> Self {
        Self::Children { failed: 1, children: 1, first, why }
    }

    /// The same as a fault of a stage.
    pub(crate) fn fault(&self) -> StageFault {
        match self {
            Self::Stage(fault) | Self::Server(fault) => fault.clone(),
            other => StageFault::host(other),
        }
    }

    /// Whether the next try may go well: a server, a disk or a database failed. What a component,
    /// the data or a limit ended would end the same way.
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

/// Letters of each part of a finding that an error shows; all of it stands in the report.
const SHOWN: usize = 200;

fn brief(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
