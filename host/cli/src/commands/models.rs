//! `models`: what was registered, and what serves.

use std::path::Path;

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{CHAMPION, Home, ModelVersion};

use crate::arguments::{ModelsArguments, ModelsCommand};
use crate::commands::runs::existing;
use crate::commands::{moment, print_json};
use crate::ending::{Ending, UsageError};
use crate::terminal::table;

/// Lists models or shows one.
pub(crate) fn models(home: &Path, arguments: &ModelsArguments) -> anyhow::Result<Ending> {
    let home = existing(home)?;
    match &arguments.command {
        Some(ModelsCommand::Show { model, json }) => show(&home, model, json.json),
        None => list(&home, arguments.json.json),
    }
}

/// A version of a model from `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
pub(crate) fn find(home: &Home, model: &str, default_alias: &str) -> anyhow::Result<ModelVersion> {
    if let Some((name, version)) = model.split_once('/') {
        let version = version.parse().map_err(|_| {
            UsageError::error(format!("`{version}` is not a version"), "versions are numbers: churn-classifier/3")
        })?;
        return Ok(home.registry.version(name, version)?);
    }
    let (name, alias) = model.split_once('@').unwrap_or((model, default_alias));
    // An unknown model is told as such, not as a missing alias.
    home.registry.versions(name)?;
    let version = home.registry.alias(name, alias)?;
    let version = version.ok_or_else(|| {
        UsageError::error(
            format!("model `{name}` has no alias `{alias}`"),
            format!("`stagewright models show {name}` lists its versions; name one as {name}/VERSION"),
        )
    })?;
    Ok(home.registry.version(name, version)?)
}

fn list(home: &Home, json: bool) -> anyhow::Result<Ending> {
    let models = home.registry.models()?;
    if json {
        print_json(&models)?;
        return Ok(Ending::Done);
    }
    let mut shown = table(&["model", "latest version", "aliases"]);
    for model in &models {
        let aliases: Vec<String> =
            model.aliases.iter().map(|(alias, version)| format!("{alias} -> {version}")).collect();
        shown.add_row(vec![model.name.clone(), model.latest_version.to_string(), aliases.join(", ")]);
    }
    println!("{shown}");
    Ok(Ending::Done)
}

fn show(home: &Home, model: &str, json: bool) -> anyhow::Result<Ending> {
    if model.contains(['@', '/']) {
        let version = find(home, model, CHAMPION)?;
        if json {
            print_json(&version)?;
        } else {
            show_version(&version)?;
        }
        return Ok(Ending::Done);
    }
    let versions = home.registry.versions(model)?;
    if json {
        print_json(&versions)?;
        return Ok(Ending::Done);
    }
    let mut shown = table(&["version", "registered (UTC)", "verdict", "aliases", "component", "roc_auc"]);
    for version in &versions {
        let described: Option<RegisteredModel> = serde_json::from_value(version.description.clone()).ok();
        shown.add_row(vec![
            version.version.to_string(),
            moment(version.created_ms),
            version.verdict.map_or_else(|| "-".to_owned(), |verdict| verdict.name().to_owned()),
            version.aliases.join(", "),
            described.as_ref().map_or_else(String::new, |model| model.training.name.clone()),
            described
                .and_then(|model| model.metrics.get("roc_auc"))
                .map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}")),
        ]);
    }
    println!("{shown}");
    Ok(Ending::Done)
}

fn show_version(version: &ModelVersion) -> anyhow::Result<()> {
    let model: RegisteredModel = serde_json::from_value(version.description.clone())?;
    println!("{} version {}, registered {} UTC", version.model, version.version, moment(version.created_ms));
    if let Some(verdict) = version.verdict {
        println!("{}: {}", verdict.name(), version.reason.as_deref().unwrap_or_default());
    }
    println!("aliases         {}", version.aliases.join(", "));
    println!("run             {}", model.run_id);
    println!("transformation  {} {}", model.transformation.name, model.transformation.digest);
    println!("state           {}", model.state);
    println!("training        {} {}", model.training.name, model.training.digest);
    println!("model           {}", model.model);
    println!("trained on      {}", model.data_digest);
    println!("measured on     {}", model.test_digest);
    let mut shown = table(&["metric", "value"]);
    for (name, value) in model.metrics.iter() {
        shown.add_row(vec![name.to_owned(), value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"))]);
    }
    println!("{shown}");
    Ok(())
}
