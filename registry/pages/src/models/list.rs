//! `/models`: the registered models, and what is in production.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{LifecycleStage, Model, ModelVersion, Page, Registry};

use super::parts::{champion_of, model_link, version_link};
use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{badge, cell, nothing};
use crate::route::{Level, Resource, Section};
use crate::site::Site;
use crate::text::{counted, time};
use crate::viewer::Viewer;

/// The models of a page.
const ON_PAGE: usize = 50;
/// The models that are read at once, and the most that one page looks through for those that its
/// viewer may read.
const AT_ONCE: usize = 200;
const MOST_READ: usize = 10_000;

#[derive(Serialize)]
struct Models {
    search: Option<String>,
    from: usize,
    models: Vec<Row>,
    /// Where the next page begins.
    next: Option<usize>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    description: String,
    /// Whether clients register its versions.
    is_foreign: bool,
    versions: usize,
    latest_version: u32,
    in_production: Vec<InProduction>,
    /// The aliases beside the champion's.
    aliases: Vec<(String, u32)>,
    changed_ms: i64,
}

#[derive(Serialize)]
struct InProduction {
    version: u32,
    semantic_version: Option<String>,
    since_ms: Option<i64>,
    /// Whether nobody has seen the files of a client's version.
    is_unverified: bool,
}

pub(super) fn models(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let search = request.query.get("search").map(str::to_owned);
    let from = request.query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let (found, next) = readable(site.registry, request.viewer, search.as_deref(), from, ON_PAGE)?;
    let names: Vec<&str> = found.iter().map(|model| model.name.as_str()).collect();
    let latest = site.registry.latest_versions(&names)?;
    let rows = found.iter().map(|model| row(site, model, &latest));
    let models = rows.collect::<Result<_, Fault>>()?;
    Ok(Answer::page(&Models { search, from, models, next }, request))
}

/// Returns the models that a viewer may read, from a place on, and where the next page begins.
pub(crate) fn readable(
    registry: &Registry,
    viewer: &Viewer,
    search: Option<&str>,
    from: usize,
    most: usize,
) -> Result<(Vec<Model>, Option<usize>), Fault> {
    let filter = match search {
        // A quote within a text is doubled; `%` and `_` in it are wildcards, as they are in MLflow.
        Some(text) => format!("name ILIKE '%{}%'", text.replace('\'', "''")),
        None => String::new(),
    };
    let failed = |error: stagewright_store::search::SearchError| Fault::bad(format!("{error}."));
    let filter = Filter::parse(Entity::RegisteredModels, &filter).map_err(failed)?;
    let order = OrderBy::parse(Entity::RegisteredModels, &["name ASC"]).map_err(failed)?;
    let (mut found, mut offset) = (Vec::new(), from);
    while offset - from < MOST_READ {
        let page = registry.search_models(&filter, &order, Page { limit: AT_ONCE, offset })?;
        let is_last = page.len() < AT_ONCE;
        for model in page {
            if found.len() == most {
                return Ok((found, Some(offset)));
            }
            offset += 1;
            if viewer.may(Level::Read, Resource::Model(&model.name)) {
                found.push(model);
            }
        }
        if is_last {
            return Ok((found, None));
        }
    }
    Ok((found, Some(offset)))
}

fn row(site: &Site<'_>, model: &Model, latest: &[ModelVersion]) -> Result<Row, Fault> {
    let in_production = latest
        .iter()
        .filter(|version| version.model == model.name && version.stage == LifecycleStage::Production)
        .map(|version| InProduction {
            version: version.version,
            semantic_version: version.semantic_version.clone(),
            since_ms: version.stage_ms,
            is_unverified: version.foreign.as_ref().is_some_and(|foreign| !foreign.is_verified()),
        });
    let champion = champion_of(model);
    let is_free =
        |(alias, version): &&(String, u32)| alias != stagewright_store::CHAMPION || champion != Some(*version);
    Ok(Row {
        name: model.name.clone(),
        description: model.description.clone(),
        is_foreign: model.is_foreign,
        versions: site.registry.version_numbers(&model.name)?.len(),
        latest_version: model.latest_version,
        in_production: in_production.collect(),
        aliases: model.aliases.iter().filter(is_free).cloned().collect(),
        changed_ms: model.updated_ms,
    })
}

impl View for Models {
    fn title(&self) -> String {
        "Models".to_owned()
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, request: &Request<'_>) -> Markup {
        html! {
            h1 { "Models" }
            form.controls method="get" action="/models" role="search" {
                div.grow {
                    label for="search" { "Name" }
                    input #search type="search" name="search" value=[self.search.as_deref()];
                }
                button { "Search" }
            }
            @if self.models.is_empty() {
                @if self.search.is_some() { (nothing("No model that you may see has such a name.")) }
                @else { (nothing("No model is registered yet. A pipeline's run registers one, and so does an MLflow client.")) }
            } @else {
                div.wide { table {
                    thead { tr {
                        th { "Model" } th { "In production" } th { "Since" } th.number { "Versions" } th { "Aliases" }
                        th { "Changed" }
                    } }
                    tbody { @for row in &self.models { (row.markup()) } }
                } }
            }
            (pager(request, self.from, self.next))
        }
    }
}

impl Row {
    fn markup(&self) -> Markup {
        html! {
            tr {
                td.text {
                    (model_link(&self.name))
                    @if self.is_foreign { " " (badge("plain", "MLflow client")) }
                    @if !self.description.is_empty() { br; span.soft { (cell(&self.description)) } }
                }
                td {
                    @for (place, found) in self.in_production.iter().enumerate() {
                        @if place > 0 { ", " }
                        (version_link(&self.name, found.version))
                        @if let Some(semantic) = &found.semantic_version { " " span.soft { (cell(semantic)) } }
                        @if found.is_unverified { " " (badge("warn", "unverified")) }
                    }
                    @if self.in_production.is_empty() { span.soft { "none" } }
                }
                td.nowrap { @if let Some(since) = self.in_production.first().and_then(|it| it.since_ms) { (time(since)) } }
                td.number title={ "the last is " (counted(self.latest_version.into(), "version")) } { (self.versions) }
                td.text { (aliases(&self.name, &self.aliases)) }
                td.nowrap { (time(self.changed_ms)) }
            }
        }
    }
}

/// Returns aliases with links to their versions.
pub(super) fn aliases(model: &str, aliases: &[(String, u32)]) -> Markup {
    html! {
        @for (place, (alias, version)) in aliases.iter().enumerate() {
            @if place > 0 { ", " }
            (cell(alias)) " → " (version_link(model, *version))
        }
    }
}

/// Returns the links to the first and the next page.
pub(super) fn pager(request: &Request<'_>, from: usize, next: Option<usize>) -> Markup {
    let query = &request.query;
    html! {
        @if from > 0 || next.is_some() {
            nav.pager aria-label="Pages" {
                @if from > 0 { a.button href=(query.without("from").link(request.path)) { "First" } }
                @if let Some(next) = next { a.button href=(query.with("from", &next.to_string()).link(request.path)) { "Next" } }
            }
        }
    }
}
