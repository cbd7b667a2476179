//! `models`: what was registered, what serves, and how that changes.

mod attest;
mod card;
mod decide;
mod history;
mod promote;
mod retire;
mod transfer;

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{CHAMPION, Home, LifecycleStage, ModelVersion, Verdict, VersionVerdict};
use stagewright_text::Untrusted;

use crate::arguments::{ModelsArguments, ModelsCommand};
use crate::commands::{moment, print_json, searched, side_by_side};
use crate::ending::{Ending, UsageError};
use crate::location::Location;
use crate::terminal::table;

pub(crate) use attest::{secret, written};
pub(crate) use history::table_of as audit_table;
pub(crate) use promote::carried_out;

/// Does what was asked about models.
pub(crate) fn models(location: &Location, arguments: &ModelsArguments) -> anyhow::Result<Ending> {
    use ModelsCommand as Ask;
    // A host that only serves has no home before its first import.
    let home = match &arguments.command {
        Some(Ask::Import { .. }) => location.open()?,
        _ => location.existing()?,
    };
    match &arguments.command {
        None => list(&home, arguments.json.json),
        Some(Ask::List(json)) => list(&home, json.json),
        Some(Ask::Show { model, json }) => show(&home, model, json.json),
        Some(Ask::Compare { models, html, json }) => side_by_side::models(&home, models, html.as_deref(), json.json),
        Some(Ask::Card { model, output, json }) => card::card(&home, model, output.as_deref(), json.json),
        Some(Ask::Attest { model, key, output }) => attest::attest(&home, model, key.as_deref(), output.as_deref()),
        Some(Ask::Approve(decision)) => decide::decide(&home, Verdict::Approved, decision),
        Some(Ask::Reject(decision)) => decide::decide(&home, Verdict::Rejected, decision),
        Some(Ask::Promote { model, expected, reason, destination, json }) => {
            let version = find(&home, model, CHAMPION)?;
            promote::promote(&home, &version, *expected, reason, destination, json.json)
        }
        Some(Ask::Rollback { model, reason, destination, json }) => {
            promote::rollback(&home, model, reason, destination, json.json)
        }
        Some(Ask::Retire(retirement)) => retire::retire(&home, retirement),
        Some(Ask::Transition { model, stage, reason }) => transition(&home, model, stage, reason),
        Some(Ask::Tag { model, tags, remove }) => tag(&home, model, tags, remove),
        Some(Ask::Alias { model, alias, expected, remove }) => point(&home, model, alias, *expected, *remove),
        Some(Ask::Search(search)) => searched::versions(&home, search),
        Some(Ask::History { model, at, json }) => history::history(&home, model, at.as_deref(), json.json),
        Some(Ask::Export { model, destination, json }) => transfer::export(&home, model, destination, json.json),
        Some(Ask::Import { model, register_name, signatures, destination, json }) => {
            transfer::import(&home, model, register_name.as_deref(), signatures, destination, json.json)
        }
        Some(Ask::Delete { model, reason }) => delete(&home, model, reason),
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
    // As MLflow's clients have it: `latest`, and `v3` for version 3.
    if alias == "latest" {
        return Ok(home.registry.version(name, home.registry.model(name)?.latest_version)?);
    }
    if let Some(version) = alias.strip_prefix('v').and_then(|version| version.parse().ok()) {
        return Ok(home.registry.version(name, version)?);
    }
    // An unknown model is told as such, not as a missing alias.
    home.registry.model(name)?;
    let version = home.registry.alias(name, alias)?;
    let version = version.ok_or_else(|| {
        UsageError::error(
            format!("model `{name}` has no alias `{alias}`"),
            format!("`stagewright models show {name}` lists its versions; name one as {name}/VERSION"),
        )
    })?;
    Ok(home.registry.version(name, version)?)
}

/// The name and the version of `NAME/VERSION`.
fn numbered(model: &str) -> anyhow::Result<Option<(&str, u32)>> {
    let Some((name, version)) = model.split_once('/') else { return Ok(None) };
    let version = version.parse().map_err(|_| {
        UsageError::error(format!("`{version}` is not a version"), "versions are numbers: churn-classifier/3")
    })?;
    Ok(Some((name, version)))
}

fn list(home: &Home, json: bool) -> anyhow::Result<Ending> {
    let models = home.registry.models()?;
    if json {
        print_json(&models)?;
        return Ok(Ending::Done);
    }
    let mut shown = table(&["model", "latest version", "champion", "aliases", "changed (UTC)"]);
    for model in &models {
        let free = model.aliases.iter().filter(|(alias, _)| alias != CHAMPION);
        let aliases: Vec<String> = free.map(|(alias, version)| format!("{alias} -> {version}")).collect();
        shown.add_row(vec![
            model.name.clone(),
            model.latest_version.to_string(),
            model.champion.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            aliases.join(", "),
            moment(model.updated_ms),
        ]);
    }
    println!("{shown}");
    for promotion in home.registry.unfinished_promotions()? {
        if promotion.retirement {
            println!(
                "{} still points to version {} of `{}`, which is retired: stagewright models retire {}",
                promotion.destination, promotion.version, promotion.model, promotion.model
            );
            continue;
        }
        println!(
            "{} does not point to version {} of `{}` yet: stagewright models promote {}@champion",
            Untrusted::new(&promotion.destination),
            promotion.version,
            promotion.model,
            promotion.model
        );
    }
    Ok(Ending::Done)
}

/// A table of versions.
pub(crate) fn table_of(versions: &[ModelVersion], named: bool) -> crate::terminal::Grid {
    let head = ["version", "semantic", "registered (UTC)", "verdict", "stage", "aliases", "component", "roc_auc"];
    let mut shown = table(&head);
    for version in versions {
        let number = if named { format!("{}/{}", version.model, version.version) } else { version.version.to_string() };
        let component = version.parameters.iter().find(|(name, _)| name == "training.component");
        let auc = version.metrics.iter().find(|(name, _)| name == "roc_auc");
        shown.add_row(vec![
            number,
            version.semantic_version.clone().unwrap_or_default(),
            moment(version.created_ms),
            version.verdict.map_or_else(|| "-".to_owned(), |verdict| verdict.name().to_owned()),
            version.stage.to_string(),
            version.aliases.join(", "),
            component.map_or_else(String::new, |(_, component)| component.clone()),
            auc.map_or_else(|| "-".to_owned(), |(_, auc)| format!("{auc:.4}")),
        ]);
    }
    shown
}

fn show(home: &Home, model: &str, json: bool) -> anyhow::Result<Ending> {
    if model.contains(['@', '/']) {
        let version = find(home, model, CHAMPION)?;
        if json {
            print_json(&with_verdicts(home, &version)?)?;
        } else {
            show_version(home, &version)?;
        }
        return Ok(Ending::Done);
    }
    let versions = home.registry.versions(model)?;
    if json {
        let versions = versions.iter().map(|version| with_verdicts(home, version));
        print_json(&versions.collect::<anyhow::Result<Vec<_>>>()?)?;
    } else {
        println!("{}", table_of(&versions, false));
    }
    Ok(Ending::Done)
}

/// A version as JSON, with everything that was said about it, oldest first.
fn with_verdicts(home: &Home, version: &ModelVersion) -> anyhow::Result<serde_json::Value> {
    let verdict = |verdict: &VersionVerdict| -> anyhow::Result<serde_json::Value> {
        let mut shown = serde_json::to_value(verdict)?;
        shown["at"] = jiff::Timestamp::from_millisecond(verdict.at_ms)?.to_string().into();
        Ok(shown)
    };
    let mut shown = serde_json::to_value(version)?;
    let verdicts = home.registry.verdicts(&version.model, version.version)?;
    shown["verdicts"] = verdicts.iter().map(verdict).collect::<anyhow::Result<Vec<_>>>()?.into();
    Ok(shown)
}

/// What a version holds, as it was registered.
pub(crate) fn contents(version: &ModelVersion) -> anyhow::Result<RegisteredModel> {
    serde_json::from_value(version.contents.clone()).map_err(|reason| {
        anyhow::anyhow!("version {} of model `{}` cannot be read: {reason}", version.version, version.model)
    })
}

fn show_version(home: &Home, version: &ModelVersion) -> anyhow::Result<()> {
    let model = contents(version)?;
    let semantic = version.semantic_version.as_ref().map_or_else(String::new, |it| format!(" ({it})"));
    println!(
        "{} version {}{semantic}, registered {} UTC by {}",
        version.model,
        version.version,
        moment(version.created_ms),
        Untrusted::new(if version.actor.is_empty() { "somebody" } else { &version.actor })
    );
    if let Some(verdict) = version.verdict {
        println!("{}: {}", verdict.name(), Untrusted::new(version.reason.as_deref().unwrap_or_default()));
    }
    println!("stage           {}{}", version.stage, if version.withdrawn { ", rolled back from" } else { "" });
    println!("aliases         {}", version.aliases.join(", "));
    println!("run             {}", Untrusted::new(&model.run_id.to_string()));
    if let Some(code) = &model.code {
        let dirty = match code.dirty {
            Some(true) => ", with changes that were not committed",
            Some(false) => "",
            None => ", with or without changes that were not committed",
        };
        let branch = Untrusted::new(code.branch.as_deref().unwrap_or("(no branch)"));
        println!("code            {} {branch}{dirty}", Untrusted::new(&code.commit));
    }
    println!("transformation  {} {}", Untrusted::new(&model.transformation.name), model.transformation.digest);
    println!("state           {}", model.state);
    println!("training        {} {}", Untrusted::new(&model.training.name), model.training.digest);
    println!("model           {}", model.model);
    println!("trained on      {}", model.data_digest);
    println!("measured on     {}", model.test_digest);
    for (name, value) in &version.tags {
        println!("tag             {} = {}", Untrusted::new(name), Untrusted::new(value));
    }
    for verdict in home.registry.verdicts(&version.model, version.version)? {
        let how = Untrusted::new(if verdict.is_override { "a person's decision" } else { &verdict.policy });
        let who = Untrusted::new(if verdict.by.is_empty() { "somebody" } else { &verdict.by });
        println!(
            "verdict         {} UTC, {who}: {}, {how}, against {}: {}",
            moment(verdict.at_ms),
            verdict.verdict,
            verdict.judged_against,
            Untrusted::new(&verdict.reason)
        );
    }
    let mut shown = table(&["metric", "value"]);
    for (name, value) in &version.metrics {
        shown.add_row(vec![name.clone(), if value.is_nan() { "-".to_owned() } else { format!("{value:.6}") }]);
    }
    println!("{shown}");
    Ok(())
}

fn transition(home: &Home, model: &str, stage: &str, reason: &str) -> anyhow::Result<Ending> {
    let (version, stage) = (find(home, model, CHAMPION)?, stage.parse::<LifecycleStage>()?);
    home.registry.transition(&version.model, version.version, stage, reason)?;
    println!("version {} of `{}`: {} -> {stage}", version.version, version.model, version.stage);
    Ok(Ending::Done)
}

fn tag(home: &Home, model: &str, tags: &[String], remove: &[String]) -> anyhow::Result<Ending> {
    if tags.is_empty() && remove.is_empty() {
        return Err(UsageError::error("no tag was named", "name some as KEY=VALUE, or --remove KEY"));
    }
    let pairs = tags.iter().map(|tag| {
        tag.split_once('=').ok_or_else(|| UsageError::error(format!("`{tag}` is not a tag"), "write KEY=VALUE"))
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    let changes = pairs.into_iter().map(|(key, value)| (key, Some(value)));
    let changes = changes.chain(remove.iter().map(|key| (key.as_str(), None)));
    if model.contains(['@', '/']) {
        let version = find(home, model, CHAMPION)?;
        for (key, value) in changes {
            home.registry.tag_version(&version.model, version.version, key, value)?;
        }
    } else {
        for (key, value) in changes {
            home.registry.tag_model(model, key, value)?;
        }
    }
    Ok(Ending::Done)
}

fn point(home: &Home, model: &str, alias: &str, expected: Option<u32>, remove: bool) -> anyhow::Result<Ending> {
    let (name, new) = match (numbered(model)?, remove) {
        (Some((name, version)), false) => (name, Some(version)),
        (None, true) => (model, None),
        (None, false) => {
            return Err(UsageError::error(
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
    Ok(Ending::Done)
}

fn delete(home: &Home, model: &str, reason: &str) -> anyhow::Result<Ending> {
    match numbered(model)? {
        Some((name, version)) => home.registry.delete_version(name, version, reason)?,
        None => home.registry.delete_model(model, reason)?,
    }
    println!(
        "`{model}` is deleted; the audit keeps what happened to it. `stagewright gc` removes what it alone reached"
    );
    Ok(Ending::Done)
}
