//! Several runs beside each other: what differs first, then the rest, and their curves.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::{Run, RunStatus};

use super::chosen::runs_of;
use super::curves::chart;
use super::table::status;
use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{cell, nothing};
use crate::query::Query;
use crate::route::Section;
use crate::site::Site;
use crate::text::{self, Number};

/// The most rows of a table. JSON has all.
const MOST_ROWS: usize = 500;

#[derive(Serialize)]
struct CompareView {
    runs: Vec<Compared>,
    parameters: Vec<Parameter>,
    metrics: Vec<Metric>,
    tags: Vec<Parameter>,
}

/// A run, as the head of its column.
#[derive(Serialize)]
struct Compared {
    run_id: String,
    name: String,
    pipeline: Option<String>,
    experiment_id: i64,
    experiment: String,
    user: String,
    status: RunStatus,
    started_ms: i64,
    ended_ms: Option<i64>,
    /// The datasets that it used, by name and digest.
    datasets: Vec<String>,
}

/// A parameter or a tag.
#[derive(Serialize)]
struct Parameter {
    name: String,
    /// Whether the runs do not all have the same value.
    differs: bool,
    /// One a run.
    values: Vec<Option<String>>,
}

#[derive(Serialize)]
struct Metric {
    name: String,
    differs: bool,
    /// The last values, one a run.
    values: Vec<Option<Number>>,
    /// The values less that of the first run.
    differences: Vec<Option<Number>>,
    /// Whether a run has more than one value of it.
    is_curve: bool,
}

pub(super) fn page(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let runs = runs_of(site, request)?;
    let view = CompareView {
        parameters: texts(&runs, |run| &run.parameters),
        metrics: metrics(&runs),
        tags: texts(&runs, |run| &run.tags),
        runs: runs.iter().map(compared).collect(),
    };
    Ok(Answer::page(&view, request))
}

fn compared(run: &Run) -> Compared {
    let datasets = run.inputs.datasets.iter().map(|used| &used.dataset);
    Compared {
        run_id: run.run_id.to_string(),
        name: run.name.clone(),
        pipeline: (!run.pipeline.is_empty()).then(|| run.pipeline.clone()),
        experiment_id: run.experiment_id,
        experiment: run.experiment.clone(),
        user: run.actor.clone(),
        status: run.status,
        started_ms: run.started_ms,
        ended_ms: run.ended_ms,
        datasets: datasets.map(|dataset| format!("{} {}", dataset.name, dataset.digest)).collect(),
    }
}

/// Returns the texts of all names that the runs have, those that differ first.
fn texts(runs: &[Run], of: impl Fn(&Run) -> &Vec<(String, String)>) -> Vec<Parameter> {
    let by_run: Vec<BTreeMap<&str, &str>> =
        runs.iter().map(|run| of(run).iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()).collect();
    let names: BTreeSet<&str> = by_run.iter().flat_map(|values| values.keys().copied()).collect();
    let mut rows: Vec<Parameter> = names
        .into_iter()
        .map(|name| {
            let values: Vec<Option<&str>> = by_run.iter().map(|values| values.get(name).copied()).collect();
            let differs = values.iter().any(|value| *value != values[0]);
            Parameter {
                name: name.to_owned(),
                differs,
                values: values.iter().map(|it| it.map(str::to_owned)).collect(),
            }
        })
        .collect();
    rows.sort_by_key(|row| !row.differs);
    rows
}

fn metrics(runs: &[Run]) -> Vec<Metric> {
    let by_run: Vec<BTreeMap<&str, (f64, i64)>> = runs
        .iter()
        .map(|run| run.metrics.iter().map(|metric| (metric.name.as_str(), (metric.value, metric.step))).collect())
        .collect();
    let names: BTreeSet<&str> = by_run.iter().flat_map(|values| values.keys().copied()).collect();
    let mut rows: Vec<Metric> = names
        .into_iter()
        .map(|name| {
            let values: Vec<Option<f64>> = by_run.iter().map(|of| of.get(name).map(|(value, _)| *value)).collect();
            let first = values.first().copied().flatten();
            let differences = values.iter().map(|value| Some(Number((*value)? - first?)));
            Metric {
                name: name.to_owned(),
                differs: values.iter().any(|value| value.map(f64::to_bits) != first.map(f64::to_bits)),
                differences: differences.collect(),
                is_curve: by_run.iter().any(|of| of.get(name).is_some_and(|(_, step)| *step != 0)),
                values: values.into_iter().map(|value| value.map(Number)).collect(),
            }
        })
        .collect();
    rows.sort_by_key(|row| !row.differs);
    rows
}

impl View for CompareView {
    fn title(&self) -> String {
        format!("Comparison of {}", text::counted(self.runs.len() as u64, "run"))
    }

    fn section(&self) -> Section {
        Section::Runs
    }

    fn scripts(&self) -> &'static [&'static str] {
        &["curves.js"]
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            p.trail { a href="/runs" { "Runs" } " / compare" }
            h1 { (self.title()) }
            (self.facts())
            h2 #metrics { "Metrics" }
            (self.metric_table())
            @if !self.metrics.is_empty() {
                h2 #curves { "Curves" }
                (self.curves())
            }
            h2 #parameters { "Parameters" }
            (self.text_table("Parameters", &self.parameters, "None of these runs has a parameter."))
            h2 #tags { "Tags" }
            (self.text_table("Tags", &self.tags, "None of these runs has a tag."))
        }
    }
}

impl CompareView {
    fn heads(&self, first: &str) -> Markup {
        html! {
            thead { tr {
                th { (first) }
                @for (place, run) in self.runs.iter().enumerate() {
                    th scope="col" {
                        span class={ "swatch c" (place % 10) } aria-hidden="true" {}
                        a href={ "/runs/" (run.run_id) } { (cell(&run.name)) }
                    }
                }
            } }
        }
    }

    fn facts(&self) -> Markup {
        let row = |name: &str, cells: Vec<Markup>| html! { tr { th scope="row" { (name) } @for cell in cells { td { (cell) } } } };
        let of = |show: &dyn Fn(&Compared) -> Markup| self.runs.iter().map(show).collect::<Vec<_>>();
        html! {
            div.wide tabindex="0" role="region" aria-label="Runs" {
                table.compare {
                    (self.heads("Run"))
                    tbody {
                        (row("Status", of(&|run| status(run.status))))
                        (row("Began", of(&|run| text::time(run.started_ms))))
                        (row("Took", of(&|run| html! { @if let Some(ended) = run.ended_ms {
                            (text::duration(ended.saturating_sub(run.started_ms) as f64))
                        } })))
                        (row("Experiment", of(&|run| html! {
                            a href={ "/experiments/" (run.experiment_id) } { (cell(&run.experiment)) }
                        })))
                        (row("Pipeline", of(&|run| html! { @if let Some(name) = &run.pipeline { (cell(name)) } })))
                        (row("Data", of(&|run| html! {
                            @for name in run.datasets.iter().take(5) { div.short { (cell(name)) } }
                        })))
                    }
                }
            }
        }
    }

    fn metric_table(&self) -> Markup {
        html! {
            @if self.metrics.is_empty() { (nothing("None of these runs has a metric.")) } @else {
                div.wide.tall tabindex="0" role="region" aria-label="Metrics" {
                    table.compare {
                        (self.heads("Metric"))
                        tbody { @for metric in self.metrics.iter().take(MOST_ROWS) {
                            tr.differs[metric.differs] {
                                th scope="row" { (cell(&metric.name)) }
                                @for (place, value) in metric.values.iter().enumerate() {
                                    td.number {
                                        @if let Some(value) = value { (text::number_cell(value.0)) }
                                        @if place > 0 && let Some(Some(less)) = metric.differences.get(place) {
                                            " " span.soft.delta { (text::difference(less.0)) }
                                        }
                                    }
                                }
                            }
                        } }
                    }
                }
                (self.rest(self.metrics.len()))
            }
        }
    }

    fn text_table(&self, label: &str, rows: &[Parameter], none: &str) -> Markup {
        html! {
            @if rows.is_empty() { (nothing(none)) } @else {
                div.wide.tall tabindex="0" role="region" aria-label=(label) {
                    table.compare {
                        (self.heads("Name"))
                        tbody { @for row in rows.iter().take(MOST_ROWS) {
                            tr.differs[row.differs] {
                                th scope="row" { (cell(&row.name)) }
                                @for value in &row.values { td.text { @if let Some(value) = value { (cell(value)) } } }
                            }
                        } }
                    }
                }
                (self.rest(rows.len()))
            }
        }
    }

    fn rest(&self, rows: usize) -> Markup {
        html! { @if rows > MOST_ROWS { p.note { "The first " (MOST_ROWS) " of " (rows) ". JSON has all of them." } } }
    }

    fn curves(&self) -> Markup {
        let mut link = Query::default();
        self.runs.iter().for_each(|run| link.add("run", &run.run_id));
        let curves = self.metrics.iter().filter(|metric| metric.is_curve);
        let singles = self.metrics.iter().filter(|metric| !metric.is_curve);
        let names: Vec<&str> = curves.chain(singles).take(MOST_ROWS).map(|metric| metric.name.as_str()).collect();
        chart(&link.link("/runs/curves"), &names)
    }
}
