//! `/`: for someone who has ten seconds. What is in production, how good it is, since when; what
//! failed in the last day; what runs now.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_deployment::View as Deployment;
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{AuditSearch, CHAMPION, LifecycleStage, Page, Promotion, Run, RunStatus, ViewType};

use crate::answer::{Answer, Request, View};
use crate::deployments;
use crate::fault::Fault;
use crate::markup::{badge, cell, nothing};
use crate::models::parts::{champion_of, if_there, model_link, now_ms, rows, version_link};
use crate::models::readable;
use crate::pipelines::{Measured, patience};
use crate::route::{Level, Needs, Resource, Route, Section};
use crate::site::Site;
use crate::text::{duration, number, time};

/// The models in production that are shown; `/models` has all.
const MOST_MODELS: usize = 30;
/// The models that are looked through for those in production.
const MOST_READ: usize = 500;
/// The runs of a list.
const MOST_RUNS: usize = 10;
/// The deployments that are shown.
const MOST_DEPLOYMENTS: usize = 5;
/// The entries of the audit that are looked through for versions that servers refused.
const MOST_REFUSALS: usize = 20;
/// How long ago counts as lately.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/", Needs::SignedIn, overview)]
}

#[derive(Serialize)]
struct Overview {
    /// The champions of pipelines' models, and clients' versions in production.
    in_production: Vec<InProduction>,
    /// Whether there are more models.
    has_more_models: bool,
    /// Models with versions, and nothing in production.
    waiting: Vec<String>,
    /// Promotions whose pointers were not moved yet.
    unfinished: Vec<Promotion>,
    deployments: Vec<Deployment>,
    running: Runs,
    /// Runs that failed or were killed in the last 24 hours.
    failed: Runs,
    /// Versions that servers could not serve in the last 24 hours.
    refused: Vec<Refused>,
    at_ms: i64,
}

#[derive(Serialize)]
struct InProduction {
    model: String,
    version: u32,
    semantic_version: Option<String>,
    since_ms: Option<i64>,
    is_foreign: bool,
    is_unverified: bool,
    measured: Option<Measured>,
    outcomes: u64,
}

#[derive(Serialize)]
struct Runs {
    runs: Vec<RunLine>,
    has_more: bool,
}

#[derive(Serialize)]
struct RunLine {
    run_id: String,
    name: String,
    pipeline: String,
    experiment: String,
    actor: String,
    status: RunStatus,
    started_ms: i64,
    ended_ms: Option<i64>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Refused {
    model: String,
    version: Option<u32>,
    at_ms: i64,
    reason: String,
}

fn overview(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let at_ms = now_ms();
    let (models, next) = readable(site.registry, request.viewer, None, 0, MOST_READ)?;
    let (mut in_production, mut waiting) = (Vec::new(), Vec::new());
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let latest = site.registry.latest_versions(&names)?;
    let until = patience();
    for model in &models {
        let champion = champion_of(model);
        let there =
            latest.iter().filter(|version| version.model == model.name && version.stage == LifecycleStage::Production);
        let before = in_production.len();
        for version in there {
            let of_pipeline = site.pipelines.filter(|_| version.foreign.is_none());
            in_production.push(InProduction {
                model: model.name.clone(),
                version: version.version,
                semantic_version: version.semantic_version.clone(),
                since_ms: version.stage_ms,
                is_foreign: version.foreign.is_some(),
                is_unverified: version.foreign.as_ref().is_some_and(|foreign| !foreign.is_verified()),
                measured: of_pipeline.and_then(|it| if_there("intervals", it.measured(version, until))),
                outcomes: site.registry.outcome_count(&model.name)?,
            });
        }
        if in_production.len() == before && champion.is_none() && model.latest_version > 0 {
            waiting.push(model.name.clone());
        }
        if in_production.len() >= MOST_MODELS {
            break;
        }
    }
    let (deployments, _) = deployments::under_way(site, request, MOST_DEPLOYMENTS)?;
    let mut unfinished = site.registry.unfinished_promotions()?;
    unfinished.retain(|it| request.viewer.may(Level::Read, Resource::Model(&it.model)));
    unfinished.truncate(MOST_RUNS);
    let page = Overview {
        has_more_models: next.is_some() || in_production.len() >= MOST_MODELS,
        in_production,
        waiting,
        unfinished,
        deployments,
        running: runs(site, request, "status = 'RUNNING'", "start_time DESC")?,
        failed: runs(
            site,
            request,
            &format!("status IN ('FAILED', 'KILLED') AND end_time >= {}", at_ms - DAY_MS),
            "end_time DESC",
        )?,
        refused: refused(site, request, at_ms - DAY_MS)?,
        at_ms,
    };
    Ok(Answer::page(&page, request))
}

/// Returns the first runs that the viewer may see and that satisfy a filter.
fn runs(site: &Site<'_>, request: &Request<'_>, filter: &str, order: &str) -> Result<Runs, Fault> {
    let failed = |error: stagewright_store::search::SearchError| Fault::bad(format!("{error}."));
    let filter = Filter::parse(Entity::Runs, filter).map_err(failed)?;
    let order = OrderBy::parse(Entity::Runs, &[order]).map_err(failed)?;
    let page = Page { limit: MOST_RUNS + 1, offset: 0 };
    let mut found = match request.viewer.may.experiments() {
        None => site.registry.search_runs(None, &filter, &order, ViewType::Active, page)?,
        Some(mine) => {
            let mine: Vec<i64> = mine.into_iter().collect();
            site.registry.search_runs_in(&mine, &filter, &order, ViewType::Active, page)?
        }
    };
    let has_more = found.len() > MOST_RUNS;
    found.truncate(MOST_RUNS);
    Ok(Runs { runs: found.into_iter().map(RunLine::of).collect(), has_more })
}

impl RunLine {
    fn of(run: Run) -> Self {
        let message = |error: &serde_json::Value| {
            let text = error.get("message").or_else(|| error.get("error")).and_then(serde_json::Value::as_str);
            text.or_else(|| error.as_str()).unwrap_or_default().split("\nhint:").next().unwrap_or_default().to_owned()
        };
        Self {
            error: run.error.as_ref().map(message).filter(|text| !text.is_empty()),
            run_id: run.run_id.to_string(),
            name: run.name,
            pipeline: run.pipeline,
            experiment: run.experiment,
            actor: run.actor,
            status: run.status,
            started_ms: run.started_ms,
            ended_ms: run.ended_ms,
        }
    }
}

fn refused(site: &Site<'_>, request: &Request<'_>, since_ms: i64) -> Result<Vec<Refused>, Fault> {
    let wanted = AuditSearch { action: "version.refused-by-serving".to_owned(), ..AuditSearch::default() };
    let page = site.registry.audit_page(&wanted, None, MOST_REFUSALS)?;
    let lately = page.entries.into_iter().take_while(|entry| entry.at_ms >= since_ms);
    let seen = lately.filter(|entry| request.viewer.may(Level::Read, Resource::Model(&entry.model)));
    Ok(seen
        .map(|entry| Refused { model: entry.model, version: entry.version, at_ms: entry.at_ms, reason: entry.reason })
        .collect())
}

impl View for Overview {
    fn title(&self) -> String {
        "Overview".to_owned()
    }

    fn section(&self) -> Section {
        Section::Overview
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            h1 { "In production" }
            @if self.in_production.is_empty() {
                (nothing("Nothing is in production."))
            } @else {
                div.cards { @for found in &self.in_production { (found.markup()) } }
            }
            @if !self.waiting.is_empty() {
                p.note {
                    "Without a version in production: "
                    @for (place, model) in self.waiting.iter().take(20).enumerate() {
                        @if place > 0 { ", " }
                        (model_link(model))
                    }
                    @if self.waiting.len() > 20 { " and others" }
                    "."
                }
            }
            @if self.has_more_models { p.note { a href="/models" { "There are more models." } } }
            (self.troubles())
            h2 { "Runs now" }
            @if self.running.runs.is_empty() { (nothing("Nothing runs.")) }
            @else { (self.running.markup(self.at_ms)) }
            @if !self.deployments.is_empty() {
                h2 { "Deployments under way" }
                @for deployment in &self.deployments {
                    div.card { h3 { (model_link(&deployment.model)) } (deployments::summary(deployment, false)) }
                }
            }
        }
    }
}

impl Overview {
    /// Shows what went wrong in the last day, and what is not finished.
    fn troubles(&self) -> Markup {
        html! {
            h2 { "Failed in the last 24 hours" }
            @if self.failed.runs.is_empty() && self.refused.is_empty() && self.unfinished.is_empty() {
                p { (badge("good", "✓ nothing")) }
            }
            @for promotion in &self.unfinished {
                p.warning {
                    @if promotion.retirement {
                        (cell(&promotion.destination)) " still points to version " (promotion.version) " of "
                        (model_link(&promotion.model)) ", which is retired."
                    } @else {
                        (cell(&promotion.destination)) " does not point to version " (promotion.version) " of "
                        (model_link(&promotion.model)) " yet. The next promotion moves the pointer, and so does "
                        code { "stagewright models promote " (cell(&promotion.model)) "@" (CHAMPION) } "."
                    }
                }
            }
            @for refused in &self.refused {
                p.warning {
                    "A server could not serve " (model_link(&refused.model))
                    @if let Some(version) = refused.version { " " (version_link(&refused.model, version)) }
                    " at " (time(refused.at_ms)) ": " (cell(&refused.reason))
                }
            }
            @if !self.failed.runs.is_empty() { (self.failed.markup(self.at_ms)) }
        }
    }
}

impl InProduction {
    fn markup(&self) -> Markup {
        html! {
            section.card {
                h2 { (model_link(&self.model)) }
                p.lead {
                    (version_link(&self.model, self.version))
                    @if let Some(semantic) = &self.semantic_version { " " span.soft { (cell(semantic)) } }
                    @if self.is_foreign { " " (badge("plain", "MLflow client")) }
                    @if self.is_unverified { " " (badge("warn", "unverified")) }
                }
                @if let Some(since) = self.since_ms { p.soft { "since " (time(since)) } }
                @if let Some(measured) = &self.measured {
                    @if let Some(first) = measured.intervals.first() {
                        p.measure {
                            span.soft { (cell(&first.metric)) } " " strong { (number(first.value)) }
                            @if let (Some(low), Some(high)) = (first.low, first.high) {
                                br;
                                span.soft {
                                    (number(first.confidence * 100.0)) " % interval " (number(low)) " to " (number(high))
                                }
                            }
                            br;
                            span.soft { (rows(measured.rows)) }
                        }
                    }
                } @else if !self.is_foreign {
                    p.soft { "its evaluation is not at hand" }
                }
                @if self.outcomes > 0 {
                    p { a href={ (crate::models::parts::model_path(&self.model)) "/live" } { "Live metrics" } }
                }
            }
        }
    }
}

impl Runs {
    fn markup(&self, at_ms: i64) -> Markup {
        html! {
            div.wide { table {
                thead { tr { th { "Run" } th { "Pipeline or experiment" } th { "Status" } th { "Began" } th.number { "Took" } th { "By" } } }
                tbody { @for run in &self.runs { tr {
                    td.text {
                        a href={ "/runs/" (run.run_id) } { (cell(&run.name)) }
                        @if let Some(error) = &run.error { br; span.soft { (cell(error)) } }
                    }
                    td.text { @if run.pipeline.is_empty() { (cell(&run.experiment)) } @else { (cell(&run.pipeline)) } }
                    td {
                        @match run.status {
                            RunStatus::Running => (badge("busy", "running")),
                            RunStatus::Finished => (badge("good", "finished")),
                            RunStatus::Failed => (badge("bad", "✗ failed")),
                            RunStatus::Killed => (badge("bad", "✗ killed")),
                        }
                    }
                    td.nowrap { (time(run.started_ms)) }
                    td.number { (duration((run.ended_ms.unwrap_or(at_ms) - run.started_ms) as f64)) }
                    td { (cell(&run.actor)) }
                } } }
            } }
            @if self.has_more { p.note { a href="/runs" { "There are more." } } }
        }
    }
}
