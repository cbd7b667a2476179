//! `models`: lists, shows, promotes, exports and deletes registered models.

#[cfg(feature = "pipelines")]
pub(super) mod attest;
#[cfg(feature = "pipelines")]
pub(super) mod card;
mod check_isolation;
#[cfg(feature = "pipelines")]
pub(super) mod decide;
pub(super) mod history;
pub(super) mod list;
pub(super) mod outcomes;
#[cfg(feature = "pipelines")]
pub(super) mod promote;
#[cfg(feature = "pipelines")]
mod retire;
mod show;
#[cfg(feature = "pipelines")]
mod transfer;
pub(super) mod version;

use stagewright_store::{CHAMPION, Home, LifecycleStage, Verdict};

use crate::arguments::{ModelsArguments, ModelsCommand};
#[cfg(feature = "pipelines")]
use crate::commands::{compare, search};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::usage_error::UsageError;
use version::{find_version, numbered};

/// Executes a `models` command.
pub(crate) fn models(location: &HomeLocation, arguments: &ModelsArguments) -> anyhow::Result<ExitCode> {
    use ModelsCommand as Ask;
    // A host that only predicts has no home before its first import.
    let home = match &arguments.command {
        #[cfg(feature = "pipelines")]
        Some(Ask::Import { .. }) => location.open()?,
        _ => location.existing()?,
    };
    match &arguments.command {
        None => list::list(&home, arguments.json.json),
        Some(Ask::List(json)) => list::list(&home, json.json),
        Some(Ask::Show { model, json }) => show::show(&home, model, json.json),
        #[cfg(feature = "pipelines")]
        Some(Ask::Compare { models, html, json }) => compare::models(&home, models, html.as_deref(), json.json),
        #[cfg(feature = "pipelines")]
        Some(Ask::Card { model, output, json }) => card::card(&home, model, output.as_deref(), json.json),
        #[cfg(feature = "pipelines")]
        Some(Ask::Attest { model, key, output }) => attest::attest(&home, model, key.as_deref(), output.as_deref()),
        Some(Ask::Outcomes(arguments)) => outcomes::outcomes(&home, arguments),
        #[cfg(feature = "pipelines")]
        Some(Ask::Approve(decision)) => decide::decide(&home, Verdict::Approved, decision),
        #[cfg(feature = "pipelines")]
        Some(Ask::Reject(decision)) => decide::decide(&home, Verdict::Rejected, decision),
        #[cfg(feature = "pipelines")]
        Some(Ask::Promote { model, expected, reason, destination, json }) => {
            let version = find_version(&home, model, CHAMPION)?;
            promote::promote(&home, &version, *expected, reason, destination, json.json)
        }
        #[cfg(feature = "pipelines")]
        Some(Ask::Rollback { model, reason, destination, json }) => {
            promote::rollback(&home, model, reason, destination, json.json)
        }
        #[cfg(feature = "pipelines")]
        Some(Ask::Retire(retirement)) => retire::retire(&home, retirement),
        #[cfg(feature = "pipelines")]
        Some(Ask::Transition { model, stage, reason }) => transition(&home, model, stage, reason),
        #[cfg(feature = "pipelines")]
        Some(Ask::Tag { model, tags, remove }) => tag(&home, model, tags, remove),
        #[cfg(feature = "pipelines")]
        Some(Ask::Alias { model, alias, expected, remove }) => set_alias(&home, model, alias, *expected, *remove),
        #[cfg(feature = "pipelines")]
        Some(Ask::Search(search)) => search::versions(&home, search),
        Some(Ask::History { model, at, json }) => history::history(&home, model, at.as_deref(), json.json),
        #[cfg(feature = "pipelines")]
        Some(Ask::Export { model, destination, json }) => transfer::export(&home, model, destination, json.json),
        #[cfg(feature = "pipelines")]
        Some(Ask::Import { model, register_name, signatures, destination, json }) => {
            transfer::import(&home, model, register_name.as_deref(), signatures, destination, json.json)
        }
        #[cfg(feature = "pipelines")]
        Some(Ask::Delete { model, reason }) => delete(&home, model, reason),
        Some(Ask::CheckIsolation { model, json }) => check_isolation::check_isolation(location, model, json.json),
    }
}

fn transition(home: &Home, model: &str, stage: &str, reason: &str) -> anyhow::Result<ExitCode> {
    let (version, stage) = (find_version(home, model, CHAMPION)?, stage.parse::<LifecycleStage>()?);
    home.registry.transition(&version.model, version.version, stage, reason)?;
    println!("version {} of `{}`: {} -> {stage}", version.version, version.model, version.stage);
    Ok(ExitCode::Done)
}

fn tag(home: &Home, model: &str, tags: &[String], remove: &[String]) -> anyhow::Result<ExitCode> {
    if tags.is_empty() && remove.is_empty() {
        return Err(UsageError::error(
            ErrorCode::Argument,
            "no tag was named",
            "name some as KEY=VALUE, or --remove KEY",
        ));
    }
    let pairs = tags.iter().map(|tag| {
        tag.split_once('=')
            .ok_or_else(|| UsageError::error(ErrorCode::Argument, format!("`{tag}` is not a tag"), "write KEY=VALUE"))
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let changes = pairs.into_iter().map(|(key, value)| (key, Some(value)));
    let changes = changes.chain(remove.iter().map(|key| (key.as_str(), None)));
    if model.contains(['@', '/']) {
        let version = find_version(home, model, CHAMPION)?;
        for (key, value) in changes {
            home.registry.tag_version(&version.model, version.version, key, value)?;
        }
    } else {
        for (key, value) in changes {
            home.registry.tag_model(model, key, value)?;
        }
    }
    Ok(ExitCode::Done)
}

fn set_alias(home: &Home, model: &str, alias: &str, expected: Option<u32>, remove: bool) -> anyhow::Result<ExitCode> {
    let (name, new) = match (numbered(model)?, remove) {
        (Some((name, version)), false) => (name, Some(version)),
        (None, true) => (model, None),
        (None, false) => {
            return Err(UsageError::error(
                ErrorCode::Argument,
                "which version?",
                format!("name it: {model}/VERSION, or --remove the alias"),
            ));
        }
        (Some((name, _)), true) => (name, None),
    };
    match expected {
        Some(expected) => home.registry.set_alias(name, alias, Some(expected), new)?,
        None => home.registry.force_alias(name, alias, new)?,
    }
    match new {
        Some(version) => println!("{name}@{alias} -> version {version}"),
        None => println!("{name}@{alias} is removed"),
    }
    Ok(ExitCode::Done)
}

fn delete(home: &Home, model: &str, reason: &str) -> anyhow::Result<ExitCode> {
    match numbered(model)? {
        Some((name, version)) => home.registry.delete_version(name, version, reason)?,
        None => home.registry.delete_model(model, reason)?,
    }
    println!(
        "`{model}` is deleted; the audit keeps what happened to it. `stagewright gc` removes what it alone reached"
    );
    Ok(ExitCode::Done)
}
