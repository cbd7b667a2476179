//! Finds the run that an argument names.

use stagewright_lifecycle::foreach::ChildOf;
use stagewright_store::{Home, Run};

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Returns the run of this identifier, or the last run.
pub(crate) fn find_run(home: &Home, run: Option<&str>) -> anyhow::Result<Run> {
    match run {
        Some(run) => Ok(home.registry.run(run)?),
        None => {
            let last = home.registry.list_runs(1)?.pop();
            let last = last.ok_or_else(|| {
                UsageError::error(
                    ErrorCode::NothingYet,
                    "there are no runs yet",
                    "run a pipeline: stagewright run pipeline.toml",
                )
            })?;
            // The last run that began may be a child; then the parent is meant.
            let parent = ChildOf::of(&last.config).and_then(|of| home.registry.run(of.parent.as_str()).ok());
            let began = last.started_ms;
            let parent = parent.filter(|it| it.deleted_ms.is_none() && it.ended_ms.is_none_or(|ended| ended >= began));
            Ok(parent.unwrap_or(last))
        }
    }
}
