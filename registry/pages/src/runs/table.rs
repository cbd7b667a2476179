//! The list of runs: searched, sorted, with chosen columns, page by page.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::search::{Entity, Filter, OrderBy, SearchError};
use stagewright_store::{RunColumns, RunRow, RunStatus, ViewType};
use stagewright_text::Untrusted;

use super::columns::{self, Column};
use super::scope::experiments_of;
use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{badge, cell, nothing};
use crate::paging::Asked;
use crate::query::Query;
use crate::route::Section;
use crate::site::Site;
use crate::text::{self, Number};

/// The most experiments of the list to choose from.
const MOST_EXPERIMENTS: usize = 200;
/// A run in a table.
#[derive(Serialize)]
pub(crate) struct RunItem {
    pub(crate) run_id: String,
    pub(crate) name: String,
    pub(crate) pipeline: Option<String>,
    pub(crate) experiment_id: i64,
    pub(crate) experiment: String,
    pub(crate) user: String,
    pub(crate) status: RunStatus,
    pub(crate) started_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) is_deleted: bool,
    /// The run that it is nested in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// The values of the page's columns, in their order.
    pub(crate) values: Vec<Option<Value>>,
}

/// A value of a column.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Number(Number),
    Text(String),
}

#[derive(Serialize)]
struct RunsView {
    filter: String,
    order: String,
    view: &'static str,
    experiments: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
    columns: Vec<Column>,
    runs: Vec<RunItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    #[serde(skip)]
    known_experiments: Vec<(i64, String)>,
    #[serde(skip)]
    asked: Asked,
}

/// A filter or an order that is wrong.
#[derive(Serialize)]
struct Wrong {
    message: String,
    hint: String,
}

impl From<SearchError> for Wrong {
    fn from(error: SearchError) -> Self {
        let SearchError { what, column, problem, hint, .. } = error;
        Self { message: format!("The {what} is wrong at column {column}: {problem}."), hint: format!("{hint}.") }
    }
}

pub(super) fn page(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let query = &request.query;
    let (named, searched) = experiments_of(request)?;
    let readable: Option<Vec<i64>> = request.viewer.may.experiments().map(|all| all.into_iter().collect());
    let (view, view_type) = match query.get("view") {
        Some("deleted") => ("deleted", ViewType::Deleted),
        Some("all") => ("all", ViewType::All),
        None | Some("active") => ("active", ViewType::Active),
        Some(_) => return Err(Fault::bad("`view` is `active`, `deleted` or `all`.")),
    };
    let asked = Asked::read(query)?;
    let columns = columns::chosen(query)?;
    let mut shown = RunsView {
        filter: query.get("filter").unwrap_or_default().to_owned(),
        order: query.get("order").unwrap_or("start_time DESC").to_owned(),
        view,
        experiments: named,
        error: None,
        columns: Vec::new(),
        runs: Vec::new(),
        next_page_token: None,
        known_experiments: site.registry.experiment_names(readable.as_deref(), MOST_EXPERIMENTS)?,
        asked,
    };
    let parsed = Filter::parse(Entity::Runs, &shown.filter)
        .and_then(|filter| Ok((filter, OrderBy::parse(Entity::Runs, &[&shown.order])?)));
    let (filter, order) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            shown.error = Some(error.into());
            return Ok(Answer { status: 400, ..Answer::page(&shown, request) });
        }
    };
    let page = asked.with_one_more();
    let mut table = site.registry.run_table(searched.as_deref(), &filter, &order, view_type, page, columns)?;
    shown.next_page_token = asked.cut(&mut table.rows);
    shown.columns = columns::listed(&table.columns);
    shown.runs = table.rows.into_iter().map(item).collect();
    Ok(Answer::page(&shown, request))
}

/// Returns a row as a page has it.
pub(crate) fn item(row: RunRow) -> RunItem {
    let metrics = row.metrics.into_iter().map(|value| value.map(|value| Value::Number(Number(value))));
    let texts = row.parameters.into_iter().chain(row.tags).map(|value| value.map(Value::Text));
    RunItem {
        name: row.name,
        pipeline: (!row.pipeline.is_empty()).then_some(row.pipeline),
        experiment_id: row.experiment_id,
        experiment: row.experiment,
        user: row.actor,
        status: row.status,
        started_ms: row.started_ms,
        ended_ms: row.ended_ms,
        is_deleted: row.is_deleted,
        parent: row.parent.filter(|parent| *parent != row.run_id).map(|parent| parent.to_string()),
        values: metrics.chain(texts).collect(),
        run_id: row.run_id.to_string(),
    }
}

/// Returns the mark of a run's status.
pub(crate) fn status(status: RunStatus) -> Markup {
    let state = match status {
        RunStatus::Running => "busy",
        RunStatus::Finished => "good",
        RunStatus::Failed => "bad",
        RunStatus::Killed => "warn",
    };
    badge(state, status.name())
}

/// Returns a small table of runs without search: of an experiment, or nested ones.
pub(crate) fn run_table(runs: &[RunItem], columns: &RunColumns) -> Markup {
    let columns = columns::listed(columns);
    html! {
        div.wide tabindex="0" role="region" aria-label="Runs" {
            table {
                thead { tr {
                    th { "Run" } th { "Status" } th { "Began" } th.number { "Took" }
                    @for column in &columns { th.number[column.kind == "metrics"] { (cell(&column.name)) } }
                } }
                tbody { @for run in runs { tr {
                    td { a href={ "/runs/" (run.run_id) } { (cell(&run.name)) } }
                    td { (status(run.status)) }
                    td.nowrap { (text::time(run.started_ms)) }
                    td.number { (took(run)) }
                    (values(run, &columns))
                } } }
            }
        }
    }
}

/// Returns the mark of a nested run, which leads to the run around it.
fn nested_mark(parent: &str) -> Markup {
    let says = format!("Nested in run {}", parent.get(..8).unwrap_or(parent));
    html! { a.nested href={ "/runs/" (parent) } title=(says) aria-label=(says) { "↳" } }
}

/// Returns how long a run took.
fn took(run: &RunItem) -> Markup {
    html! {
        @match run.ended_ms {
            Some(ended) => (text::duration(ended.saturating_sub(run.started_ms) as f64)),
            None => "–",
        }
    }
}

fn values(run: &RunItem, columns: &[Column]) -> Markup {
    html! {
        @for (value, _) in run.values.iter().zip(columns) {
            @match value {
                Some(Value::Number(number)) => { td.number { (text::number_cell(number.0)) } }
                Some(Value::Text(text)) => { td.text { (cell(text)) } }
                None => { td.soft {} }
            }
        }
    }
}

impl View for RunsView {
    fn title(&self) -> String {
        "Runs".to_owned()
    }

    fn section(&self) -> Section {
        Section::Runs
    }

    fn scripts(&self) -> &'static [&'static str] {
        &["runs.js"]
    }

    fn body(&self, request: &Request<'_>) -> Markup {
        html! {
            h1 { "Runs" }
            (self.search(request))
            @if let Some(wrong) = &self.error {
                p.fault role="alert" { (Untrusted::new(&wrong.message)) }
                p.hint { "Hint: " (Untrusted::new(&wrong.hint)) }
            } @else {
                (self.chooser(request))
                (self.results(request))
            }
        }
    }
}

impl RunsView {
    fn search(&self, request: &Request<'_>) -> Markup {
        html! {
            form.controls method="get" action="/runs" role="search" {
                div.grow {
                    label for="filter" { "Search" }
                    input #filter.full.mono type="search" name="filter" value=(self.filter) spellcheck="false"
                        autocomplete="off" autocapitalize="off"
                        placeholder="metrics.auc > 0.8 and params.depth = '6' and tags.team like 'risk%'";
                }
                div {
                    label for="experiment" { "Experiment" } br;
                    select #experiment name="experiment" data-submit {
                        option value="" selected[self.experiments.is_empty()] { "All" }
                        @for (number, name) in &self.known_experiments {
                            option value=(number) selected[self.experiments.first() == Some(number)] {
                                (Untrusted::new(name).cut(60))
                            }
                        }
                        @for number in self.experiments.iter().take(1) {
                            @if !self.known_experiments.iter().any(|(known, _)| known == number) {
                                option value=(number) selected { "Experiment " (number) }
                            }
                        }
                    }
                }
                div {
                    label for="view" { "Show" } br;
                    select #view name="view" data-submit {
                        @for (value, name) in [("active", "Active"), ("deleted", "Deleted"), ("all", "All")] {
                            option value=(value) selected[self.view == value] { (name) }
                        }
                    }
                }
                @for (name, value) in request.query.pairs() {
                    @if matches!(name, "column" | "order" | "limit") { input type="hidden" name=(name) value=(value); }
                }
                button.main { "Search" }
            }
        }
    }

    /// The chooser of columns. The names come when it is opened, by the script.
    fn chooser(&self, request: &Request<'_>) -> Markup {
        html! {
            details.chooser data-names=(names_link(&request.query)) {
                summary { "Columns (" (self.columns.len()) ")" }
                form method="get" action="/runs" {
                    @for (name, value) in request.query.pairs() {
                        @if !matches!(name, "column" | "page_token") { input type="hidden" name=(name) value=(value); }
                    }
                    input type="hidden" name="column" value="";
                    label for="column-search" { "Find a metric, parameter or tag" }
                    input #column-search.full type="search" autocomplete="off" spellcheck="false";
                    p.note role="status" data-found {}
                    div.choices {
                        @for column in &self.columns {
                            label.beside {
                                input type="checkbox" name="column" value=(column.text()) checked;
                                span { (cell(&column.name)) " " span.soft { (column.kind) } }
                            }
                        }
                    }
                    button.main { "Show these columns" }
                }
            }
        }
    }

    fn results(&self, request: &Request<'_>) -> Markup {
        html! {
            @if self.runs.is_empty() {
                (nothing(match (self.filter.is_empty(), self.view) {
                    (true, "deleted") => "No run is deleted.",
                    (true, _) => "There are no runs yet. `stagewright run PIPELINE` makes one, and so does a client of MLflow.",
                    (false, _) => "No run satisfies the search.",
                }))
            } @else {
                form #compare method="get" action="/runs/compare" {
                    div.controls.middle {
                        button data-compare { "Compare selected" }
                        span.soft role="status" data-selected {}
                    }
                    div.wide tabindex="0" role="region" aria-label="Runs" {
                        table.runs {
                            thead { tr {
                                th { span.sr { "Selected" } }
                                (self.head(request, "Run", "run_name", "ASC"))
                                (self.head(request, "Status", "status", "ASC"))
                                (self.head(request, "Began", "start_time", "DESC"))
                                th.number { "Took" }
                                th { "Experiment" }
                                (self.head(request, "Pipeline", "pipeline", "ASC"))
                                (self.head(request, "User", "user_id", "ASC"))
                                @for column in &self.columns {
                                    @let first = if column.kind == "metrics" { "DESC" } else { "ASC" };
                                    (self.head(request, &column.name, &column.key(), first))
                                }
                            } }
                            tbody { @for run in &self.runs { (self.row(run)) } }
                        }
                    }
                }
                (self.asked.links(request, self.runs.len(), self.next_page_token.as_deref()))
            }
        }
    }

    /// The head of a column, which sorts by it.
    fn head(&self, request: &Request<'_>, name: &str, key: &str, first: &str) -> Markup {
        let (ascending, descending) = (format!("{key} ASC"), format!("{key} DESC"));
        let sorted = match self.order.as_str() {
            order if order == descending => Some("descending"),
            order if order == ascending || order == key => Some("ascending"),
            _ => None,
        };
        let next = match (sorted, first) {
            (Some("descending"), _) | (None, "ASC") => &ascending,
            _ => &descending,
        };
        let link = request.query.without("page_token").with("order", next).link(request.path);
        let is_number = key.starts_with("metrics.");
        html! {
            th.number[is_number] aria-sort=[sorted] {
                a href=(link) title={ "Sort by " (Untrusted::new(name).cut(100)) } {
                    (cell(name))
                    @match sorted { Some("descending") => " ↓", Some(_) => " ↑", None => "" }
                }
            }
        }
    }

    fn row(&self, run: &RunItem) -> Markup {
        html! {
            tr {
                td {
                    input type="checkbox" name="run" value=(run.run_id)
                        aria-label={ "Select " (Untrusted::new(&run.name).cut(60)) };
                }
                td {
                    @if let Some(parent) = &run.parent { (nested_mark(parent)) " " }
                    a href={ "/runs/" (run.run_id) } { (cell(&run.name)) }
                }
                td { (status(run.status)) @if run.is_deleted { " " (badge("plain", "deleted")) } }
                td.nowrap { (text::time(run.started_ms)) }
                td.number { (took(run)) }
                td.text { a href={ "/experiments/" (run.experiment_id) } { (cell(&run.experiment)) } }
                td.text { @if let Some(pipeline) = &run.pipeline { (cell(pipeline)) } }
                td.text { (cell(&run.user)) }
                (values(run, &self.columns))
            }
        }
    }
}

/// Returns the link to the names of the runs that this query searches.
fn names_link(query: &Query) -> String {
    let mut of = Query::default();
    query.all("experiment").for_each(|number| of.add("experiment", number));
    of.link("/runs/names")
}
