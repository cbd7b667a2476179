//! Curves of a metric of several runs: as JSON for the script that draws them, and the place where
//! it does.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::{CurvePoint, MetricCurve, Run};
use stagewright_text::Untrusted;

use super::chosen::runs_of;
use crate::answer::{Answer, Request};
use crate::fault::Fault;
use crate::query::Query;
use crate::site::Site;
use crate::text::Number;

/// The points of a curve, if nothing else is asked for: some more than a chart has pixels for.
const USUAL_POINTS: usize = 600;

#[derive(Serialize)]
struct Curves {
    metric: String,
    runs: Vec<Curve>,
}

#[derive(Serialize)]
pub(crate) struct Curve {
    run_id: String,
    name: String,
    started_ms: i64,
    /// How many values the points stand for.
    values: u64,
    /// Step, time, mean, least, greatest.
    points: Vec<(i64, i64, Number, Number, Number)>,
}

/// Answers the curves of the metric `metric` of the runs `run`, within the steps `from` to `to`, of
/// at most `most` points each.
pub(super) fn curves(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let metric = request.query.get("metric").ok_or_else(|| Fault::bad("`metric` is the name of a metric."))?;
    let runs = runs_of(site, request)?;
    let runs = runs.iter().map(|run| curve_of_run(site, run, metric, &request.query));
    Ok(Answer::json(&Curves { metric: metric.to_owned(), runs: runs.collect::<Result<_, _>>()? }))
}

/// Returns the curve of a metric of a run, as a query asks for it.
///
/// # Errors
/// `from`, `to` or `most` is no number. The registry failed.
pub(crate) fn curve_of_run(site: &Site<'_>, run: &Run, metric: &str, query: &Query) -> Result<Curve, Fault> {
    let steps = (number(query, "from")?.unwrap_or(i64::MIN), number(query, "to")?.unwrap_or(i64::MAX));
    let most = number(query, "most")?.and_then(|most| usize::try_from(most).ok()).unwrap_or(USUAL_POINTS);
    let MetricCurve { points, values } = site.registry.metric_curve(&run.run_id, metric, Some(steps), most)?;
    let point = |it: &CurvePoint| (it.step, it.at_ms, Number(it.mean), Number(it.least), Number(it.greatest));
    Ok(Curve {
        run_id: run.run_id.to_string(),
        name: run.name.clone(),
        started_ms: run.started_ms,
        values,
        points: points.iter().map(point).collect(),
    })
}

fn number(query: &Query, name: &str) -> Result<Option<i64>, Fault> {
    let Some(text) = query.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Fault::bad(format!("`{name}` is a whole number.")))
}

/// Returns the place of a chart with its controls. The script asks `link` for the curves of the
/// chosen metric, at first those of the first of `names`.
pub(crate) fn chart(link: &str, names: &[&str]) -> Markup {
    html! {
        div.chart data-curves=(link) {
            div.controls {
                div.grow {
                    label { "Metric " br;
                        select.full data-metric {
                            @for name in names { option value=(name) { (Untrusted::new(name).cut(120)) } }
                        }
                    }
                }
                div { label { "Horizontal " br;
                    select data-horizontal { option value="step" { "Step" } option value="time" { "Time since start" } }
                } }
                label.beside { input type="checkbox" data-logarithmic; "Logarithmic" }
                label { "Smoothing " output data-smoothing-value { "0" } br;
                    input type="range" min="0" max="0.99" step="0.01" value="0" data-smoothing;
                }
                button type="button" data-reset disabled { "Whole curve" }
            }
            div.plot {}
            p.note role="status" data-status { "The curves need scripts. " a href=(link) { "JSON" } " has their points." }
            ul.legend {}
            p.note.keys {
                "Drag to zoom. With the chart focused: " kbd { "+" } " and " kbd { "−" } " zoom, " kbd { "←" } " and "
                kbd { "→" } " move, " kbd { "0" } " shows the whole curve."
            }
        }
    }
}
