//! `deploy`: starts, advances, aborts and shows deployments.
//!
//! All of it works on the registry, whether a server runs or not. Servers that follow the registry
//! carry a deployment out.

mod plan;
mod promotion;
mod show;

use stagewright_deployment as deployment;
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{Deployment, Home};

pub(crate) use self::promotion::promote_candidate;
use self::show::{show, views};
use crate::arguments::{DeployCommand, DeployStartArguments, DestinationArguments};
use crate::commands::models::promote::check_components;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::usage_error::UsageError;

/// Executes a `deploy` command.
pub(crate) fn deploy(location: &HomeLocation, command: &DeployCommand) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    match command {
        DeployCommand::Status { model: Some(model), json } => status(&home, model, json.json),
        DeployCommand::Status { model: None, json } => all(&home, json.json),
        DeployCommand::Start(arguments) => start(&home, arguments),
        DeployCommand::Advance { model, reason, destination, json } => {
            advance(&home, model, &one_line(reason), destination, json.json)
        }
        DeployCommand::Abort { model, reason, json } => {
            let reason = one_line(reason);
            if reason.is_empty() {
                let hint = "say why: --reason \"TEXT\"";
                return Err(UsageError::error(ErrorCode::Argument, "giving up needs a reason", hint));
            }
            let aborted = deployment::abort(&home.registry, model, &reason)?;
            shown(&home, &aborted, json.json)
        }
    }
}

fn start(home: &Home, arguments: &DeployStartArguments) -> anyhow::Result<ExitCode> {
    let request = plan::request(arguments)?;
    let (registry, model) = (&home.registry, &arguments.model);
    let plan = deployment::check(registry, model, &request)?;
    // A version that this operator would not promote is not tried either.
    check_components(home, &registry.version(model, plan.candidate())?)?;
    let started = deployment::start(registry, model, &request, &one_line(&arguments.reason))?;
    shown(home, &started, arguments.json.json)
}

fn advance(
    home: &Home,
    model: &str,
    reason: &str,
    destination: &DestinationArguments,
    json: bool,
) -> anyhow::Result<ExitCode> {
    shown(home, &advanced(home, model, reason, destination, json)?, json)
}

/// Makes the next step of the active deployment, which may be a promotion. `quiet` shows no
/// progress.
///
/// # Errors
/// Also where the candidate is champion and its location could not be told: the deployment is over
/// then.
pub(crate) fn advanced(
    home: &Home,
    model: &str,
    reason: &str,
    destination: &DestinationArguments,
    quiet: bool,
) -> anyhow::Result<Deployment> {
    let mut behind = None;
    let promote = |candidate: &_| match promote_candidate(home, candidate, destination, quiet) {
        Ok(_) => Ok(()),
        // The deployment is over all the same.
        Err(error) if error.downcast_ref().is_some_and(PromoteError::is_champion) => {
            behind = Some(error);
            Ok(())
        }
        Err(error) => Err(error),
    };
    let advanced = deployment::advance(&home.registry, model, reason, now_ms(), promote)?;
    behind.map_or(Ok(advanced), Err)
}

/// Shows the active deployment of a model, or else its last one.
fn status(home: &Home, model: &str, json: bool) -> anyhow::Result<ExitCode> {
    let active = home.registry.active_deployment(model)?;
    let last = || anyhow::Ok(home.registry.deployments(model, Some(1))?.into_iter().next());
    match active.map_or_else(last, |active| Ok(Some(active)))? {
        Some(deployment) => shown(home, &deployment, json),
        None if json => {
            print_json(&serde_json::Value::Null)?;
            Ok(ExitCode::Done)
        }
        None => {
            println!("no deployment of `{model}` was ever started");
            Ok(ExitCode::Done)
        }
    }
}

/// Shows the active deployments of all models.
fn all(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let deployments = home.registry.active_deployments()?;
    if json {
        print_json(&views(home, &deployments, now_ms())?)?;
        return Ok(ExitCode::Done);
    }
    if deployments.is_empty() {
        println!("no deployment is active");
    }
    views(home, &deployments, now_ms())?.iter().for_each(show);
    Ok(ExitCode::Done)
}

fn shown(home: &Home, deployment: &Deployment, json: bool) -> anyhow::Result<ExitCode> {
    let view = deployment::status(&home.registry, deployment, now_ms())?;
    if json {
        print_json(&view)?;
    } else {
        show(&view);
    }
    Ok(ExitCode::Done)
}

/// Returns a reason as one line, as the reasons of gates are.
fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
