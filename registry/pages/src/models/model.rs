//! `/models/NAME`: a model, its versions, what is and was in production, and who changed that.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde::Serialize;
use stagewright_deployment::View as Deployment;
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{LifecycleStage, Model, ModelVersion, Page, Promotion, PromotionState, StoreError, Verdict};

use super::effects::unapproved;
use super::list::{aliases, pager};
use super::parts::{
    champion_of, client_mark, if_there, interval, model_path, now_ms, rows, stage_mark, verdict_mark, version_link, who,
};
use crate::answer::{Answer, Request, View};
use crate::deployments;
use crate::fault::Fault;
use crate::markup::{badge, block, cell, facts, nothing};
use crate::pipelines::{Measured, patience};
use crate::route::{Level, Resource, Section};
use crate::site::Site;
use crate::text::{Number, count, counted, number_cell, time};

/// The versions of a page.
const ON_PAGE: usize = 50;
/// The promotions that are shown. The audit has all.
const PROMOTIONS: usize = 25;

#[derive(Serialize)]
struct ModelPage {
    model: Model,
    in_production: Option<Champion>,
    /// The answer to what was in production on a day.
    on: Option<OnDay>,
    from: usize,
    versions: Vec<Row>,
    next: Option<usize>,
    promotions: Vec<Promotion>,
    /// Whether there are more of them.
    has_older_promotions: bool,
    deployment: Option<Deployment>,
    /// The outcomes that are recorded.
    outcomes: u64,
    /// The version that a rollback would go back to.
    rollback_target: Option<u32>,
    #[serde(skip)]
    done: Option<String>,
    #[serde(skip)]
    can: Can,
}

/// The changes that the viewer may make here.
#[derive(Clone, Copy, Default)]
struct Can {
    edit: bool,
    decide: bool,
}

/// The version of a pipeline's model in production.
#[derive(Serialize)]
struct Champion {
    version: u32,
    semantic_version: Option<String>,
    since_ms: Option<i64>,
    by: Option<String>,
    measured: Option<Measured>,
}

#[derive(Serialize)]
struct OnDay {
    day: String,
    /// The end of that day, in UTC.
    at: String,
    version: Option<u32>,
}

#[derive(Serialize)]
struct Row {
    version: u32,
    semantic_version: Option<String>,
    registered_ms: i64,
    by: String,
    verdict: Option<Verdict>,
    reason: Option<String>,
    stage: LifecycleStage,
    stage_ms: Option<i64>,
    was_rolled_back_from: bool,
    aliases: Vec<String>,
    /// Whether nobody has seen the files of a client's version.
    is_unverified: bool,
    metric: Option<(String, Number)>,
    /// Whether it is approved, against the champion of now.
    may_be_promoted: bool,
    #[serde(skip)]
    mark: Markup,
}

pub(super) fn model(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let registry = site.registry;
    let model = registry.model(request.part("name")?)?;
    let name = model.name.as_str();
    let in_production = champion_of(&model).map(|version| champion(site, name, version)).transpose()?;
    let primary = in_production.as_ref().and_then(|it| it.measured.as_ref()?.primary.clone());
    let from = request.query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let mut versions = versions(site, name, from)?;
    let next = (versions.len() > ON_PAGE).then_some(from + ON_PAGE);
    versions.truncate(ON_PAGE);
    let mut promotions = registry.promotions_of_model(name, PROMOTIONS + 1)?;
    let has_older_promotions = promotions.len() > PROMOTIONS;
    promotions.truncate(PROMOTIONS);
    let deployment = registry.active_deployment(name)?;
    let deployment = deployment.map(|it| stagewright_deployment::status(registry, &it, now_ms())).transpose()?;
    let rollback_target = match registry.rollback_target(name) {
        Ok(version) => Some(version),
        Err(StoreError::NoArchivedVersion { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let may = |level| request.viewer.may(level, Resource::Model(name));
    let page = ModelPage {
        on: request.query.get("on").map(|day| on_day(site, name, day)).transpose()?,
        from,
        versions: versions.iter().map(|version| row(version, champion_of(&model), primary.as_deref())).collect(),
        next,
        promotions,
        has_older_promotions,
        deployment,
        outcomes: registry.outcome_count(name)?,
        rollback_target,
        done: super::change::done(request, &model),
        can: Can { edit: may(Level::Edit), decide: may(Level::Manage) && site.pipelines.is_some() },
        in_production,
        model: model.clone(),
    };
    Ok(Answer::page(&page, request))
}

fn versions(site: &Site<'_>, name: &str, from: usize) -> Result<Vec<ModelVersion>, Fault> {
    let failed = |error: stagewright_store::search::SearchError| Fault::bad(format!("{error}."));
    let filter = format!("name = '{}'", name.replace('\'', "''"));
    let filter = Filter::parse(Entity::ModelVersions, &filter).map_err(failed)?;
    let order = OrderBy::parse(Entity::ModelVersions, &["version_number DESC"]).map_err(failed)?;
    Ok(site.registry.search_versions(&filter, &order, Page { limit: ON_PAGE + 1, offset: from })?)
}

fn champion(site: &Site<'_>, model: &str, number: u32) -> Result<Champion, Fault> {
    let version = site.registry.version(model, number)?;
    let promotion = site.registry.promotion_of(model, number)?;
    Ok(Champion {
        version: number,
        semantic_version: version.semantic_version.clone(),
        since_ms: version.stage_ms,
        by: promotion.map(|promotion| promotion.actor),
        measured: site.pipelines.and_then(|it| if_there("intervals", it.measured(&version, patience()))),
    })
}

/// Returns what was in production at the end of a day, in UTC, as `models history --at` does.
fn on_day(site: &Site<'_>, model: &str, day: &str) -> Result<OnDay, Fault> {
    let bad = || Fault::bad("That is no day.").hinting("Write it as 2026-11-21.");
    let date: Date = day.parse().map_err(|_| bad())?;
    let end = date.at(23, 59, 59, 999_999_999).to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp();
    let version = site.registry.champion_at(model, end.as_millisecond())?;
    Ok(OnDay { day: date.to_string(), at: end.to_string(), version })
}

fn row(version: &ModelVersion, champion: Option<u32>, primary: Option<&str>) -> Row {
    let named = |name: &str| version.metrics.iter().find(|(metric, _)| metric == name);
    let metric = primary.map_or_else(|| version.metrics.first(), named);
    Row {
        version: version.version,
        semantic_version: version.semantic_version.clone(),
        registered_ms: version.created_ms,
        by: version.actor.clone(),
        verdict: version.verdict,
        reason: version.reason.clone(),
        stage: version.stage,
        stage_ms: version.stage_ms,
        was_rolled_back_from: version.withdrawn,
        aliases: version.aliases.clone(),
        is_unverified: version.foreign.as_ref().is_some_and(|foreign| !foreign.is_verified()),
        metric: metric.map(|(name, value)| (name.clone(), Number(*value))),
        may_be_promoted: version.foreign.is_none() && unapproved(version, champion).is_none(),
        mark: client_mark(version),
    }
}

impl Row {
    /// Returns whether it was approved and may not be promoted all the same.
    fn is_stale(&self) -> bool {
        self.verdict == Some(Verdict::Approved) && !self.may_be_promoted && self.stage != LifecycleStage::Production
    }
}

impl View for ModelPage {
    fn title(&self) -> String {
        self.model.name.clone()
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, request: &Request<'_>) -> Markup {
        let model = &self.model;
        html! {
            p.trail { a href="/models" { "Models" } }
            h1 { (cell(&model.name)) @if model.is_foreign { " " (badge("plain", "MLflow client")) } }
            @if let Some(done) = &self.done { p.done role="status" { (done) } }
            @if !model.description.is_empty() { (block(&model.description, 20_000)) }
            (self.now())
            (self.on_day())
            @if let Some(deployment) = &self.deployment {
                h2 { "Deployment under way" }
                (deployments::summary(deployment, self.can.decide))
            }
            h2 { "Versions" }
            (self.versions(request))
            (self.history())
            (self.about())
        }
    }
}

impl ModelPage {
    /// Shows what is in production, and what can be done about it.
    fn now(&self) -> Markup {
        let path = model_path(&self.model.name);
        html! {
            @match &self.in_production {
                Some(champion) => div.card {
                    p.lead {
                        (badge("good", "in production")) " "
                        strong { (version_link(&self.model.name, champion.version)) }
                        @if let Some(semantic) = &champion.semantic_version { " " span.soft { (cell(semantic)) } }
                        @if let Some(since) = champion.since_ms { " since " (time(since)) }
                        @if let Some(by) = &champion.by { ", by " (who(by)) }
                    }
                    @if let Some(measured) = &champion.measured { (measured_line(measured)) }
                },
                None if self.model.is_foreign => {},
                None => p.lead { (badge("plain", "nothing in production")) },
            }
            div.controls {
                @if self.can.decide && self.in_production.is_some() {
                    @if let Some(target) = self.rollback_target {
                        a.button href={ (path) "/decide?action=rollback&version=" (target) } {
                            "Roll back to version " (target) "…"
                        }
                    }
                }
                @if self.outcomes > 0 {
                    a.button href={ (path) "/live" } { "Live metrics of " (counted(self.outcomes, "outcome")) }
                }
            }
        }
    }

    fn on_day(&self) -> Markup {
        html! {
            form.controls method="get" {
                div {
                    label for="on" { "What was in production at the end of a day (UTC)?" } br;
                    input #on type="date" name="on" required value=[self.on.as_ref().map(|on| on.day.as_str())];
                }
                button { "Look" }
                @if let Some(on) = &self.on {
                    p #answer role="status" {
                        @match on.version {
                            Some(version) => { "At the end of " (on.day) ", " (version_link(&self.model.name, version)) " was in production." },
                            None => { "At the end of " (on.day) ", nothing was in production." },
                        }
                    }
                }
            }
        }
    }

    fn versions(&self, request: &Request<'_>) -> Markup {
        let path = model_path(&self.model.name);
        let metric = self.versions.iter().find_map(|row| row.metric.as_ref().map(|(name, _)| name.as_str()));
        html! {
            @if self.versions.is_empty() { (nothing("It has no version yet.")) } @else {
                form method="get" action={ (path) "/compare" } {
                    div.wide { table {
                        thead { tr {
                            th { span.unseen { "Compare" } } th { "Version" } th { "Verdict" } th { "Stage" }
                            @if let Some(metric) = metric { th.number { (cell(metric)) } }
                            th { "Aliases" } th { "Registered" } th { "By" }
                            @if self.can.decide && !self.model.is_foreign { th { span.unseen { "Decide" } } }
                        } }
                        tbody { @for row in &self.versions { (self.version(row, metric)) } }
                    } }
                    @if self.versions.len() > 1 { div.controls { button { "Compare those that are chosen" } } }
                }
            }
            (pager(request, self.from, self.next))
        }
    }

    fn version(&self, row: &Row, metric: Option<&str>) -> Markup {
        let path = model_path(&self.model.name);
        html! {
            tr {
                td { input type="checkbox" name="version" value=(row.version) aria-label={ "Compare version " (row.version) }; }
                td.nowrap {
                    (version_link(&self.model.name, row.version))
                    @if let Some(semantic) = &row.semantic_version { " " span.soft { (cell(semantic)) } }
                    " " (row.mark)
                }
                td.text.sentence {
                    @if self.model.is_foreign { span.soft { "–" } } @else { (verdict_mark(row.verdict)) }
                    @if row.is_stale() { br; span.soft { "against another champion than that of now" } }
                    @if let Some(reason) = row.reason.as_ref().filter(|_| row.verdict != Some(Verdict::Approved)) {
                        br; span.soft { (cell(reason)) }
                    }
                }
                td {
                    (stage_mark(row.stage))
                    @if row.was_rolled_back_from { br; span.soft { "rolled back from" } }
                }
                @if metric.is_some() { td.number { @if let Some((_, value)) = &row.metric { (number_cell(value.0)) } } }
                td.text { (cell(&row.aliases.join(", "))) }
                td.nowrap { (time(row.registered_ms)) }
                td.nowrap { (who(&row.by)) }
                @if self.can.decide && !self.model.is_foreign {
                    td.nowrap {
                        @if row.stage != LifecycleStage::Production {
                            @let ask = |action: &str| format!("{path}/decide?action={action}&version={}", row.version);
                            @if row.may_be_promoted { a href=(ask("promote")) { "Promote…" } }
                            @else { a href=(ask("approve")) { "Approve…" } }
                        }
                    }
                }
            }
        }
    }

    fn history(&self) -> Markup {
        html! {
            @if !self.promotions.is_empty() {
                h2 { "Promotions and rollbacks" }
                div.wide { table {
                    thead { tr { th { "When" } th { "What" } th { "State" } th { "By" } th { "Reason" } th { "Location" } } }
                    tbody { @for promotion in &self.promotions { (self.promotion(promotion)) } }
                } }
                @if self.has_older_promotions { p.note { "Older ones are in the " (self.audit_link("audit")) "." } }
            }
        }
    }

    fn promotion(&self, promotion: &Promotion) -> Markup {
        let name = &self.model.name;
        html! {
            tr {
                td.nowrap { (time(promotion.began_ms)) }
                td {
                    @if promotion.retirement { (version_link(name, promotion.version)) " retired" }
                    @else if promotion.rollback { "rollback to " (version_link(name, promotion.version)) }
                    @else { (version_link(name, promotion.version)) }
                    @if let Some(old) = promotion.expected.filter(|old| *old != promotion.version) {
                        " " span.soft { "in place of version " (old) }
                    }
                }
                td { (state_mark(promotion)) }
                td.nowrap { (who(&promotion.actor)) }
                td.text.sentence { (cell(&promotion.reason)) }
                td.text { span.soft { (cell(&promotion.destination)) } }
            }
        }
    }

    /// Shows aliases, tags and the forms that change them.
    fn about(&self) -> Markup {
        let (model, path) = (&self.model, model_path(&self.model.name));
        let tags = html! {
            @for (name, value) in &model.tags {
                span.tag {
                    (cell(name)) " = " (cell(value))
                    @if self.can.edit { " " a href=(edit(&path, &[("action", "remove-tag"), ("key", name)])) { "remove…" } }
                } " "
            }
            @if model.tags.is_empty() { span.soft { "none" } }
        };
        let shown = html! {
            @if model.aliases.is_empty() { span.soft { "none" } } @else { (aliases(&model.name, &model.aliases)) }
        };
        html! {
            h2 { "About" }
            (facts(&[
                ("Aliases", shown),
                ("Tags", tags),
                ("Registered", time(model.created_ms)),
                ("Changed", time(model.updated_ms)),
                ("Everything that happened", self.audit_link("in the audit")),
            ]))
            @if self.can.edit { (edit_forms(&path, None, &model.description)) }
        }
    }

    fn audit_link(&self, text: &str) -> Markup {
        html! { a href={ "/audit?model=" (crate::query::encoded(&self.model.name)) } { (text) } }
    }
}

fn state_mark(promotion: &Promotion) -> Markup {
    match promotion.state {
        PromotionState::Finished => badge("good", "done"),
        PromotionState::Current if promotion.retirement => badge("warn", "pointer not removed yet"),
        PromotionState::Current => badge("warn", "pointer not moved yet"),
        PromotionState::Intended => badge("busy", "under way"),
        PromotionState::Undone => badge("bad", "undone"),
    }
}

/// Returns the line that says how good a version is.
pub(crate) fn measured_line(measured: &Measured) -> Markup {
    html! {
        p.measures {
            @for found in measured.intervals.iter().take(3) {
                span { span.soft { (cell(&found.metric)) } " " (interval(found)) } " "
            }
            @if let Some(first) = measured.intervals.first() {
                span.soft {
                    (rows(measured.rows)) "; in brackets the interval of "
                    (count((first.confidence * 100.0).round() as u64)) " % confidence"
                }
            }
        }
    }
}

/// Returns a link to the page that asks before something is edited.
pub(super) fn edit(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = crate::query::Query::default();
    pairs.iter().for_each(|(name, value)| query.add(name, value));
    query.link(&format!("{path}/edit"))
}

/// Returns the forms that change tags and description of a model, or of one of its versions, which
/// also has aliases and can be moved to some stages.
pub(super) fn edit_forms(path: &str, version: Option<(u32, &[LifecycleStage])>, description: &str) -> Markup {
    let action = |action: &str| {
        html! {
            input type="hidden" name="action" value=(action);
            @if let Some((version, _)) = version { input type="hidden" name="version" value=(version); }
        }
    };
    let to = format!("{path}/edit");
    html! {
        details {
            summary { @if version.is_some() { "Change aliases, stage, tags or description" } @else { "Change tags or description" } }
            @if let Some((_, stages)) = version {
                form.controls method="get" action=(to) {
                    (action("alias"))
                    div { label for="edit-alias" { "Alias" } br; input #edit-alias type="text" name="key" required maxlength="128"; }
                    button { "Point it here…" }
                }
                @if !stages.is_empty() {
                    form.controls method="get" action=(to) {
                        (action("stage"))
                        div {
                            label for="edit-stage" { "Stage" } br;
                            select #edit-stage name="value" { @for stage in stages { option { (stage.name()) } } }
                        }
                        button { "Move it there…" }
                    }
                }
            }
            form.controls method="get" action=(to) {
                (action("tag"))
                div { label for="edit-key" { "Tag" } br; input #edit-key type="text" name="key" required maxlength="250"; }
                div.grow { label for="edit-value" { "Value" } br; input #edit-value type="text" name="value" maxlength="5000"; }
                button { "Set the tag…" }
            }
            form.controls method="get" action=(to) {
                (action("describe"))
                div.grow {
                    label for="edit-description" { "Description" } br;
                    textarea #edit-description name="value" rows="3" maxlength="5000" { (description) }
                }
                button { "Replace the description…" }
            }
        }
    }
}
