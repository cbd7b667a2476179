//! `runs export mlflow`: sends runs to an MLflow server.

use serde_json::json;
use stagewright_exchange::export::Sent;
use stagewright_lifecycle::foreach::children_of;
use stagewright_mlflow_client::Limits;
use stagewright_store::{Home, Run};

use crate::commands::models::card;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::mlflow;
use crate::output::print_json;
use crate::usage_error::{UsageError, shown};

/// Sends runs, with their children, to a server.
pub(super) fn send(location: &HomeLocation, runs: &[String], to: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let server = mlflow::server(&mlflow::address_or_named(to, "--to")?, Limits::PATIENT)?;
    let address = server.address().to_string();
    let mut exporter = mlflow::exporter(server, &home, card::writer(&home));
    let mut sent = Vec::new();
    for run in with_children(&home, runs)? {
        let done = exporter.send(&run.run_id)?;
        if !json {
            tell(&done, &address);
        }
        sent.push(done);
    }
    if json {
        print_json(&json!({ "address": address, "runs": sent }))?;
    }
    Ok(ExitCode::Done)
}

/// Returns the runs that arguments name, each with its children.
fn with_children(home: &Home, runs: &[String]) -> anyhow::Result<Vec<Run>> {
    let mut all: Vec<Run> = Vec::new();
    for name in runs {
        let run = home.registry.run(name)?;
        if run.is_client {
            return Err(UsageError::error(
                ErrorCode::Argument,
                format!("the run {} was logged by a client of MLflow, and only runs of pipelines are sent", run.run_id),
                "let its client log to the other server",
            ));
        }
        let children = children_of(&home.registry, &run.run_id)?;
        all.extend(std::iter::once(run).chain(children));
    }
    Ok(all)
}

fn tell(sent: &Sent, address: &str) {
    if sent.is_itself {
        println!("run {} is at {address} already: that server works with this registry", sent.run_id);
        return;
    }
    println!("run {} is run {} at {address}: {} files", sent.run_id, shown(&sent.copy), sent.files);
    for version in &sent.versions {
        println!("  registered as {}", shown(version));
    }
    for note in &sent.notes {
        println!("  {}", shown(note));
    }
}
