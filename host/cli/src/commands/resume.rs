//! `resume`: continues a run that did not finish.
//!
//! It starts a new run of the same stages, which takes over the finished stages of the old one. A
//! run that was killed, or that failed for a reason that is fixed, does only the remaining work
//! again.

use std::path::PathBuf;

use stagewright_lifecycle::foreach::ChildOf;
use stagewright_lifecycle::run::config::{BASE_RUN, CHANGES, ONLY, RANGE};
use stagewright_manifest::{StepId, World};
use stagewright_store::{Run, RunStatus};

use crate::arguments::ResumeArguments;
use crate::commands::run::{Job, parse_world};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::usage_error::UsageError;

pub(crate) fn resume(location: &HomeLocation, arguments: &ResumeArguments) -> anyhow::Result<ExitCode> {
    let run = location.existing()?.registry.run(&arguments.run)?;
    if run.status == RunStatus::Running {
        return Err(UsageError::error(
            ErrorCode::RunRunning,
            format!("the run {} is running", run.run_id),
            "wait for its end, or stop it; one whose process died is `killed`",
        ));
    }
    let recorded = run.config.get("file").and_then(|file| file.as_str()).map(PathBuf::from);
    let file = arguments.file.clone().or(recorded).ok_or_else(|| {
        UsageError::error(
            ErrorCode::NoManifest,
            "that run does not say which manifest it read",
            "name the manifest: --file pipeline.toml",
        )
    })?;
    let earlier = run.config.get(CHANGES).cloned().unwrap_or_default();
    let job = Job {
        file: &file,
        changes: &arguments.changes.after(serde_json::from_value(earlier).unwrap_or_default()),
        stages: range(&run)?,
        only: run.config.get(ONLY).and_then(|only| StepId::new(only.as_str()?).ok()),
        base_run: run.config.get(BASE_RUN).and_then(|base| base.as_str()?.parse().ok()),
        child: ChildOf::of(&run.config),
        cache: &arguments.cache,
        resumed: Some(run.run_id),
        metrics_out: arguments.metrics_out.as_deref(),
        suggest_limits: arguments.suggest_limits,
        log_format: arguments.log.log_format,
        json: arguments.json.json,
    };
    job.run(location)
}

/// Returns the stages that a run was asked for. Records of old versions do not name them; all,
/// then.
fn range(run: &Run) -> anyhow::Result<std::ops::RangeInclusive<World>> {
    match run.config.get(RANGE).and_then(|range| Some((range.get(0)?.as_str()?, range.get(1)?.as_str()?))) {
        Some((first, last)) => Ok(parse_world(first)?..=parse_world(last)?),
        None => Ok(World::Ingestion..=World::Promotion),
    }
}
