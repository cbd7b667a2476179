//! `predict`: new rows through a registered model, decoded as training data was.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arrow_array::RecordBatch;
use stagewright_data::{Signature, Strictness, Task, decode_csv, decode_json};
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::Ready;
use stagewright_lifecycle::sandbox::{Level, Tracker};
use stagewright_manifest::World;
use stagewright_store::CHAMPION;
use stagewright_text::Outside;

use crate::arguments::PredictArguments;
use crate::commands::{models, print_json};
use crate::ending::{Ending, FailedPrediction, UsageError};
use crate::location::Location;
use crate::workplace::{self, Workplace};

/// Whoever predicts wants numbers, not the stages' lines; warnings are shown all the same.
struct Warnings;

impl Tracker for Warnings {
    fn log(&self, level: Level, message: &str) {
        if level >= Level::Warn {
            tracing::warn!("{message}");
        }
    }
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// Predicts.
pub(crate) fn predict(location: &Location, arguments: &PredictArguments) -> anyhow::Result<Ending> {
    location.existing()?;
    let operator = workplace::operator()?;
    let workplace = Workplace::open(location, &operator)?;
    let version = models::find(&workplace.home, &arguments.model, CHAMPION)?;
    let model: RegisteredModel =
        serde_json::from_value(version.contents).context("the registered model cannot be read")?;
    let rows = read(&arguments.input, &model.signature)?;
    let cancel = workplace::cancel_on_signals();
    let workers = workplace::workers(arguments.workers);
    let recorded = [World::Transformation, World::Training].map(|world| (world, model.limits_of(world)));
    let limits = operator.limits_of_model(recorded, &arguments.set)?;
    let artifacts = &workplace.home.artifacts;
    let ready = Ready::new(&model, &workplace.runtime, artifacts, limits, Arc::new(Warnings), workers, &cancel)?;
    let numbers = ready.predict(&workplace.runtime, &rows).map_err(FailedPrediction)?;
    warn_of_unseen(&ready, rows.num_rows());
    if arguments.json.json {
        let rows: Vec<_> = numbers.chunks(model.width()).map(|row| prediction(&model.task, row)).collect();
        let unseen = ready.unseen().map(|counts| {
            counts.into_iter().map(|(column, rows)| (column, rows.into())).collect::<serde_json::Map<_, _>>()
        });
        print_json(&serde_json::json!({
            "model": version.model, "version": version.version, "predictions": rows, "unseen": unseen
        }))?;
    } else {
        write_csv(&model.task, &numbers, model.width())?;
    }
    Ok(Ending::Done)
}

/// Says which columns have categories that the model cannot know: such rows are scored without what those columns say.
fn warn_of_unseen(ready: &Ready, rows: usize) {
    for (column, count) in ready.unseen().into_iter().flatten().filter(|(_, count)| *count > 0) {
        tracing::warn!("column `{column}`: {count} of {rows} rows have a category that training never saw");
    }
}

fn read(input: &Path, signature: &Signature) -> anyhow::Result<RecordBatch> {
    let cannot = || format!("cannot read {}", input.display());
    let ending = input.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    match ending.as_str() {
        _ if input == Path::new("-") => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).with_context(cannot)?;
            Ok(decode_json(&text, signature, Strictness::Predict)?)
        }
        "json" | "jsonl" | "ndjson" => {
            Ok(decode_json(&std::fs::read(input).with_context(cannot)?, signature, Strictness::Predict)?)
        }
        "csv" => Ok(decode_csv(File::open(input).with_context(cannot)?, b',', signature, Strictness::Predict)?),
        "tsv" => Ok(decode_csv(File::open(input).with_context(cannot)?, b'\t', signature, Strictness::Predict)?),
        _ => Err(UsageError::error(
            format!("cannot tell the format of {}", input.display()),
            "rows come as .csv, .tsv, .json or .jsonl, or as JSON through `-`",
        )),
    }
}

/// The most probable class.
fn label<'a>(task: &'a Task, row: &[f64]) -> Option<&'a str> {
    match task {
        Task::Binary { negative, positive } => Some(if row[0] >= 0.5 { positive } else { negative }),
        Task::MultiClass { classes } => {
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class)?;
            classes.get(best).map(String::as_str)
        }
        Task::Regression => None,
    }
}

fn prediction(task: &Task, row: &[f64]) -> serde_json::Value {
    match task {
        Task::Binary { .. } => serde_json::json!({ "label": label(task, row), "probability": row[0] }),
        Task::MultiClass { classes } => {
            let probabilities: serde_json::Map<_, _> =
                classes.iter().cloned().zip(row.iter().map(|&value| value.into())).collect();
            serde_json::json!({ "label": label(task, row), "probabilities": probabilities })
        }
        Task::Regression => serde_json::json!({ "value": row[0] }),
    }
}

/// A comma-separated line for each row, for pipes.
fn write_csv(task: &Task, numbers: &[f64], width: usize) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match task {
        Task::Binary { .. } => writeln!(out, "label,probability")?,
        Task::MultiClass { .. } => writeln!(out, "label,probability")?,
        Task::Regression => writeln!(out, "value")?,
    }
    for row in numbers.chunks(width) {
        match label(task, row) {
            Some(label) => {
                // As it is shown everywhere; JSON has it as it is.
                let label = Outside::new(label).to_string();
                let label =
                    if label.contains([',', '"']) { format!("\"{}\"", label.replace('"', "\"\"")) } else { label };
                writeln!(out, "{label},{}", row.iter().copied().fold(f64::MIN, f64::max))?;
            }
            None => writeln!(out, "{}", row[0])?,
        }
    }
    out.flush()?;
    Ok(())
}
