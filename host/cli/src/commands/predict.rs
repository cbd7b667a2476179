//! `predict`: predicts new rows with a registered model. They are decoded as the training data was.

use std::sync::Arc;

use anyhow::Context as _;
use stagewright_data::{KeptColumn, Task};
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::{LoadedModel, label};
use stagewright_lifecycle::sandbox::{Level, Tracker};
use stagewright_manifest::World;
use stagewright_store::CHAMPION;
use stagewright_text::Untrusted;

mod input;

use crate::arguments::PredictArguments;
use crate::classify::FailedPrediction;
use crate::commands::models::version::find_version;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::project::Project;
use crate::signals;
use crate::usage_error::UsageError;

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
    let model: RegisteredModel =
        serde_json::from_value(version.contents).context("the registered model cannot be read")?;
    let keep = kept_names(&arguments.keep, &model.task)?;
    let rows = input::read(&*project.runtime.decoder(), &arguments.input, &model.signature, &keep)?;
    let cancel = signals::cancel_on_signals();
    let workers = project.workers;
    let recorded = [World::Transformation, World::Training].map(|world| (world, model.limits_of(world)));
    let limits = operator.limits_of_model(recorded, &arguments.set)?;
    let artifacts = &project.home.artifacts;
    let ready = LoadedModel::new(&model, &project.runtime, artifacts, limits, Arc::new(WarningLog), workers, &cancel)?;
    let numbers = ready.predict(&project.runtime, &rows.batch).map_err(FailedPrediction)?;
    warn_of_unseen(&ready, rows.batch.num_rows());
    let predictions = numbers.chunks(model.width()).enumerate();
    if arguments.json.json {
        let rows: Vec<_> =
            predictions.map(|(row, numbers)| prediction(&model.task, numbers, &rows.kept, row)).collect();
        let unseen = ready.unseen().map(|counts| {
            counts.into_iter().map(|(column, rows)| (column, rows.into())).collect::<serde_json::Map<_, _>>()
        });
        print_json(&serde_json::json!({
            "model": version.model, "version": version.version, "predictions": rows, "unseen": unseen
        }))?;
    } else {
        let mut text = csv_line(rows.kept.iter().map(|column| column.name.clone()), header(&model.task));
        for (row, numbers) in predictions {
            text.push_str(&csv_row(&model.task, numbers, &rows.kept, row));
        }
        crate::output::rows(&text);
    }
    Ok(ExitCode::Done)
}

/// Warns of columns with categories that training never saw. Such rows are predicted without that
/// column's information.
fn warn_of_unseen(ready: &LoadedModel, rows: usize) {
    for (column, count) in ready.unseen().into_iter().flatten().filter(|(_, count)| *count > 0) {
        tracing::warn!("column `{column}`: {count} of {rows} rows have a category that training never saw");
    }
}

/// Returns the columns to keep, each once.
///
/// # Errors
/// A prediction has a column of that name.
fn kept_names(asked: &[String], task: &Task) -> anyhow::Result<Vec<String>> {
    let own = header(task).split(',').chain(["probabilities"]);
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

fn prediction(task: &Task, numbers: &[f64], kept: &[KeptColumn], row: usize) -> serde_json::Value {
    let mut members: serde_json::Map<_, _> =
        kept.iter().map(|column| (column.name.clone(), column.values[row].clone())).collect();
    match task {
        Task::Binary { .. } => {
            members.insert("label".into(), label(task, numbers).into());
            members.insert("probability".into(), numbers[0].into());
        }
        Task::MultiClass { classes } => {
            let probabilities: serde_json::Map<_, _> =
                classes.iter().cloned().zip(numbers.iter().map(|&value| value.into())).collect();
            members.insert("label".into(), label(task, numbers).into());
            members.insert("probabilities".into(), probabilities.into());
        }
        Task::Regression => {
            members.insert("value".into(), numbers[0].into());
        }
    }
    members.into()
}

/// Returns the names of the columns of predictions.
fn header(task: &Task) -> &'static str {
    match task {
        Task::Binary { .. } | Task::MultiClass { .. } => "label,probability",
        Task::Regression => "value",
    }
}

/// Formats a row of CSV: the kept columns, then the prediction.
fn csv_row(task: &Task, numbers: &[f64], kept: &[KeptColumn], row: usize) -> String {
    let text = |column: &KeptColumn| match &column.values[row] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let prediction = match label(task, numbers) {
        // CSV may be read on a terminal, so the label is escaped; in JSON it is as it is.
        Some(label) => {
            format!(
                "{},{}",
                quoted(&Untrusted::new(label).to_string()),
                numbers.iter().copied().fold(f64::MIN, f64::max)
            )
        }
        None => numbers[0].to_string(),
    };
    csv_line(kept.iter().map(text), &prediction)
}

fn csv_line(kept: impl Iterator<Item = String>, rest: &str) -> String {
    let mut line: String = kept.map(|cell| quoted(&cell) + ",").collect();
    line.push_str(rest);
    line.push('\n');
    line
}

/// Quotes a cell of CSV if needed (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
