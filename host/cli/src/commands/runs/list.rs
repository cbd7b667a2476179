//! `runs list`: lists runs, newest first.

use stagewright_lifecycle::foreach::ChildOf;
use stagewright_store::Run;

use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::terminal::{Grid, milliseconds, moment, table};

pub(super) fn list(location: &HomeLocation, limit: usize, json: bool) -> anyhow::Result<ExitCode> {
    let runs = location.existing()?.registry.list_runs(limit)?;
    if json {
        print_json(&runs)?;
    } else {
        println!("{}", run_table(&runs));
    }
    Ok(ExitCode::Done)
}

/// Returns runs as a table.
pub(crate) fn run_table(runs: &[Run]) -> Grid {
    let mut shown = table(&["run", "pipeline", "experiment", "began (UTC)", "took", "status", "roc_auc"]);
    for run in runs {
        let took = run
            .ended_ms
            .map_or_else(|| "-".to_owned(), |ended| milliseconds(ended.saturating_sub(run.started_ms) as f64));
        let auc = run.metrics.iter().find(|metric| metric.name == "roc_auc");
        shown.add_row(vec![
            run.run_id.to_string(),
            match ChildOf::of(&run.config) {
                Some(child) => format!("{}/{}", run.pipeline, child.name),
                None => run.pipeline.clone(),
            },
            run.experiment.clone(),
            moment(run.started_ms),
            took,
            run.status.to_string(),
            auc.map_or_else(|| "-".to_owned(), |metric| format!("{:.4}", metric.value)),
        ]);
    }
    shown
}
