//! Marks and links that pages about models have.

use maud::{Markup, html};
use stagewright_store::{LifecycleStage, Model, ModelVersion, Verdict};
use stagewright_text::Untrusted;

use crate::answer::Request;
use crate::fault::Fault;
use crate::markup::{badge, cell};
use crate::pipelines::{Interval, PipelineFault, Pipelines};
use crate::query::encoded;
use crate::site::Site;
use crate::text::{counted, number};

/// Returns the path of a model's page.
pub(crate) fn model_path(model: &str) -> String {
    format!("/models/{}", encoded(model))
}

/// Returns the path of a version's page.
pub fn version_path(model: &str, version: u32) -> String {
    format!("{}/{version}", model_path(model))
}

/// Returns a link to a model.
pub(crate) fn model_link(model: &str) -> Markup {
    html! { a href=(model_path(model)) { (cell(model)) } }
}

/// Returns a link to a version, as its number.
pub(crate) fn version_link(model: &str, version: u32) -> Markup {
    html! { a href=(version_path(model, version)) { "version " (version) } }
}

/// Returns the mark of a stage; of one that means nothing, a dash.
pub(crate) fn stage_mark(stage: LifecycleStage) -> Markup {
    match stage {
        LifecycleStage::Production => badge("good", "in production"),
        LifecycleStage::Staging => badge("busy", "staging"),
        LifecycleStage::Archived => badge("plain", "archived"),
        LifecycleStage::None => html! { span.soft { "–" } },
    }
}

/// Returns the mark of a verdict; without one, a dash.
pub(crate) fn verdict_mark(verdict: Option<Verdict>) -> Markup {
    match verdict {
        Some(Verdict::Approved) => badge("good", "✓ approved"),
        Some(Verdict::Rejected) => badge("bad", "✗ rejected"),
        Some(Verdict::Undecided) => badge("warn", "? undecided"),
        None => html! { span.soft { "not judged" } },
    }
}

/// Returns the marks of a model or version that a client registered: that it is one, and whether
/// nobody has seen its files.
pub(crate) fn client_mark(version: &ModelVersion) -> Markup {
    html! {
        @if let Some(foreign) = &version.foreign {
            (badge("plain", "MLflow client"))
            @if !foreign.is_verified() { " " (badge("warn", "unverified")) }
        }
    }
}

/// Returns who made something.
pub(crate) fn who(actor: &str) -> Markup {
    html! { @if actor.is_empty() { "somebody" } @else { (Untrusted::new(actor).cut(80)) } }
}

/// Returns a metric with its interval: `0.8432 (95 %: 0.8211 to 0.8654)`.
pub(crate) fn interval(interval: &Interval) -> Markup {
    html! {
        span.nowrap {
            strong title=(interval.value) { (number(interval.value)) }
            @if let (Some(low), Some(high)) = (interval.low, interval.high) {
                " " span.soft title={ "by " (Untrusted::new(&interval.method)) } {
                    "[" (number(low)) ", " (number(high)) "]"
                }
            } @else { " " span.soft { "(no interval)" } }
        }
    }
}

/// Returns the test rows that a figure is of.
pub(crate) fn rows(rows: Option<u64>) -> Markup {
    html! { @match rows { Some(rows) => { "on " (counted(rows, "test row")) }, None => "on an unknown number of test rows" } }
}

/// Returns a digest, shortened.
pub(crate) fn digest(digest: &str) -> Markup {
    let hex = digest.rsplit(':').next().unwrap_or(digest);
    html! { code.nowrap title=(Untrusted::new(digest).cut(200)) { (cell(hex.get(..16).unwrap_or(hex))) } }
}

/// Returns what the program does with models of pipelines.
///
/// # Errors
/// This program does nothing with them.
pub(crate) fn pipelines<'a>(site: &Site<'a>) -> Result<&'a dyn Pipelines, Fault> {
    site.pipelines.ok_or_else(|| {
        Fault::new(crate::fault::FaultKind::Refused, "This server does nothing with models of pipelines.")
            .hinting("Start it with `stagewright server`.")
    })
}

/// Returns a figure that a page can do without; why there is none is logged.
pub(crate) fn if_there<T>(what: &str, found: Result<T, PipelineFault>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(PipelineFault::Refused(_)) => None,
        Err(PipelineFault::Busy(reason) | PipelineFault::Failed(reason)) => {
            tracing::warn!("a page goes without {what}: {reason}");
            None
        }
    }
}

/// Returns the version that the path of a request names.
///
/// # Errors
/// It is no number, or there is no such version.
pub(crate) fn version_of(site: &Site<'_>, request: &Request<'_>) -> Result<ModelVersion, Fault> {
    let (name, version) = (request.part("name")?, request.part("version")?);
    let number = version.parse().map_err(|_| Fault::missing("A version is a number, such as 3."))?;
    Ok(site.registry.version(name, number)?)
}

/// Returns the version that a pipeline's model has in production. Of a client's model, several may
/// be there.
pub(crate) fn champion_of(model: &Model) -> Option<u32> {
    if model.is_foreign { None } else { model.champion }
}

/// Returns the moment now, in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
