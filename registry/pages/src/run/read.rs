//! The run that a path names.

use maud::{Markup, html};
use stagewright_store::{Run, StageRecord};

use crate::answer::Request;
use crate::fault::Fault;
use crate::markup::cell;
use crate::site::Site;

/// Reads the run that the path names, and its steps.
pub(super) fn read_run(site: &Site<'_>, request: &Request<'_>) -> Result<(Run, Vec<StageRecord>), Fault> {
    let run = site.registry.run(request.part("run_id")?)?;
    let stages = if run.is_client { Vec::new() } else { site.registry.stages(&run.run_id)? };
    Ok((run, stages))
}

/// Returns the path of a run's page, and of what is below it.
pub(super) fn run_of(run_id: &str, below: &str) -> String {
    format!("/runs/{run_id}{below}")
}

/// Returns the way back to the page of a run.
pub(super) fn trail(run_id: &str, name: &str) -> Markup {
    html! { p.trail { a href="/runs" { "Runs" } " / " a href=(run_of(run_id, "#files")) { (cell(name)) } " / files" } }
}
