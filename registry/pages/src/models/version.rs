//! `/models/NAME/VERSION`: everything that is known about a version.

use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value as Json;
use stagewright_store::{
    ArtifactKind, CHAMPION, JudgedAgainst, LifecycleStage, ModelVersion, Reference, VersionVerdict,
};

use super::contents::Contents;
use super::effects::unapproved;
use super::model::{edit, edit_forms, measured_line};
use super::parts::{
    client_mark, digest, if_there, model_link, model_path, stage_mark, verdict_mark, version_of, version_path, who,
};
use super::version_files::Files;
use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::markup::{badge, block, cell, facts, nothing};
use crate::pipelines::{Measured, TrustedComponent, patience};
use crate::route::{Level, Resource, Section};
use crate::site::Site;
use crate::text::{bytes, count, counted, difference, duration, number, number_cell, time};

/// The artifact with the evaluation report, and the most bytes of it that are read.
const EVALUATION: &str = "evaluation.evaluation";
const MOST_REPORT: usize = 8 << 20;

#[derive(Serialize)]
struct VersionPage {
    version: ModelVersion,
    champion: Option<u32>,
    /// Its contents, of which the version has all.
    #[serde(skip)]
    contents: Option<Contents>,
    verdicts: Vec<VersionVerdict>,
    measured: Option<Measured>,
    /// How the last verdict that measured compared the version with the champion.
    compared: Option<Compared>,
    components: Option<Vec<TrustedComponent>>,
    files: Files,
    /// Why it cannot be promoted now.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_promotable: Option<NotPromotable>,
    #[serde(skip)]
    done: Option<String>,
    #[serde(skip)]
    can_edit: bool,
    #[serde(skip)]
    can_decide: bool,
}

/// Why a version cannot be promoted.
#[derive(Serialize)]
struct NotPromotable {
    reason: String,
    /// The way out of that.
    hint: String,
}

impl NotPromotable {
    /// Returns why a pipeline's version cannot; `None` of the champion, too.
    fn of(version: &ModelVersion, champion: Option<u32>) -> Option<Self> {
        let is_asked = version.foreign.is_none() && champion != Some(version.version);
        let (reason, hint) = is_asked.then(|| unapproved(version, champion)).flatten()?;
        Some(Self { reason, hint })
    }
}

/// A comparison with the champion, from the evaluation report.
#[derive(Clone, Default, Serialize)]
struct Compared {
    rows: Option<u64>,
    difference: Option<Difference>,
    caveats: Vec<String>,
}

#[derive(Clone, Serialize)]
struct Difference {
    metric: String,
    value: f64,
    low: f64,
    high: f64,
    confidence: f64,
    p_value: Option<f64>,
    method: String,
}

pub(super) fn version(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let version = version_of(site, request)?;
    let model = site.registry.model(&version.model)?;
    let may = |level| request.viewer.may(level, Resource::Model(&version.model));
    let champion = super::parts::champion_of(&model);
    let of_pipeline = site.pipelines.filter(|_| version.foreign.is_none());
    let page = VersionPage {
        champion,
        contents: Contents::of(&version),
        verdicts: site.registry.verdicts(&version.model, version.version)?,
        measured: of_pipeline.and_then(|it| if_there("intervals", it.measured(&version, patience()))),
        compared: report(site, &version).map(|report| Compared::of(&report)),
        components: of_pipeline.and_then(|it| if_there("components", it.components(&version))),
        files: Files::of(site, &version, request)?,
        not_promotable: NotPromotable::of(&version, champion),
        done: super::change::done(request, &model),
        can_edit: may(Level::Edit),
        can_decide: may(Level::Manage) && of_pipeline.is_some(),
        version,
    };
    Ok(Answer::page(&page, request))
}

/// Returns the report of the evaluation that the version's metrics are of, if it still exists.
fn report(site: &Site<'_>, version: &ModelVersion) -> Option<Json> {
    let of_report = |it: &&Reference| it.role == EVALUATION && it.kind == ArtifactKind::Document;
    let reference = version.references.iter().find(of_report)?;
    let document = site.artifacts.open_document(&reference.digest, "application/json").ok()?;
    let text = document.bytes();
    if text.len() > MOST_REPORT { None } else { serde_json::from_slice(text).ok() }
}

impl Compared {
    fn of(report: &Json) -> Self {
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let difference = report.get("difference").filter(|it| it.is_object()).and_then(|it| {
            let figure = |name: &str| it.get(name).and_then(Json::as_f64);
            Some(Difference {
                metric: text(&it["metric"]),
                value: figure("value")?,
                low: figure("low")?,
                high: figure("high")?,
                confidence: figure("confidence")?,
                p_value: figure("p_value"),
                method: text(&it["method"]),
            })
        });
        let caveats = report["caveats"].as_array().into_iter().flatten().map(text);
        Self { rows: report["compared_rows"].as_u64(), difference, caveats: caveats.collect() }
    }
}

impl View for VersionPage {
    fn title(&self) -> String {
        format!("{} version {}", self.version.model, self.version.version)
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        let version = &self.version;
        html! {
            p.trail { a href="/models" { "Models" } " / " (model_link(&version.model)) }
            h1 {
                (cell(&version.model)) " version " (version.version)
                @if let Some(semantic) = &version.semantic_version { " " span.soft { (cell(semantic)) } }
            }
            @if let Some(done) = &self.done { p.done role="status" { (done) } }
            p.lead {
                (client_mark(version)) " "
                @if version.stage != LifecycleStage::None { (stage_mark(version.stage)) " " }
                @if version.foreign.is_none() { (verdict_mark(version.verdict)) }
                @if let (LifecycleStage::Production, Some(since)) = (version.stage, version.stage_ms) { " since " (time(since)) }
                @if version.withdrawn { " " (badge("warn", "rolled back from")) }
            }
            @if let Some(measured) = &self.measured { (measured_line(measured)) }
            (self.actions())
            @if !version.description.is_empty() { (block(&version.description, 20_000)) }
            (self.about())
            @if version.foreign.is_none() { (self.verdicts()) }
            (self.metrics())
            (self.signature())
            (self.origin())
            (self.limits())
            (self.files.markup(version))
            @if self.can_edit { (edit_forms(&model_path(&version.model), Some((version.version, self.stages())), &version.description)) }
        }
    }
}

impl VersionPage {
    /// Returns the stages that the version can be moved to here.
    fn stages(&self) -> &'static [LifecycleStage] {
        use LifecycleStage::{Archived, None, Production, Staging};
        match (&self.version.foreign, self.version.stage) {
            (Some(_), _) => &[None, Staging, Production, Archived],
            // A promotion of another version leads away from there.
            (Option::None, Production) => &[],
            (Option::None, _) => &[None, Staging, Archived],
        }
    }

    fn actions(&self) -> Markup {
        let version = &self.version;
        let path = version_path(&version.model, version.version);
        let ask =
            |action: &str| format!("{}/decide?action={action}&version={}", model_path(&version.model), version.version);
        html! {
            @if version.foreign.is_none() {
                div.controls {
                    @if self.can_decide && version.stage != LifecycleStage::Production {
                        @if self.not_promotable.is_none() { a.button.main href=(ask("promote")) { "Promote…" } }
                        a.button href=(ask("approve")) { "Approve…" }
                        a.button href=(ask("reject")) { "Reject…" }
                    }
                    @if let Some(champion) = self.champion.filter(|champion| *champion != version.version) {
                        a.button href={ (model_path(&version.model)) "/compare?version=" (champion) "&version=" (version.version) } {
                            "Compare with the champion, version " (champion)
                        }
                    }
                    a.button href={ (path) "/card" } { "Model card" }
                    a.button href={ (path) "/lineage" } { "Lineage" }
                    a.button href={ (path) "/provenance" } { "Provenance" }
                }
                @if let Some(why) = self.not_promotable.as_ref().filter(|_| self.can_decide) {
                    p.note { "It cannot be promoted now. " (cell(&why.reason)) " " (cell(&why.hint)) }
                }
            }
        }
    }

    fn about(&self) -> Markup {
        let (version, path) = (&self.version, model_path(&self.version.model));
        let aliases = html! {
            @for alias in &version.aliases {
                span.tag {
                    (cell(alias))
                    @if self.can_edit && (version.foreign.is_some() || alias != CHAMPION) {
                        " " a href=(edit(&path, &[("action", "remove-alias"), ("key", alias)])) { "remove…" }
                    }
                } " "
            }
            @if version.aliases.is_empty() { span.soft { "none" } }
        };
        let number = version.version.to_string();
        let tags = html! {
            @for (name, value) in &version.tags {
                span.tag {
                    (cell(name)) " = " (cell(value))
                    @if self.can_edit {
                        " " a href=(edit(&path, &[("action", "remove-tag"), ("key", name), ("version", &number)])) { "remove…" }
                    }
                } " "
            }
            @if version.tags.is_empty() { span.soft { "none" } }
        };
        let mut shown = vec![
            ("Registered", html! { (time(version.created_ms)) ", by " (who(&version.actor)) }),
            ("Aliases", aliases),
            ("Tags", tags),
        ];
        if let Some(run) = &version.run_id {
            shown.push(("Run", html! { a href={ "/runs/" (run.as_str()) } { code { (&run.as_str()[..8]) } } }));
        }
        if let Some(contents) = &self.contents {
            shown.push(("Task", cell(&contents.task_text())));
        }
        if let Some(foreign) = &version.foreign {
            shown.push(("Source", html! { code { (cell(&foreign.source)) } }));
        }
        facts(&shown)
    }

    fn verdicts(&self) -> Markup {
        html! {
            h2 { "Verdicts" }
            @if self.verdicts.is_empty() { (nothing("Nobody has judged it yet: neither gates nor a person.")) }
            @for (place, verdict) in self.verdicts.iter().rev().enumerate() {
                @if place == 0 { (self.verdict(verdict, true)) }
                @else { details { summary { "An earlier one, of " (time(verdict.at_ms)) } (self.verdict(verdict, false)) } }
            }
        }
    }

    fn verdict(&self, verdict: &VersionVerdict, is_last: bool) -> Markup {
        let policy =
            if verdict.is_override { "a person's decision".to_owned() } else { format!("policy {}", verdict.policy) };
        // The report is that of the last verdict that measured.
        let compared = self.compared.as_ref().filter(|_| is_last && !verdict.is_override);
        html! {
            div.card {
                p {
                    (verdict_mark(Some(verdict.verdict))) " " (time(verdict.at_ms)) ", by " (who(&verdict.by)) ", "
                    (cell(&policy)) ", against " (against(verdict.judged_against)) ": " (cell(&verdict.reason))
                }
                @if let Some(compared) = compared { (compared.markup()) }
                @if !verdict.is_override && !verdict.reasons.is_empty() {
                    div.wide { table {
                        thead { tr { th { "Gate" } th { "Passed" } th { "Reason" } } }
                        tbody { @for reason in &verdict.reasons { tr {
                            td.nowrap { (cell(&reason.gate)) }
                            td { @if reason.passed { (badge("good", "✓ passed")) } @else { (badge("bad", "✗ failed")) } }
                            td.text.sentence { (cell(&reason.message)) }
                        } } }
                    } }
                }
            }
        }
    }

    fn metrics(&self) -> Markup {
        let with = |name: &str| self.measured.iter().flat_map(|it| &it.intervals).find(|it| it.metric == name);
        html! {
            @if !self.version.metrics.is_empty() {
                h2 { "Metrics" }
                div.wide { table {
                    thead { tr { th { "Metric" } th.number { "Value" } th.number { "Interval" } } }
                    tbody { @for (name, value) in &self.version.metrics { tr {
                        td { (cell(name)) }
                        td.number { (number_cell(*value)) }
                        td.number {
                            @if let Some((low, high)) = with(name).and_then(|it| it.low.zip(it.high)) {
                                (number(low)) " to " (number(high))
                            } @else { span.soft { "–" } }
                        }
                    } } }
                } }
            }
        }
    }

    fn signature(&self) -> Markup {
        let Some(contents) = &self.contents else { return html! {} };
        let signature = &contents.signature;
        let nulls: Vec<String> = signature.null_values.iter().map(|text| format!("“{text}”")).collect();
        html! {
            h2 { "Signature" }
            p.note {
                (counted(signature.fields.len() as u64, "column")) ". "
                @if !nulls.is_empty() { "Texts that mean a missing value: " (cell(&nulls.join(", "))) ". " }
                @if !signature.extra_columns.is_empty() { "Further columns: " (cell(&signature.extra_columns)) "." }
            }
            div.wide { table {
                thead { tr { th { "Column" } th { "Type" } th { "Role" } th { "May be missing" } } }
                tbody { @for field in &signature.fields { tr {
                    td.text { (cell(&field.name)) }
                    td { code { (cell(&field.data_type)) } }
                    td { (cell(&field.role)) }
                    td { @if field.nullable { "yes" } @else { span.soft { "no" } } }
                } } }
            } }
        }
    }

    /// Shows what the version was made from.
    fn origin(&self) -> Markup {
        let Some(contents) = &self.contents else { return html! {} };
        let by_digest = |found: &Option<String>| found.as_ref().map(|found| digest(found));
        let mut shown = Vec::new();
        shown.extend(contents.source.as_ref().map(|source| ("Source", cell(source))));
        shown.extend(by_digest(&contents.data_digest).map(|it| ("Trained on", it)));
        shown.extend(by_digest(&contents.features_digest).map(|it| ("Features", it)));
        shown.extend(by_digest(&contents.test_digest).map(|it| ("Measured on", it)));
        shown.push(("Seed", html! { (contents.seed) }));
        shown.extend(contents.code.as_ref().map(|code| ("Code", code.markup())));
        html! {
            h2 { "Made from" }
            (facts(&shown))
            @if let Some(components) = &self.components {
                div.wide { table {
                    thead { tr { th { "Part" } th { "Component" } th { "SHA-256" } th { "Trust" } } }
                    tbody { @for component in components { tr {
                        td { (cell(&component.stage)) }
                        td { (cell(&component.name)) }
                        td { (digest(&component.digest)) }
                        td {
                            @if component.is_vouched_for { (badge("good", "✓ vouched for")) }
                            @else { (badge("warn", "not signed by a trusted key")) }
                        }
                    } } }
                } }
            }
            @if !self.version.parameters.is_empty() {
                details {
                    summary { (counted(self.version.parameters.len() as u64, "parameter")) }
                    div.wide { table {
                        thead { tr { th { "Parameter" } th { "Value" } } }
                        tbody { @for (name, value) in &self.version.parameters { tr { td { (cell(name)) } td.text { (cell(value)) } } } }
                    } }
                }
            }
        }
    }

    fn limits(&self) -> Markup {
        let limits = self.contents.as_ref().map(|contents| contents.limits.as_slice()).unwrap_or_default();
        html! {
            @if !limits.is_empty() {
                details {
                    summary { "Limits of the stages that made it, and what they used" }
                    div.wide { table {
                        thead { tr { th { "Stage" } th.number { "Memory" } th.number { "CPU time" } th.number { "Time" } } }
                        tbody { @for it in limits { tr {
                            td { (cell(&it.stage)) }
                            td.number { (bytes(it.memory_used)) " of " (bytes(it.memory)) }
                            td.number { (duration(it.cpu_used_ms as f64)) " of " (duration(it.cpu_ms as f64)) }
                            td.number { (duration(it.wall_used_ms as f64)) " of " (duration(it.wall_ms as f64)) }
                        } } }
                    } }
                }
            }
        }
    }
}

impl Compared {
    fn markup(&self) -> Markup {
        html! {
            @if let Some(it) = &self.difference {
                p {
                    "Difference to the champion: " (cell(&it.metric)) " " strong { (difference(it.value)) }
                    ", " (number(it.confidence * 100.0)) " % interval " (difference(it.low)) " to " (difference(it.high))
                    @if let Some(p) = it.p_value { ", p " (number(p)) }
                    @if let Some(rows) = self.rows { ", on " (count(rows)) " rows that neither learnt from" }
                    " " span.soft { "(" (cell(&it.method)) ")" }
                }
            }
            @for caveat in &self.caveats { p.warning { (cell(caveat)) } }
        }
    }
}

fn against(champion: JudgedAgainst) -> Markup {
    html! {
        @match champion {
            JudgedAgainst::NoChampion => "no champion",
            JudgedAgainst::Champion(version) => { "version " (version) },
            JudgedAgainst::Unknown => "a champion that was not recorded",
        }
    }
}
