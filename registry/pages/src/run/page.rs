//! The page of a run.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::search::{Entity, Filter, Key, OrderBy};
use stagewright_store::{PARENT_TAG, Page, Run, RunColumns, RunStatus, StageRecord, ViewType};
use stagewright_text::Untrusted;

use super::files::{self, Entry, Folder};
use super::logs::StepLog;
use super::origin::Origin;
use super::preview::Kind;
use super::read::{read_run, run_of};
use super::steps::Step;
use super::{graph, logs, origin, preview, steps};
use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{badge, block, cell, facts, nothing};
use crate::query::{Query, encoded_path};
use crate::route::Section;
use crate::runs::{RunItem, chart, curve_of_run, item, run_table, status};
use crate::site::Site;
use crate::text::{self, Number};

/// The tag with which clients describe a run.
const NOTE_TAG: &str = "mlflow.note.content";
/// The most nested runs on the page.
const MOST_NESTED: usize = 100;
/// The most figures and reports that are shown.
const MOST_FIGURES: usize = 24;
/// The most rows of metrics, parameters or tags. JSON has all.
const MOST_ROWS: usize = 500;
/// The most bytes of a manifest or an error that are shown.
const MOST_TEXT: usize = 32 << 10;

#[derive(Serialize)]
struct RunView {
    run_id: String,
    name: String,
    pipeline: Option<String>,
    experiment_id: i64,
    experiment: String,
    user: String,
    seed: Option<u64>,
    status: RunStatus,
    started_ms: i64,
    ended_ms: Option<i64>,
    deleted_ms: Option<i64>,
    error: Option<serde_json::Value>,
    parent: Option<String>,
    nested: Vec<RunItem>,
    steps: Vec<Step>,
    metrics: Vec<Metric>,
    parameters: Vec<Pair>,
    tags: Vec<Pair>,
    inputs: Vec<Input>,
    figures: Vec<Entry>,
    reports: Vec<Entry>,
    files: Folder,
    logs: Vec<StepLog>,
    origin: Origin,
    /// The manifest's text.
    manifest: String,
    #[serde(skip)]
    nested_columns: RunColumns,
}

#[derive(Serialize)]
struct Metric {
    name: String,
    value: Number,
    step: i64,
    at_ms: i64,
}

#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

/// A dataset that the run used.
#[derive(Serialize)]
struct Input {
    name: String,
    digest: String,
    source_type: String,
    source: String,
    /// The purposes that it was used for.
    tags: Vec<(String, String)>,
}

pub(super) fn page(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let (run, stages) = read_run(site, request)?;
    let files = files::folder(site, &run, &stages, "")?;
    let (figures, reports) = shown(&stages, &files);
    let nested = nested(site, &run)?;
    let is_running = run.status == RunStatus::Running && !run.is_client;
    let running = if is_running { site.registry.running_steps(&run.run_id)? } else { Vec::new() };
    let parent = run.tags.iter().find(|(name, _)| name == PARENT_TAG).map(|(_, value)| value.clone());
    let view = RunView {
        origin: origin::origin(site, request, &run, &stages)?,
        run_id: run.run_id.to_string(),
        pipeline: (!run.pipeline.is_empty()).then_some(run.pipeline),
        experiment_id: run.experiment_id,
        experiment: run.experiment,
        user: run.actor,
        seed: (!run.is_client).then_some(run.seed),
        status: run.status,
        started_ms: run.started_ms,
        ended_ms: run.ended_ms,
        deleted_ms: run.deleted_ms,
        error: run.error,
        parent: parent.filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()) && *id != *run.run_id.as_str()),
        nested: nested.rows.into_iter().map(item).collect(),
        nested_columns: nested.columns,
        steps: steps::steps(&stages, running),
        metrics: run.metrics.into_iter().map(metric).collect(),
        parameters: run.parameters.into_iter().map(pair).collect(),
        tags: run.tags.into_iter().map(pair).collect(),
        inputs: run.inputs.datasets.into_iter().map(input).collect(),
        figures,
        reports,
        files,
        logs: logs::logs(&stages),
        manifest: run.manifest,
        name: run.name,
    };
    Ok(Answer::page(&view, request))
}

fn metric(metric: stagewright_store::LoggedMetric) -> Metric {
    Metric { name: metric.name, value: Number(metric.value), step: metric.step, at_ms: metric.at_ms }
}

fn pair((name, value): (String, String)) -> Pair {
    Pair { name, value }
}

fn input(used: stagewright_store::DatasetInput) -> Input {
    let stagewright_store::Dataset { name, digest, source_type, source, .. } = used.dataset;
    Input { name, digest, source_type, source, tags: used.tags }
}

/// Returns the runs within a run, the latest first.
fn nested(site: &Site<'_>, run: &Run) -> Result<stagewright_store::RunTable, Fault> {
    let filter = format!("{} = '{}'", Key::Tag(PARENT_TAG.to_owned()), run.run_id);
    let filter = Filter::parse(Entity::Runs, &filter).map_err(stagewright_store::StoreError::from)?;
    let page = Page { limit: MOST_NESTED, offset: 0 };
    let experiments = [run.experiment_id];
    let view = if run.deleted_ms.is_some() { ViewType::All } else { ViewType::Active };
    Ok(site.registry.run_table(Some(&experiments), &filter, &OrderBy::default(), view, page, None)?)
}

/// Returns the figures and the reports of a run: what stages made, and what clients put at the top.
fn shown(stages: &[StageRecord], files: &Folder) -> (Vec<Entry>, Vec<Entry>) {
    let made = stages.iter().flat_map(|stage| stage.outputs.iter().map(|output| files::entry(&stage.name, output)));
    let uploaded = files.entries.iter().filter(|entry| !entry.is_folder).cloned();
    let is_small = |entry: &Entry| entry.bytes.is_some_and(|bytes| bytes <= preview::MOST_SHOWN);
    let (mut figures, mut reports) = (Vec::new(), Vec::new());
    for entry in made.chain(uploaded).filter(is_small) {
        match Kind::of(&entry.path) {
            Kind::Image(_) if figures.len() < MOST_FIGURES => figures.push(entry),
            Kind::Report if reports.len() < MOST_FIGURES => reports.push(entry),
            _ => {}
        }
    }
    (figures, reports)
}

#[derive(Serialize)]
struct CurveOfRun {
    metric: String,
    runs: Vec<crate::runs::Curve>,
}

/// Answers the curve of the metric `metric`, as `/runs/curves` does for several runs.
pub(super) fn curve(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let metric = request.query.get("metric").ok_or_else(|| Fault::bad("`metric` is the name of a metric."))?;
    let run = site.registry.run(request.part("run_id")?)?;
    let runs = vec![curve_of_run(site, &run, metric, &request.query)?];
    Ok(Answer::json(&CurveOfRun { metric: metric.to_owned(), runs }))
}

impl View for RunView {
    fn title(&self) -> String {
        format!("Run {}", self.name)
    }

    fn section(&self) -> Section {
        Section::Runs
    }

    fn scripts(&self) -> &'static [&'static str] {
        &["curves.js", "follow.js"]
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            (self.head())
            @if !self.steps.is_empty() {
                h2 #steps { "Steps" }
                (graph::graph(&self.steps, Step::time))
                (steps::table(&self.steps))
            }
            @if !self.metrics.is_empty() {
                h2 #metrics { "Metrics" }
                (self.metrics())
                h2 #curves { "Curves" }
                (self.curves())
            }
            @if !self.figures.is_empty() || !self.reports.is_empty() {
                h2 #figures { "Figures and reports" }
                (self.shown_files())
            }
            @if !self.parameters.is_empty() { h2 #parameters { "Parameters" } (pairs("Parameters", &self.parameters)) }
            @if !self.inputs.is_empty() { h2 #inputs { "Inputs" } (self.inputs()) }
            (self.origin.shown())
            @if !self.nested.is_empty() {
                h2 #nested { "Nested runs" }
                (run_table(&self.nested, &self.nested_columns))
                @if self.nested.len() == MOST_NESTED { p { a href=(self.nested_link()) { "All nested runs" } } }
            }
            h2 #files { "Files" }
            (preview::list(&self.run_id, &self.files))
            @let is_running = self.status == RunStatus::Running;
            @if self.logs.iter().any(StepLog::has_lines) || is_running {
                h2 #logs { "Logs" }
                (logs::shown(&self.logs, is_running.then(|| run_of(&self.run_id, "/events")).as_deref()))
            }
            @if !self.tags.is_empty() { h2 #tags { "Tags" } (pairs("Tags", &self.tags)) }
            @if !self.manifest.is_empty() {
                h2 #manifest { "Manifest" }
                details { summary { "The manifest as the run read it" } (block(&self.manifest, MOST_TEXT)) }
            }
        }
    }
}

impl RunView {
    fn head(&self) -> Markup {
        let took = self.ended_ms.map(|ended| text::duration(ended.saturating_sub(self.started_ms) as f64));
        let mut known = vec![
            ("Status", html! { span data-status-of-run { (status(self.status)) } }),
            ("Began", text::time(self.started_ms)),
            ("Took", html! { (took.as_deref().unwrap_or("still running")) }),
            ("Experiment", html! { a href={ "/experiments/" (self.experiment_id) } { (cell(&self.experiment)) } }),
        ];
        if let Some(pipeline) = &self.pipeline {
            let filter = format!("pipeline = '{}'", pipeline.replace('\'', "''"));
            let link = Query::default().with("filter", &filter).link("/runs");
            known.push(("Pipeline", html! { a href=(link) { (cell(pipeline)) } }));
        }
        if let Some(seed) = self.seed {
            known.push(("Seed", html! { (seed) }));
        }
        if !self.user.is_empty() {
            known.push(("User", cell(&self.user)));
        }
        known.push(("Run", html! { span.mono { (self.run_id) } }));
        let note = self.tags.iter().find(|tag| tag.name == NOTE_TAG);
        html! {
            p.trail {
                a href="/runs" { "Runs" } " / "
                @if let Some(parent) = &self.parent { a href={ "/runs/" (parent) } { "run " (parent.get(..8).unwrap_or(parent)) } " / " }
                (self.run_id.get(..8).unwrap_or(&self.run_id))
            }
            h1 { (cell(&self.name)) @if self.deleted_ms.is_some() { " " (badge("plain", "deleted")) } }
            (facts(&known))
            @if let Some(error) = &self.error { (fault(error)) }
            @if let Some(note) = note { (block(&note.value, MOST_TEXT)) }
        }
    }

    fn metrics(&self) -> Markup {
        html! {
            div.wide.tall tabindex="0" role="region" aria-label="Metrics" {
                table.pairs {
                    thead { tr { th { "Metric" } th.number { "Last value" } th.number { "Step" } th { "Logged" } } }
                    tbody { @for metric in self.metrics.iter().take(MOST_ROWS) { tr {
                        th scope="row" { (cell(&metric.name)) }
                        td.number { (text::number_cell(metric.value.0)) }
                        td.number { (metric.step) }
                        td.nowrap { (text::time(metric.at_ms)) }
                    } } }
                }
            }
            (rest(self.metrics.len()))
        }
    }

    fn curves(&self) -> Markup {
        let (curves, singles): (Vec<_>, Vec<_>) = self.metrics.iter().partition(|metric| metric.step != 0);
        let names: Vec<&str> = curves.iter().chain(&singles).take(MOST_ROWS).map(|it| it.name.as_str()).collect();
        chart(&run_of(&self.run_id, "/curve"), &names)
    }

    fn shown_files(&self) -> Markup {
        html! {
            @if !self.figures.is_empty() {
                div.figures { @for entry in &self.figures {
                    figure {
                        a href=(run_of(&self.run_id, &format!("/files/{}", encoded_path(&entry.path)))) {
                            img loading="lazy" src=(preview::raw_link(&self.run_id, &entry.path))
                                alt=(Untrusted::new(&entry.path).cut(200));
                        }
                        figcaption { (cell(&entry.path)) }
                    }
                } }
            }
            @for (place, entry) in self.reports.iter().enumerate() {
                // Of a pipeline, the last one is that of the evaluation.
                details.report-of-run open[self.figures.is_empty() && place + 1 == self.reports.len()] {
                    summary { (cell(&entry.path)) " " span.soft { "(" (text::bytes(entry.bytes.unwrap_or(0))) ")" } }
                    (preview::frame(&self.run_id, &entry.path))
                }
            }
        }
    }

    fn inputs(&self) -> Markup {
        html! {
            div.wide tabindex="0" role="region" aria-label="Inputs" {
                table {
                    thead { tr { th { "Dataset" } th { "Digest" } th { "Source" } th { "Used for" } th {} } }
                    tbody { @for input in &self.inputs {
                        @let used_for = input.tags.iter().find(|(name, _)| name == "mlflow.data.context");
                        @let filter = format!("datasets.digest = '{}'", input.digest.replace('\'', "''"));
                        tr {
                            td.text { (cell(&input.name)) }
                            td.text.mono { (cell(&input.digest)) }
                            td.text { (cell(&input.source_type)) " " span.soft { (cell(&input.source)) } }
                            td { @if let Some((_, purpose)) = used_for { (cell(purpose)) } }
                            td { a href=(Query::default().with("filter", &filter).link("/runs")) { "Runs with it" } }
                        }
                    } }
                }
            }
        }
    }

    fn nested_link(&self) -> String {
        let filter = format!("{} = '{}'", Key::Tag(PARENT_TAG.to_owned()), self.run_id);
        Query::default().with("filter", &filter).link("/runs")
    }
}

/// Returns an error of a run or a step: its message, or all of it.
fn fault(error: &serde_json::Value) -> Markup {
    let message = error.get("message").and_then(serde_json::Value::as_str);
    let hint = error.get("hint").and_then(serde_json::Value::as_str);
    html! {
        @match message {
            Some(message) => { p.fault { (Untrusted::lines(message)) } }
            None => { (block(&error.to_string(), MOST_TEXT)) }
        }
        @if let Some(hint) = hint { p.hint { "hint: " (Untrusted::lines(hint)) } }
    }
}

fn pairs(label: &str, pairs: &[Pair]) -> Markup {
    html! {
        @if pairs.is_empty() { (nothing("There are none.")) } @else {
            div.wide.tall tabindex="0" role="region" aria-label=(label) {
                table.pairs { tbody { @for pair in pairs.iter().take(MOST_ROWS) {
                    tr { th scope="row" { (cell(&pair.name)) } td.text { (cell(&pair.value)) } }
                } } }
            }
            (rest(pairs.len()))
        }
    }
}

fn rest(rows: usize) -> Markup {
    html! { @if rows > MOST_ROWS { p.note { "The first " (MOST_ROWS) " of " (rows) ". JSON has all of them." } } }
}
