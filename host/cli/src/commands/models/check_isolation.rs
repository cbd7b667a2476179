//! `models check-isolation`: whether pooled instances of a version answer as fresh ones do.

use std::sync::Arc;

use anyhow::Context as _;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::LoadedModel;
use stagewright_lifecycle::sandbox::CallLimits;
use stagewright_manifest::World;
use stagewright_serving::sample_rows;
use stagewright_store::CHAMPION;

use crate::classify::FailedPrediction;
use crate::commands::predict::WarningLog;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::project::Project;
use crate::signals;

use super::version::find_version;

/// The most rows that are asked, each several times.
const ROWS: usize = 500;

pub(super) fn check_isolation(location: &HomeLocation, model: &str, json: bool) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    let project = Project::open_with(location, &operator, None)?;
    let version = find_version(&project.home, model, CHAMPION)?;
    version.check_runnable()?;
    let contents: RegisteredModel =
        serde_json::from_value(version.contents).context("the registered model cannot be read")?;
    let recorded = [World::Transformation, World::Training].map(|world| (world, contents.limits_of(world)));
    let limits = operator.limits_of_model(recorded, &[])?;
    let (artifacts, cancel) = (&project.home.artifacts, signals::cancel_on_signals());
    let loaded = LoadedModel::new(&contents, &project.runtime, artifacts, limits, Arc::new(WarningLog), 1, &cancel)?;
    let rows = sample_rows(&contents, artifacts, ROWS).context("no rows can be made for this model")?;
    let answers = loaded.check_isolation(&project.runtime, &rows, CallLimits::default()).map_err(FailedPrediction)?;
    let rows = rows.num_rows();
    if json {
        print_json(&serde_json::json!({
            "model": version.model, "version": version.version, "rows": rows, "answers": answers, "keeps_state": false
        }))?;
    } else {
        println!(
            "{}/{}: {answers} answers to {rows} rows are those of fresh instances",
            version.model, version.version
        );
    }
    Ok(ExitCode::Done)
}
