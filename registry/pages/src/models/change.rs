//! Changes of models: a page that says what is about to change, and the change.
//!
//! Looking changes nothing. The form on the page names the state that the page showed, and the
//! change is made only if that is still the state; otherwise the page comes again with what there
//! is now. What is refused is told on the same page, with the reason.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::{LifecycleStage, Model, StoreError, Verdict};
use stagewright_text::Untrusted;

use super::effects::{Asked, Change, Effects, effects};
use super::parts::{champion_of, model_link, model_path, pipelines, version_path};
use crate::answer::{Answer, Form, Request, View};
use crate::fault::{Fault, FaultKind};
use crate::layout::form_token;
use crate::pipelines::{Because, PipelineFault};
use crate::query::Query;
use crate::route::Section;
use crate::site::Site;

/// Why the audit says that a stage was changed, if nobody said why.
const ON_A_PAGE: &str = "on a page of the server";

/// The page that asks, or says why not.
#[derive(Serialize)]
struct ChangePage {
    model: String,
    change: Change,
    version: Option<u32>,
    #[serde(skip)]
    key: String,
    #[serde(skip)]
    value: String,
    #[serde(skip)]
    reason: String,
    /// Why it was not done, although it is possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(flatten)]
    effects: Effects,
}

#[derive(Serialize)]
struct Problem {
    message: String,
    advice: Option<String>,
}

/// A change that was made, for programs.
#[derive(Serialize)]
struct Done<'a> {
    done: Change,
    model: &'a str,
    version: Option<u32>,
}

pub(super) fn ask_decision(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    ask(site, request, true)
}

pub(super) fn ask_edit(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    ask(site, request, false)
}

pub(super) fn decide(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    change(site, request, true)
}

pub(super) fn edit(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    change(site, request, false)
}

/// Shows what is about to change.
fn ask(site: &Site<'_>, request: &Request<'_>, is_decision: bool) -> Result<Answer, Fault> {
    let model = site.registry.model(request.part("name")?)?;
    let asked = Asked::of(&request.query, is_decision)?;
    let effects = effects(site, &model, &asked)?;
    Ok(Answer::page(&ChangePage::new(&model, asked, effects), request))
}

/// Makes the change, if the state is still that of the page.
fn change(site: &Site<'_>, request: &Request<'_>, is_decision: bool) -> Result<Answer, Fault> {
    let model = site.registry.model(request.part("name")?)?;
    let asked = Asked::of(&request.fields, is_decision)?;
    let now = effects(site, &model, &asked)?;
    let is_as_shown = asked.state.as_ref().is_none_or(|state| *state == now.state);
    let done = if now.refusal.is_some() {
        Err(None)
    } else if !is_as_shown {
        let message = "Something else has changed since this page was opened. Nothing was done.";
        Err(Some(Fault::new(FaultKind::Refused, message).hinting("Look at what would change now, and decide again.")))
    } else if asked.change.needs_reason() && asked.reason.is_empty() {
        Err(Some(Fault::bad("It needs a reason, which the audit keeps. Nothing was done.")))
    } else {
        perform(site, request, &model, &asked, &now).map_err(Some)
    };
    let problem = match done {
        Ok(()) => return Ok(answer_done(request, &model, &asked)),
        Err(Some(fault)) if fault.kind == FaultKind::Missing => return Err(fault),
        Err(problem) => problem,
    };
    let status = problem.as_ref().map_or(FaultKind::Refused, |fault| fault.kind).status();
    let problem = problem.map(|fault| Problem { message: fault.message, advice: fault.hint });
    let page = ChangePage { problem, ..ChangePage::new(&model, asked, now) };
    Ok(Answer { status, ..Answer::page(&page, request) })
}

fn answer_done(request: &Request<'_>, model: &Model, asked: &Asked) -> Answer {
    if request.form == Form::Json {
        return Answer::json(&Done { done: asked.change, model: &model.name, version: asked.version });
    }
    let mut query = Query::default();
    query.add("done", asked.change.name());
    if let Some(version) = asked.version {
        query.add("of", &version.to_string());
    }
    let is_about_version = !asked.change.is_decision() && asked.version.is_some();
    let path = match asked.version.filter(|_| is_about_version) {
        Some(version) => version_path(&model.name, version),
        None => model_path(&model.name),
    };
    Answer::redirect(query.link(&path))
}

fn perform(site: &Site<'_>, request: &Request<'_>, model: &Model, asked: &Asked, now: &Effects) -> Result<(), Fault> {
    let (registry, name) = (site.registry, model.name.as_str());
    let why = Because { actor: request.viewer.name.as_deref(), reason: &asked.reason };
    let told = |done: Result<(), PipelineFault>| done.map_err(|fault| told(name, asked.change, fault));
    match asked.change {
        Change::Promote => {
            let expected = Some(champion_of(model));
            told(pipelines(site)?.promote(name, asked.version()?, expected, why))
        }
        Change::Rollback => {
            let target = now.state.parse().map_err(|_| Fault::bad("There is no version to go back to."))?;
            told(pipelines(site)?.roll_back(name, target, why))
        }
        Change::Approve => told(pipelines(site)?.decide(name, asked.version()?, Verdict::Approved, why)),
        Change::Reject => told(pipelines(site)?.decide(name, asked.version()?, Verdict::Rejected, why)),
        Change::Advance | Change::Abort => {
            let number = now.state.split('.').next().and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| Fault::bad("No deployment is under way."))?;
            let pipelines = pipelines(site)?;
            told(match asked.change {
                Change::Advance => pipelines.advance(name, number, why),
                _ => pipelines.abort(name, number, why),
            })
        }
        Change::Alias => {
            let expected = now.state.parse().ok();
            edited(registry.set_alias(name, &asked.key, expected, Some(asked.version()?)))
        }
        Change::RemoveAlias => edited(registry.set_alias(name, &asked.key, now.state.parse().ok(), None)),
        Change::Stage => stage(site, name, asked),
        Change::Tag => edited(set_tag(site, name, asked, Some(&asked.value))),
        Change::RemoveTag => edited(set_tag(site, name, asked, None)),
        Change::Describe => edited(match asked.version {
            None => registry.describe_model(name, &asked.value),
            Some(version) => registry.describe_version(name, version, &asked.value),
        }),
    }
}

fn stage(site: &Site<'_>, name: &str, asked: &Asked) -> Result<(), Fault> {
    let number = asked.version()?;
    let version = site.registry.version(name, number)?;
    let to: LifecycleStage = asked.value.parse().map_err(|_: StoreError| Fault::bad("There is no such stage."))?;
    let reason = if asked.reason.is_empty() { ON_A_PAGE } else { &asked.reason };
    edited(match version.foreign {
        Some(_) => site.registry.transition_foreign(name, number, to, false, reason).map(drop),
        None => site.registry.transition(name, number, to, reason),
    })
}

fn set_tag(site: &Site<'_>, name: &str, asked: &Asked, value: Option<&str>) -> Result<(), StoreError> {
    match asked.version {
        None => site.registry.tag_model(name, &asked.key, value),
        Some(version) => site.registry.tag_version(name, version, &asked.key, value),
    }
}

/// Returns the fault of an edit. What the registry refuses is no fault of the server.
fn edited(done: Result<(), StoreError>) -> Result<(), Fault> {
    use StoreError as E;
    done.map_err(|error| {
        let is_refusal = matches!(
            error,
            E::AliasMoved { .. }
                | E::ReservedAlias { .. }
                | E::BadName { .. }
                | E::BadKey { .. }
                | E::BadKeyValue { .. }
                | E::NoAlias { .. }
                | E::NoTag { .. }
                | E::IsChampion { .. }
                | E::NeedsPromotion { .. }
                | E::Tracking(_)
        );
        let fault = Fault::from(error);
        if is_refusal { Fault { kind: FaultKind::Refused, ..fault } } else { fault }
    })
}

/// Returns what a person is told of a change that was not made. Texts that name places and accounts
/// are for the log.
fn told(model: &str, change: Change, fault: PipelineFault) -> Fault {
    let (model, change) = (Untrusted::new(model).cut(300), change.name());
    match fault {
        PipelineFault::Refused(reason) => {
            let text = reason.split("\nhint:").next().unwrap_or_default();
            Fault::new(FaultKind::Refused, crate::fault::sentence(text))
        }
        PipelineFault::Busy(reason) => {
            tracing::warn!("`{change}` of model `{model}` is not possible now: {reason}");
            let message = "This is not possible now: another change is under way, or the production location does not answer. Nothing was done.";
            Fault::new(FaultKind::Unavailable, message).hinting("Try again. The log of the server tells more.")
        }
        PipelineFault::Failed(reason) => {
            tracing::error!("`{change}` of model `{model}` failed: {reason}");
            Fault::new(FaultKind::Failed, "The server could not do this, and somebody must mend something first.")
                .hinting("The log of the server tells what.")
        }
    }
}

/// Returns what a page says after a change that it was led to, if the state agrees.
pub(super) fn done(request: &Request<'_>, model: &Model) -> Option<String> {
    let of: Option<u32> = request.query.get("of").and_then(|of| of.parse().ok());
    let champion = champion_of(model);
    match (request.query.get("done")?, of) {
        ("promote" | "rollback", Some(version)) if champion == Some(version) => {
            Some(format!("Version {version} is in production now."))
        }
        ("approve" | "reject", Some(version)) => Some(format!("Your verdict about version {version} is recorded.")),
        ("advance" | "abort", _) => Some("The deployment has changed.".to_owned()),
        ("alias" | "remove-alias" | "stage" | "tag" | "remove-tag" | "describe", _) => {
            Some("It is changed.".to_owned())
        }
        _ => None,
    }
}

impl ChangePage {
    fn new(model: &Model, asked: Asked, effects: Effects) -> Self {
        let Asked { change, version, key, value, reason, .. } = asked;
        Self { model: model.name.clone(), change, version, key, value, reason, problem: None, effects }
    }
}

impl View for ChangePage {
    fn title(&self) -> String {
        self.effects.title.clone()
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, request: &Request<'_>) -> Markup {
        let path = model_path(&self.model);
        let to = if self.change.is_decision() { "decide" } else { "edit" };
        let back = match self.version {
            Some(version) => version_path(&self.model, version),
            None => path.clone(),
        };
        html! {
            p.trail { a href="/models" { "Models" } " / " (model_link(&self.model)) }
            h1 { (line(&self.effects.title)) }
            @if let Some(refusal) = &self.effects.refusal {
                p.fault role="alert" { (line(refusal)) }
                @if let Some(hint) = &self.effects.hint { p.hint { (line(hint)) } }
            }
            @if let Some(problem) = &self.problem {
                p.fault role="alert" { (line(&problem.message)) }
                @if let Some(advice) = &problem.advice { p.hint { (line(advice)) } }
            }
            @if !self.effects.sentences.is_empty() {
                h2 { @if self.effects.refusal.is_some() { "What it would change" } @else { "What will change" } }
                ul.effects { @for sentence in &self.effects.sentences { li { (line(sentence)) } } }
            }
            @if self.change == Change::Describe {
                p { "It will be:" }
                (crate::markup::block(&self.value, 20_000))
            }
            @if self.effects.refusal.is_none() {
                form method="post" action={ (path) "/" (to) } {
                    (form_token(request))
                    input type="hidden" name="action" value=(self.change.name());
                    @if let Some(version) = self.version { input type="hidden" name="version" value=(version); }
                    input type="hidden" name="key" value=(self.key);
                    input type="hidden" name="value" value=(self.value);
                    input type="hidden" name="state" value=(self.effects.state);
                    @if self.change.takes_reason() {
                        p {
                            label for="reason" { "Reason, for the audit" @if !self.change.needs_reason() { " (may be empty)" } } br;
                            input #reason type="text" name="reason" maxlength="2000" value=(self.reason)
                                required[self.change.needs_reason()] autofocus;
                        }
                    }
                    div.controls {
                        button.main #confirm { (self.verb()) }
                        a.button href=(back) { "Cancel" }
                    }
                }
            } @else {
                div.controls {
                    @if self.change == Change::Promote { @if let Some(version) = self.version {
                        a.button href={ (path) "/decide?action=approve&version=" (version) } { "Approve it with a reason…" }
                    } }
                    a.button href=(back) { "Back" }
                }
            }
        }
    }
}

impl ChangePage {
    fn verb(&self) -> &'static str {
        match self.change {
            Change::Promote => "Promote it",
            Change::Rollback => "Roll back",
            Change::Approve => "Approve it",
            Change::Reject => "Reject it",
            Change::Advance => "Make the next step",
            Change::Abort => "Give it up",
            Change::Alias => "Point it there",
            Change::RemoveAlias => "Remove the alias",
            Change::Stage => "Move it there",
            Change::Tag => "Set the tag",
            Change::RemoveTag => "Remove the tag",
            Change::Describe => "Replace the description",
        }
    }
}

/// Returns a sentence that may quote untrusted text.
fn line(text: &str) -> Markup {
    html! { (Untrusted::new(text).cut(3_000)) }
}
