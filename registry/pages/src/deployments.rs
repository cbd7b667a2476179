//! `/deployments`: versions that take over, and how far they have come.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_deployment::{ArmView, View as Deployment, percent, status};
use stagewright_store::DeploymentStatus;

use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{badge, cell, nothing};
use crate::models::parts::{model_link, model_path, now_ms, version_link, who};
use crate::query::encoded;
use crate::route::{Level, Needs, Resource, Route, Section};
use crate::site::Site;
use crate::text::{count, duration, time};

/// The deployments under way that are shown.
const MOST_ACTIVE: usize = 100;
/// The former deployments of a model that are shown.
const MOST_FORMER: usize = 50;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/deployments", Needs::SignedIn, deployments),
        Route::get("/deployments/{name}", Needs::Model(Level::Read), of_model),
    ]
}

#[derive(Serialize)]
struct Deployments {
    deployments: Vec<Deployment>,
    /// Whether there are more of them.
    has_more: bool,
    #[serde(skip)]
    may_decide: Vec<bool>,
}

/// Returns the deployments under way that a viewer may see, and whether there are more.
///
/// # Errors
/// Those of the registry.
pub(crate) fn under_way(site: &Site<'_>, request: &Request<'_>, most: usize) -> Result<(Vec<Deployment>, bool), Fault> {
    let mut active = site.registry.active_deployments()?;
    active.retain(|it| request.viewer.may(Level::Read, Resource::Model(&it.model)));
    let has_more = active.len() > most;
    active.truncate(most);
    let views = active.iter().map(|deployment| status(site.registry, deployment, now_ms()));
    Ok((views.collect::<Result<_, _>>()?, has_more))
}

fn deployments(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let (deployments, has_more) = under_way(site, request, MOST_ACTIVE)?;
    let may = |it: &Deployment| may_decide(site, request, &it.model);
    let may_decide = deployments.iter().map(may).collect();
    Ok(Answer::page(&Deployments { deployments, has_more, may_decide }, request))
}

fn may_decide(site: &Site<'_>, request: &Request<'_>, model: &str) -> bool {
    site.pipelines.is_some() && request.viewer.may(Level::Manage, Resource::Model(model))
}

impl View for Deployments {
    fn title(&self) -> String {
        "Deployments".to_owned()
    }

    fn section(&self) -> Section {
        Section::Deployments
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            h1 { "Deployments" }
            @if self.deployments.is_empty() {
                (nothing("No deployment is under way. `stagewright deploy start` begins one: canary, shadow, A/B or blue-green."))
            }
            @for (deployment, may_decide) in self.deployments.iter().zip(&self.may_decide) {
                section.card {
                    h2 { (model_link(&deployment.model)) }
                    (summary(deployment, *may_decide))
                }
            }
            @if self.has_more { p.note { "There are more. `stagewright deploy status` lists all." } }
        }
    }
}

#[derive(Serialize)]
struct OfModel {
    model: String,
    deployments: Vec<Deployment>,
    #[serde(skip)]
    may_decide: bool,
}

fn of_model(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let model = site.registry.model(request.part("name")?)?.name;
    let found = site.registry.deployments(&model, Some(MOST_FORMER))?;
    let mut deployments =
        found.iter().map(|deployment| status(site.registry, deployment, now_ms())).collect::<Result<Vec<_>, _>>()?;
    deployments.sort_by_key(|deployment| std::cmp::Reverse(deployment.number));
    let may_decide = may_decide(site, request, &model);
    Ok(Answer::page(&OfModel { model, deployments, may_decide }, request))
}

impl View for OfModel {
    fn title(&self) -> String {
        format!("Deployments of {}", self.model)
    }

    fn section(&self) -> Section {
        Section::Deployments
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            p.trail { a href="/deployments" { "Deployments" } }
            h1 { "Deployments of " (model_link(&self.model)) }
            @if self.deployments.is_empty() { (nothing("No deployment of this model was ever started.")) }
            @for deployment in &self.deployments {
                section.card { h2 { "Deployment " (deployment.number) } (summary(deployment, self.may_decide)) }
            }
        }
    }
}

/// Returns a deployment with its arms, its report and what comes next.
pub(crate) fn summary(deployment: &Deployment, may_decide: bool) -> Markup {
    let it = deployment;
    let is_active = it.status == DeploymentStatus::Active;
    let path = model_path(&it.model);
    html! {
        p {
            @match it.status {
                DeploymentStatus::Active => (badge("busy", "under way")),
                DeploymentStatus::Finished => (badge("good", "finished")),
                DeploymentStatus::Aborted => (badge("bad", "given up")),
            }
            " " (it.strategy) " " a href={ "/deployments/" (encoded(&it.model)) } { "deployment " (it.number) }
            ", step " (it.step) " since " (time(it.since_ms)) ". Started " (time(it.started_ms)) " by " (who(&it.started_by))
            @if !it.reason.is_empty() { ": " (cell(&it.reason)) }
        }
        @if let (Some(ended), Some(by)) = (it.ended_ms, &it.ended_by) {
            p {
                "Ended " (time(ended)) " by " (who(by))
                @if let Some(reason) = it.end_reason.as_ref().filter(|reason| !reason.is_empty()) { ": " (cell(reason)) }
            }
        }
        div.wide { table {
            thead { tr {
                th { "Arm" } th { "Version" } th.number { "Share" } th.number { "Requests" } th.number { "Errors" }
                th.number { "p50" } th.number { "p99" } th.number { "Outcomes" } th.number { "Positive" }
            } }
            tbody { @for arm in &it.arms { (arm_row(&it.model, arm)) } }
        } }
        (shadow(deployment))
        @if let Some(report) = &it.report { pre tabindex="0" { (stagewright_text::printable(report.to_string().trim_end())) } }
        @if let Some(next) = &it.next {
            p { strong { (if next.action == "stay" { "Now" } else { next.action }) } ": " (cell(&next.reason)) }
        }
        @if is_active && may_decide {
            div.controls {
                a.button href={ (path) "/decide?action=advance" } { "Make the next step…" }
                a.button href={ (path) "/decide?action=abort" } { "Give it up…" }
            }
        }
    }
}

fn arm_row(model: &str, arm: &ArmView) -> Markup {
    let rate = |rate: Option<f64>| html! { @match rate { Some(rate) => (percent(rate)), None => span.soft { "–" } } };
    let latency =
        |latency: Option<f64>| html! { @match latency { Some(ms) => (duration(ms)), None => span.soft { "–" } } };
    html! {
        tr {
            td { (cell(&arm.name)) }
            td { (version_link(model, arm.version)) }
            td.number { (percent(arm.share)) }
            td.number { (count(arm.total.requests)) }
            td.number { (rate(arm.total.error_rate)) }
            td.number { (latency(arm.total.latency_p50_ms)) }
            td.number { (latency(arm.total.latency_p99_ms)) }
            td.number { (count(arm.outcomes)) }
            td.number { (rate(arm.positive_rate)) }
        }
    }
}

fn shadow(deployment: &Deployment) -> Markup {
    let noted = |name: &str| deployment.state.get(name).and_then(serde_json::Value::as_u64);
    html! {
        @if let (Some(compared), Some(different)) = (noted("compared_rows"), noted("different_rows")) {
            p {
                (count(compared)) " rows compared with the shadow, " (count(different)) " different; "
                (count(noted("dropped").unwrap_or_default())) " requests not copied."
            }
        }
    }
}
