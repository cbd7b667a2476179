//! Text for people: progress while a run goes on, tables, and errors of a manifest with its source.
//!
//! Progress and errors go to standard error, results to standard output.

mod progress;
mod run_summary;
mod tables;
mod units;

use std::io::IsTerminal as _;

use stagewright_manifest::ManifestError;

pub(crate) use progress::ProgressDisplay;
pub(crate) use run_summary::show_summary;
pub(crate) use tables::{Cell, Grid, right, table};
pub(crate) use units::{bytes, milliseconds, moment};

/// Shows the problems of a manifest: on a terminal with the lines of the file, elsewhere as plain
/// lines.
pub(crate) fn show_manifest_error(error: &ManifestError) {
    if std::io::stderr().is_terminal() {
        let mut text = String::new();
        if miette::GraphicalReportHandler::new().render_report(&mut text, error).is_ok() {
            crate::output::coloured(&format!("{text}\n"));
            return;
        }
    }
    eprint!("{}", error.render());
}
