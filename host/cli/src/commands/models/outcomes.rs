//! `models outcomes`: how good versions are in production, from predictions that were logged and
//! outcomes that were posted.

mod join;
mod measure;

use std::path::Path;

use stagewright_serving::PredictionLogFiles;
use stagewright_store::Home;

use self::join::Truths;
use self::measure::{CONFIDENCE, Measured, measure};
use crate::arguments::OutcomesArguments;
use crate::commands::models::history::time_or_day;
use crate::commands::models::version::numbered;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::terminal::{Cell, right, table};
use crate::usage_error::UsageError;

pub(super) fn outcomes(home: &Home, arguments: &OutcomesArguments) -> anyhow::Result<ExitCode> {
    let (model, version) = match numbered(&arguments.model)? {
        Some((model, version)) => (model, Some(version)),
        None => (arguments.model.as_str(), None),
    };
    if let (Some(version), Some(only)) = (version, arguments.only)
        && version != only
    {
        let message = format!("`{}` and `--version {only}` name two versions", arguments.model);
        return Err(UsageError::error(ErrorCode::Argument, message, "name one of them"));
    }
    let only = arguments.only.or(version);
    match only {
        // One that never was is a mistake, and not one without outcomes.
        Some(version) => drop(home.registry.version(model, version)?),
        None => drop(home.registry.model(model)?),
    }
    let since = arguments.since.as_deref().map(|text| time_or_day(text, |day| day.at(0, 0, 0, 0))).transpose()?;
    let since_ms = since.map_or(i64::MIN, jiff::Timestamp::as_millisecond);
    let log = log_of(home, model, arguments.log.as_deref());
    let measured = measured(home, model, since_ms, only, arguments.log.as_deref())?;
    if arguments.json.json {
        print_json(&serde_json::json!({
            "model": model,
            "since": since.map(|since| since.to_string()),
            "confidence": CONFIDENCE,
            "arms": measured,
        }))?;
        return Ok(ExitCode::Done);
    }
    if measured.is_empty() {
        println!("no outcome of `{model}` is recorded: clients post them to `/models/{model}/outcomes` of a server");
        return Ok(ExitCode::Done);
    }
    show(&measured);
    if measured.iter().all(|group| group.joined == 0) {
        println!("no outcome has a logged prediction in `{}`: set `log` in the server's file", log.folder().display());
    }
    Ok(ExitCode::Done)
}

/// Returns the predictions that servers of a home logged, or those in a folder.
fn log_of(home: &Home, model: &str, folder: Option<&Path>) -> PredictionLogFiles {
    match folder {
        Some(folder) => PredictionLogFiles::in_folder(folder.to_owned()),
        None => PredictionLogFiles::of(&home.path().join("serving"), model),
    }
}

/// Measures a model's versions, or one of them, by outcomes from a time on.
pub(crate) fn measured(
    home: &Home,
    model: &str,
    since_ms: i64,
    only: Option<u32>,
    folder: Option<&Path>,
) -> anyhow::Result<Vec<Measured>> {
    let mut truths = Truths::read(&home.registry, model, since_ms, only)?;
    truths.find_predictions(&log_of(home, model, folder)).map_err(|error| {
        let hint = "remove the file if it is no log, or name the folder of the log with --log";
        UsageError::error(ErrorCode::FileUnreadable, error.to_string(), hint)
    })?;
    truths.into_groups().into_iter().map(|group| measure(&home.registry, model, group)).collect()
}

/// Shows a line for each version and arm.
fn show(measured: &[Measured]) {
    let mut metrics: Vec<&str> = Vec::new();
    for found in measured.iter().flat_map(|group| &group.metrics) {
        if !metrics.contains(&found.metric.as_str()) {
            metrics.push(&found.metric);
        }
    }
    let head = ["version", "arm", "outcomes", "with a prediction"];
    let mut shown = table(&[&head[..], &metrics].concat());
    for group in measured {
        let mut cells = vec![
            right(group.version),
            Cell::new(group.arm.as_deref().unwrap_or("-")),
            right(group.outcomes),
            right(group.joined),
        ];
        for name in &metrics {
            let metric = group.metrics.iter().find(|metric| metric.metric == *name);
            cells.push(right(metric.map_or_else(
                || "-".to_owned(),
                |metric| match (metric.low, metric.high) {
                    (Some(low), Some(high)) => format!("{:.4} [{low:.4}, {high:.4}]", metric.value),
                    _ => format!("{:.4}", metric.value),
                },
            )));
        }
        shown.add_row(cells);
    }
    println!("{shown}");
    println!("in brackets: the interval of {:.0} % confidence", CONFIDENCE * 100.0);
}
