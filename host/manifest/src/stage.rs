//! `[stages.WORLD]`: which component does what, with which source and limits.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::{Entry, Table, Value};
use crate::http_grant::HttpGrant;
use crate::limits::Limits;
use crate::names::Identifier;
use crate::nearest::nearest;
use crate::reader::Section;
use crate::world::World;

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageSection {
    /// Which of the six it is.
    #[serde(skip)]
    pub world: World,
    /// The component that does it.
    pub component: Identifier,
    /// The source that it may read; ingestion only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Identifier>,
    /// The servers and networks that the host may ask for the stage's source; ingestion only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// What it may use.
    pub limits: Limits,
}

/// Reads the six stages, in lifecycle order; `None` for one that is missing or wrong.
pub(crate) fn read_all(section: Section<'_>) -> Vec<Option<StageSection>> {
    check_order(&section);
    let read = |world: World| {
        let stage = section.get(world.as_str());
        if stage.is_none() {
            let hint = format!("add `[stages.{world}]`; the six stages are, in order, {}", World::order());
            section.report(format!("missing stage `{world}`"), Some(hint));
        }
        stage.and_then(|item| read_stage(item.section()?, world))
    };
    let stages = World::all().map(read).collect();
    check_components(&section);
    section.finish_with(|_| Some(format!("the six stages are, in order, {}", World::order())));
    stages
}

fn read_stage(section: Section<'_>, world: World) -> Option<StageSection> {
    let component = section.require("component", "component = \"NAME\"").and_then(|item| item.identifier());
    let reads_sources = world.contract().reads_sources;
    let source = section.get("source");
    if let (Some(item), true) = (&source, !reads_sources) {
        let hint = "remove it: a source is handed to `ingestion`, and later stages get its table".to_owned();
        item.report(format!("`{world}` cannot read a source"), Some(hint));
    }
    let source = match source {
        Some(item) if reads_sources => Some(item.identifier()),
        _ => None,
    };
    let http = section.get("http");
    if let (Some(item), true) = (&http, !reads_sources) {
        let hint = "remove it: only `ingestion` has a source, and the host fetches it".to_owned();
        item.report(format!("`{world}` reaches no server"), Some(hint));
    }
    let http = http.filter(|_| reads_sources).map_or(Some(Vec::new()), |item| HttpGrant::read_all(&item));
    let limits =
        section.section("limits").map_or_else(|| Limits::defaults(world), |limits| Limits::read(limits, world));
    let name = component.as_ref().map_or("NAME", Identifier::as_str);
    section.finish_with(|_| Some(format!("parameters go under `[components.{name}.parameters]`")));
    let source = source.map_or(Some(None), |it| it.map(Some))?;
    Some(StageSection { world, component: component?, source, http: http?, limits })
}

/// The stages must stand in the order in which they run. A stage that is out of order is a sign
/// that the reader of the file expects another pipeline than the one that runs.
fn check_order(section: &Section<'_>) {
    let mut latest: Option<World> = None;
    for (name, item) in section.items() {
        let Some(world) = World::from_name(name) else {
            continue;
        };
        match latest {
            Some(before) if world < before => {
                let hint = format!("the order is fixed: {}", World::order());
                item.report(format!("stage `{world}` stands after `{before}`"), Some(hint));
            }
            _ => latest = Some(world),
        }
    }
}

/// A component implements one world, so no two stages can share one.
fn check_components(section: &Section<'_>) {
    let mut users: BTreeMap<&String, &str> = BTreeMap::new();
    for (name, stage) in section.items().filter(|(name, _)| World::from_name(name).is_some()) {
        let Value::Table(table) = &stage.node.value else {
            continue;
        };
        let Some(Entry { node, .. }) = table.get("component") else {
            continue;
        };
        let Value::String(component) = &node.value else {
            continue;
        };
        if let Some(first) = users.insert(component, name) {
            let message = format!("`{component}` is the component of `{first}` and of `{name}`");
            let hint = "a component implements one world: choose another for one of the two".to_owned();
            let key = format!("stages.{name}.component");
            section.context.collector.report(&node.origin, &key, message, Some(hint));
        }
    }
}

/// The source that ingestion names must be declared.
pub(crate) fn check_source(stages: &Section<'_>, sources: Option<&Table>) {
    let Some(Entry { node, .. }) = stages.table.at(&[World::Ingestion.as_str(), "source"]) else {
        return;
    };
    let Value::String(name) = &node.value else {
        return;
    };
    let sources: Vec<&str> = sources.into_iter().flat_map(Table::iter).map(|entry| entry.name.as_str()).collect();
    if sources.contains(&name.as_str()) {
        return;
    }
    let hint = match nearest(name, sources.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("add `[sources.{name}]` with a `uri`"),
    };
    let key = "stages.ingestion.source";
    stages.context.collector.report(&node.origin, key, format!("no source is named `{name}`"), Some(hint));
}
