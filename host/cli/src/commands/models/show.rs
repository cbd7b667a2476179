//! `models show`: shows a model's versions, or one version.

use stagewright_store::{CHAMPION, ForeignSource, Home, ModelVersion, VersionVerdict};
use stagewright_text::Untrusted;

use super::list::version_table;
use super::version::{contents, find_version};
use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::terminal::{moment, table};

pub(super) fn show(home: &Home, model: &str, json: bool) -> anyhow::Result<ExitCode> {
    if model.contains(['@', '/']) {
        let version = find_version(home, model, CHAMPION)?;
        if json {
            print_json(&with_verdicts(home, &version)?)?;
        } else if let Some(foreign) = &version.foreign {
            show_foreign(&version, foreign)?;
        } else {
            show_version(home, &version)?;
        }
        return Ok(ExitCode::Done);
    }
    let versions = home.registry.versions(model)?;
    if json {
        let versions = versions.iter().map(|version| with_verdicts(home, version));
        print_json(&versions.collect::<anyhow::Result<Vec<_>>>()?)?;
    } else {
        println!("{}", version_table(&versions, false));
    }
    Ok(ExitCode::Done)
}

/// Returns a version as JSON with all its verdicts, oldest first.
pub(super) fn with_verdicts(home: &Home, version: &ModelVersion) -> anyhow::Result<serde_json::Value> {
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

/// Shows a version that a client registered.
fn show_foreign(version: &ModelVersion, foreign: &ForeignSource) -> anyhow::Result<()> {
    println!(
        "{} version {}, registered {} UTC by {}, an MLflow client",
        Untrusted::new(&version.model),
        version.version,
        moment(version.created_ms),
        Untrusted::new(if version.actor.is_empty() { "somebody" } else { &version.actor })
    );
    println!("stage           {}", version.stage);
    println!("aliases         {}", version.aliases.join(", "));
    println!("source          {}", Untrusted::new(&foreign.source));
    match &foreign.digest {
        Some(digest) => println!("files           {digest}"),
        None => println!("files           unverified: the tracking server has seen none"),
    }
    if let Some(run) = &version.run_id {
        println!("run             {run}");
    }
    for (name, value) in &version.tags {
        println!("tag             {} = {}", Untrusted::new(name), Untrusted::new(value));
    }
    Ok(())
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
