//! `predict`: predicts new rows with a registered model. They are decoded as the training data was.
//!
//! Rows are read, predicted and written piece by piece, in order: [`input`] opens them, [`stream`]
//! passes them on, and [`output`] writes them.

use std::sync::Arc;

use anyhow::Context as _;
use stagewright_data::Task;
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::LoadedModel;
use stagewright_lifecycle::sandbox::{Cancel, Level, Tracker};
use stagewright_manifest::{Operator, World};
use stagewright_store::{CHAMPION, ModelVersion};

mod input;
mod output;
mod patience;
mod progress;
mod stream;

use crate::arguments::PredictArguments;
use crate::classify::FailedPrediction;
use crate::commands::models::version::find_version;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::{ReaderGone, print_json};
use crate::project::Project;
use crate::signals;
use crate::usage_error::UsageError;
use output::{OutputPlan, Unseen};
use patience::Patience;
use progress::Progress;
use stream::{Beside, PieceStream};

/// Shows the warnings of stages, and ignores their other messages.
pub(crate) struct WarningLog;

impl Tracker for WarningLog {
    fn log(&self, level: Level, message: &str) {
        if level >= Level::Warn {
            tracing::warn!("{message}");
        }
    }
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

pub(crate) fn predict(location: &HomeLocation, arguments: &PredictArguments) -> anyhow::Result<ExitCode> {
    location.existing()?;
    let operator = installation::operator()?;
    let project = Project::open_with(location, &operator, arguments.workers)?;
    let version = find_version(&project.home, &arguments.model, CHAMPION)?;
    version.check_runnable()?;
    let model: RegisteredModel =
        serde_json::from_value(version.contents.clone()).context("the registered model cannot be read")?;
    let keep = kept_names(&arguments.keep, &model.task)?;
    let plan = OutputPlan::of(arguments.output.as_deref(), arguments.json.json)?;
    let cancel = signals::cancel_on_signals();
    let patience = Patience::new(cancel.clone());
    let columns = plan.columns(&keep, &model.signature);
    let rows = input::open(&project, &arguments.input, &model.signature, &columns.from_input, &patience)?;
    let ready = loaded(&project, &operator, arguments, &model, &cancel)?;
    let mut writer = plan.open(&project.home, &version, &model.task, columns)?;
    let mut progress = Progress::new(!arguments.json.json && plan.leaves_terminal());
    let (mut stream, besides) = PieceStream::new(rows, &patience, writer.features());
    let (mut count, mut failure) = (0, None);
    let mut take = |numbers: Vec<f64>| {
        let Beside { kept, features, rows } = besides.recv().map_err(stopped)?;
        writer.write(&output::Piece { rows, numbers: &numbers, kept, features }).map_err(|error| {
            failure = Some(error);
            stopped("the predictions cannot be written")
        })?;
        count += rows as u64;
        progress.show(count);
        Ok(())
    };
    let predicted = ready.predict_stream(&project.runtime, &mut stream, &mut take);
    progress.end();
    if let Some(error) = failure {
        // The reader has enough.
        return if error.is::<ReaderGone>() { Ok(ExitCode::Done) } else { Err(error) };
    }
    predicted.map_err(FailedPrediction)?;
    if let Some(error) = stream.error() {
        return Err(patience.explain(error, &arguments.input).into());
    }
    let unseen = ready.unseen();
    let closed = writer.finish(unseen.as_deref());
    if closed.as_ref().is_err_and(|error| error.is::<ReaderGone>()) {
        return Ok(ExitCode::Done);
    }
    closed?;
    warn_of_unseen(unseen.as_deref(), count);
    report(arguments, &version, count, unseen.as_deref())
}

/// Returns the fault that ends a prediction whose real error is kept elsewhere.
fn stopped(reason: impl std::fmt::Display) -> stagewright_lifecycle::fault::StageFault {
    stagewright_lifecycle::fault::StageFault::host(reason)
}

/// Loads the model under the limits of its training, as the operator and `--set` change them.
fn loaded(
    project: &Project,
    operator: &Operator,
    arguments: &PredictArguments,
    model: &RegisteredModel,
    cancel: &Cancel,
) -> anyhow::Result<LoadedModel> {
    let recorded = [World::Transformation, World::Training].map(|world| (world, model.limits_of(world)));
    let limits = operator.limits_of_model(recorded, &arguments.set)?;
    let (artifacts, workers) = (&project.home.artifacts, project.workers);
    Ok(LoadedModel::new(model, &project.runtime, artifacts, limits, Arc::new(WarningLog), workers, cancel)?)
}

/// Says what was written to a file.
fn report(
    arguments: &PredictArguments,
    version: &ModelVersion,
    rows: u64,
    unseen: Option<Unseen<'_>>,
) -> anyhow::Result<ExitCode> {
    let Some(file) = &arguments.output else { return Ok(ExitCode::Done) };
    if arguments.json.json {
        print_json(&serde_json::json!({
            "model": version.model, "version": version.version, "output": file.display().to_string(), "rows": rows,
            "unseen": output::unseen_json(unseen)
        }))?;
    } else {
        eprintln!("wrote {}: {rows} rows", file.display());
    }
    Ok(ExitCode::Done)
}

/// Warns of columns with categories that training never saw. Such rows are predicted without that
/// column's information.
fn warn_of_unseen(unseen: Option<Unseen<'_>>, rows: u64) {
    for (column, count) in unseen.into_iter().flatten().filter(|(_, count)| *count > 0) {
        tracing::warn!("column `{column}`: {count} of {rows} rows have a category that training never saw");
    }
}

/// Returns the columns to keep, each once.
///
/// # Errors
/// A prediction has a column of that name.
fn kept_names(asked: &[String], task: &Task) -> anyhow::Result<Vec<String>> {
    let own = output::header(task).split(',').chain(["probabilities"]);
    if let Some(taken) = own.into_iter().find(|own| asked.iter().any(|name| name == own)) {
        return Err(UsageError::error(
            ErrorCode::NoColumn,
            format!("the column `{taken}` cannot be kept: predictions have one of that name"),
            "rename it in the input",
        ));
    }
    let mut names: Vec<String> = Vec::new();
    asked.iter().for_each(|name| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    });
    Ok(names)
}
