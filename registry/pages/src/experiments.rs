//! Experiments: the list of them, and one with its latest runs.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{Experiment, ExperimentRow, MOST_COUNTED_RUNS, Page, RunColumns, ViewType};

use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{badge, block, cell, facts, nothing};
use crate::paging::Asked;
use crate::route::{Level, Needs, Route, Section};
use crate::runs::{RunItem, item, run_table};
use crate::site::Site;
use crate::text;

/// The latest runs on the page of an experiment.
const LATEST: usize = 20;
/// The tag with which clients describe an experiment.
const NOTE_TAG: &str = "mlflow.note.content";
/// The most bytes of a description.
const MOST_NOTE: usize = 16 << 10;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/experiments", Needs::SignedIn, list),
        Route::get("/experiments/{experiment_id}", Needs::Experiment(Level::Read), one),
    ]
}

#[derive(Serialize)]
struct ExperimentsView {
    name: String,
    view: &'static str,
    experiments: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    #[serde(skip)]
    asked: Asked,
}

#[derive(Serialize)]
struct Item {
    experiment_id: i64,
    name: String,
    created_ms: i64,
    updated_ms: i64,
    deleted_ms: Option<i64>,
    /// Counted up to one more than a thousand.
    runs: u64,
    last_run_ms: Option<i64>,
}

impl From<ExperimentRow> for Item {
    fn from(row: ExperimentRow) -> Self {
        let ExperimentRow { id, name, created_ms, updated_ms, deleted_ms, runs, last_run_ms } = row;
        Self { experiment_id: id, name, created_ms, updated_ms, deleted_ms, runs, last_run_ms }
    }
}

fn list(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let asked = Asked::read(&request.query)?;
    let name = request.query.get("name").unwrap_or_default();
    let (view, view_type) = match request.query.get("view") {
        None | Some("active") => ("active", ViewType::Active),
        Some("deleted") => ("deleted", ViewType::Deleted),
        Some("all") => ("all", ViewType::All),
        Some(_) => return Err(Fault::bad("`view` is `active`, `deleted` or `all`.")),
    };
    // Signs of patterns in the name stand for any character, as a doubled quote stands for one.
    let pattern = name.replace('\'', "''").replace(['%', '\0'], "_");
    let filter = if name.is_empty() { String::new() } else { format!("name ILIKE '%{pattern}%'") };
    let filter = Filter::parse(Entity::Experiments, &filter).map_err(|_| Fault::bad("The name is too long."))?;
    let order = OrderBy::parse(Entity::Experiments, &["last_update_time DESC"]).unwrap_or_default();
    let among: Option<Vec<i64>> = request.viewer.may.experiments().map(|all| all.into_iter().collect());
    let page = asked.with_one_more();
    let mut rows = site.registry.experiment_table(among.as_deref(), &filter, &order, view_type, page)?;
    let next_page_token = asked.cut(&mut rows);
    let experiments = rows.into_iter().map(Item::from).collect();
    let view = ExperimentsView { name: name.to_owned(), view, experiments, next_page_token, asked };
    Ok(Answer::page(&view, request))
}

/// Returns the number of runs of an experiment, which are counted up to a limit.
fn counted(runs: u64) -> String {
    if runs > MOST_COUNTED_RUNS { format!("{}+", text::count(MOST_COUNTED_RUNS)) } else { text::count(runs) }
}

impl View for ExperimentsView {
    fn title(&self) -> String {
        "Experiments".to_owned()
    }

    fn section(&self) -> Section {
        Section::Experiments
    }

    fn body(&self, request: &Request<'_>) -> Markup {
        html! {
            h1 { "Experiments" }
            form.controls method="get" action="/experiments" role="search" {
                div.grow {
                    label for="name" { "Name contains" }
                    input #name type="search" name="name" value=(self.name) autocomplete="off";
                }
                div {
                    label for="view" { "Show" } br;
                    select #view name="view" data-submit {
                        @for (value, name) in [("active", "Active"), ("deleted", "Deleted"), ("all", "All")] {
                            option value=(value) selected[self.view == value] { (name) }
                        }
                    }
                }
                button.main { "Search" }
            }
            @if self.experiments.is_empty() { (nothing("No experiment is found.")) } @else {
                div.wide tabindex="0" role="region" aria-label="Experiments" {
                    table {
                        thead { tr {
                            th { "Experiment" } th.number { "Runs" } th { "Latest run" } th { "Changed" } th { "Created" }
                        } }
                        tbody { @for experiment in &self.experiments { tr {
                            td.text {
                                a href={ "/experiments/" (experiment.experiment_id) } { (cell(&experiment.name)) }
                                @if experiment.deleted_ms.is_some() { " " (badge("plain", "deleted")) }
                            }
                            td.number { (counted(experiment.runs)) }
                            td.nowrap { @if let Some(began) = experiment.last_run_ms { (text::time(began)) } }
                            td.nowrap { (text::time(experiment.updated_ms)) }
                            td.nowrap { (text::time(experiment.created_ms)) }
                        } } }
                    }
                }
                (self.asked.links(request, self.experiments.len(), self.next_page_token.as_deref()))
            }
        }
    }
}

#[derive(Serialize)]
struct ExperimentView {
    experiment_id: i64,
    name: String,
    created_ms: i64,
    updated_ms: i64,
    deleted_ms: Option<i64>,
    artifact_location: String,
    tags: Vec<(String, String)>,
    /// The names of the values that the runs have here: metrics, then parameters.
    columns: Vec<String>,
    latest_runs: Vec<RunItem>,
    #[serde(skip)]
    run_columns: RunColumns,
}

fn one(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let number = request.part("experiment_id")?;
    let number: i64 = number.parse().map_err(|_| Fault::missing("An experiment has a number."))?;
    let experiment = site.registry.experiment_numbered(number)?;
    let (filter, order) = (Filter::default(), OrderBy::default());
    let page = Page { limit: LATEST, offset: 0 };
    // All runs of a deleted experiment count as deleted.
    let view = if experiment.deleted_ms.is_some() { ViewType::All } else { ViewType::Active };
    let table = site.registry.run_table(Some(&[number]), &filter, &order, view, page, None)?;
    let artifact_location = experiment.artifact_uri();
    let Experiment { id, name, created_ms, updated_ms, deleted_ms, tags, .. } = experiment;
    let view = ExperimentView {
        experiment_id: id,
        name,
        created_ms,
        updated_ms,
        deleted_ms,
        artifact_location,
        tags,
        columns: [table.columns.metrics.clone(), table.columns.parameters.clone()].concat(),
        latest_runs: table.rows.into_iter().map(item).collect(),
        run_columns: table.columns,
    };
    Ok(Answer::page(&view, request))
}

impl View for ExperimentView {
    fn title(&self) -> String {
        self.name.clone()
    }

    fn section(&self) -> Section {
        Section::Experiments
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        let all = format!("/runs?experiment={}", self.experiment_id);
        let note = self.tags.iter().find(|(name, _)| name == NOTE_TAG);
        let tags: Vec<_> = self.tags.iter().filter(|(name, _)| name != NOTE_TAG).collect();
        html! {
            p.trail { a href="/experiments" { "Experiments" } " / " (self.experiment_id) }
            h1 { (cell(&self.name)) @if self.deleted_ms.is_some() { " " (badge("plain", "deleted")) } }
            (facts(&[
                ("Created", text::time(self.created_ms)),
                ("Changed", text::time(self.updated_ms)),
                ("Files", html! { span.mono { (cell(&self.artifact_location)) } }),
            ]))
            @if let Some((_, text)) = note { (block(text, MOST_NOTE)) }
            h2 { "Latest runs" }
            @if self.latest_runs.is_empty() { (nothing("It has no runs yet.")) } @else {
                (run_table(&self.latest_runs, &self.run_columns))
                p { a.button href=(all) { "Search all its runs" } }
            }
            @if !tags.is_empty() {
                h2 { "Tags" }
                div.wide tabindex="0" role="region" aria-label="Tags" {
                    table.pairs { tbody { @for (name, value) in tags {
                        tr { th scope="row" { (cell(name)) } td.text { (cell(value)) } }
                    } } }
                }
            }
        }
    }
}
