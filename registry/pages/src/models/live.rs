//! `/models/NAME/live`: how good versions are, by what turned out to be true.

use std::sync::Mutex;

use maud::{Markup, html};
use serde::Serialize;

use super::parts::{interval, model_link, now_ms, pipelines, version_link};
use crate::answer::{Answer, Request, View};
use crate::fault::{Fault, FaultKind};
use crate::markup::{cell, nothing};
use crate::pipelines::{LiveMetrics, PipelineFault};
use crate::route::Section;
use crate::site::Site;
use crate::text::{count, time};
use crate::turn;

/// The days that are looked at, and the most. Each hour of the log is read.
const DAYS: u32 = 30;
const MOST_DAYS: u32 = 366;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The most outcomes that a page joins with predictions: some seconds, and 200 MB.
const MOST_OUTCOMES: u64 = 1_000_000;
/// One page at a time joins them.
static MEASURING: Mutex<()> = Mutex::new(());

#[derive(Serialize)]
struct Live {
    model: String,
    days: u32,
    since_ms: i64,
    versions: Vec<LiveMetrics>,
}

pub(super) fn live(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let model = site.registry.model(request.part("name")?)?.name;
    let days = request.query.get("days").and_then(|days| days.parse().ok()).unwrap_or(DAYS).clamp(1, MOST_DAYS);
    if site.registry.outcome_count(&model)? > MOST_OUTCOMES {
        return Err(Fault::new(FaultKind::Refused, "The model has too many outcomes for a page.")
            .hinting(format!("`stagewright models outcomes {model}` measures them all.")));
    }
    let _turn = turn::take(&MEASURING, "Outcomes are being measured for somebody else.")?;
    let since_ms = now_ms() - i64::from(days) * DAY_MS;
    let versions = pipelines(site)?.outcomes(&model, since_ms).map_err(|fault| match fault {
        PipelineFault::Refused(reason) => Fault::new(FaultKind::Refused, crate::fault::sentence(&reason)),
        PipelineFault::Busy(reason) | PipelineFault::Failed(reason) => {
            tracing::error!("outcomes of model `{model}` cannot be measured: {reason}");
            Fault::new(FaultKind::Failed, "The outcomes cannot be measured. The log of the server tells why.")
        }
    })?;
    Ok(Answer::page(&Live { model, days, since_ms, versions }, request))
}

impl View for Live {
    fn title(&self) -> String {
        format!("{}: live metrics", self.model)
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            p.trail { a href="/models" { "Models" } " / " (model_link(&self.model)) }
            h1 { "Live metrics" }
            p.note { "Of predictions that were logged and whose outcome was posted, since " (time(self.since_ms)) "." }
            form.controls method="get" {
                div { label for="days" { "Days" } br; input #days type="number" name="days" min="1" max=(MOST_DAYS) value=(self.days); }
                button { "Show" }
            }
            @if self.versions.is_empty() { (nothing("No outcome was posted in this time.")) } @else {
                div.wide { table {
                    thead { tr {
                        th { "Version" } th { "Arm" } th.number { "Outcomes" } th.number { "With a prediction" } th { "Metrics" }
                    } }
                    tbody { @for it in &self.versions { tr {
                        td { (version_link(&self.model, it.version)) }
                        td { @match &it.arm { Some(arm) => (cell(arm)), None => span.soft { "–" } } }
                        td.number { (count(it.outcomes)) }
                        td.number { (count(it.joined)) }
                        td {
                            @for found in &it.metrics { div { span.soft { (cell(&found.metric)) } " " (interval(found)) } }
                            @if it.metrics.is_empty() { span.soft { "none: no outcome has a logged prediction" } }
                        }
                    } } }
                } }
            }
        }
    }
}
