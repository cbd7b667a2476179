//! `/audit`: every change of a model, and whether the chain is whole.

use std::sync::Mutex;
use std::time::Instant;

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::{AuditDifference, AuditEntry, AuditSearch, StoreError};

use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::layout::form_token;
use crate::markup::{cell, nothing};
use crate::models::parts::{model_link, version_link, who};
use crate::route::{Level, Needs, Resource, Route, Section};
use crate::site::Site;
use crate::text::{count, counted, duration, time};
use crate::turn;

/// The entries of a page.
const ON_PAGE: usize = 100;
/// How often the registry is asked for more entries, where the viewer may not see those of others.
const MOST_PAGES: usize = 10;

/// The beginnings of actions that can be chosen.
const ACTIONS: [(&str, &str); 8] = [
    ("promotion.", "promotions"),
    ("version.transitioned", "stages of versions"),
    ("version.judged", "verdicts"),
    ("version.", "everything about versions"),
    ("model.", "everything about models"),
    ("alias.", "aliases"),
    ("deployment.", "deployments"),
    ("permission.", "permissions"),
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/audit", Needs::SignedIn, audit),
        // It reads all entries, whoever they are about.
        Route::post("/audit/verification", Needs::Admin, verify).long(),
    ]
}

#[derive(Serialize)]
struct Audit {
    model: Option<String>,
    actor: Option<String>,
    action: Option<String>,
    before: Option<u64>,
    entries: Vec<Entry>,
    /// The place that the next page is before.
    next: Option<u64>,
    /// The hash of the last entry of all.
    head: String,
    #[serde(skip)]
    may_verify: bool,
}

/// An entry without the digests of its subject, which `stagewright audit list --json` has.
#[derive(Serialize)]
struct Entry {
    seq: u64,
    at_ms: i64,
    actor: String,
    action: String,
    model: String,
    version: Option<u32>,
    old_state: Option<String>,
    new_state: Option<String>,
    reason: String,
    hash: String,
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { seq, at_ms, actor, action, model, version, old_state, new_state, reason, hash, details: _ } =
            entry;
        Self { seq, at_ms, actor, action, model, version, old_state, new_state, reason, hash }
    }
}

fn audit(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let text = |name: &str| request.query.get(name).map(str::to_owned);
    let before = text("before").map(|before| before.parse::<u64>()).transpose();
    let before = before.map_err(|_| Fault::bad("`before` is the number of an entry."))?;
    let (model, actor, action) = (text("model"), text("actor"), text("action"));
    let wanted = AuditSearch {
        model: model.clone().unwrap_or_default(),
        actor: actor.clone().unwrap_or_default(),
        action: action.clone().unwrap_or_default(),
    };
    let (mut entries, mut next) = (Vec::new(), before);
    for _ in 0..MOST_PAGES {
        let page = site.registry.audit_page(&wanted, next, ON_PAGE - entries.len())?;
        next = page.next;
        let may_read = |entry: &AuditEntry| request.viewer.may(Level::Read, Resource::Model(&entry.model));
        entries.extend(page.entries.into_iter().filter(may_read).map(Entry::from));
        // A filter may leave an empty page, from which the viewer can go on.
        if next.is_none() || entries.len() >= ON_PAGE || !(wanted.actor.is_empty() && wanted.action.is_empty()) {
            break;
        }
    }
    let (head, may_verify) = (site.registry.audit_head()?, request.viewer.may.is_admin());
    Ok(Answer::page(&Audit { model, actor, action, before, entries, next, head, may_verify }, request))
}

impl View for Audit {
    fn title(&self) -> String {
        "Audit".to_owned()
    }

    fn section(&self) -> Section {
        Section::Audit
    }

    fn body(&self, request: &Request<'_>) -> Markup {
        html! {
            h1 { "Audit" }
            p.note {
                "Every change of a model is an entry in a chain of hashes. The last hash is "
                code { (cell(&self.head)) } "."
            }
            @if self.may_verify {
                form.controls method="post" action="/audit/verification" {
                    (form_token(request))
                    button #verify { "Verify the chain" }
                }
            }
            form.controls method="get" action="/audit" role="search" {
                div { label for="model" { "Model" } br; input #model type="text" name="model" value=[self.model.as_deref()]; }
                div { label for="actor" { "By" } br; input #actor type="text" name="actor" value=[self.actor.as_deref()]; }
                div {
                    label for="action" { "What" } br;
                    select #action name="action" {
                        option value="" { "everything" }
                        @for (action, title) in ACTIONS {
                            option value=(action) selected[self.action.as_deref() == Some(action)] { (title) }
                        }
                    }
                }
                button { "Filter" }
                @if self.model.is_some() || self.actor.is_some() || self.action.is_some() { a href="/audit" { "Show everything" } }
            }
            @if self.entries.is_empty() {
                @match self.next {
                    Some(next) => (nothing(&format!("None of the entries down to {next} is wanted. Older ones may be."))),
                    None => (nothing("No entry is like this.")),
                }
            } @else {
                div.wide { table {
                    thead { tr {
                        th.number { "Entry" } th { "When" } th { "By" } th { "What" } th { "Model" } th { "From" } th { "To" }
                        th { "Reason" }
                    } }
                    tbody { @for entry in &self.entries { (entry.markup()) } }
                } }
            }
            @if self.before.is_some() || self.next.is_some() {
                nav.pager aria-label="Pages" {
                    @if self.before.is_some() { a.button href=(request.query.without("before").link("/audit")) { "Newest" } }
                    @if let Some(next) = self.next {
                        a.button href=(request.query.with("before", &next.to_string()).link("/audit")) { "Older" }
                    }
                }
            }
        }
    }
}

impl Entry {
    fn markup(&self) -> Markup {
        html! {
            tr {
                td.number title=(self.hash) { (self.seq) }
                td.nowrap { (time(self.at_ms)) }
                td.nowrap { (who(&self.actor)) }
                td.nowrap { (cell(&self.action)) }
                td.text {
                    (model_link(&self.model))
                    @if let Some(version) = self.version { " " (version_link(&self.model, version)) }
                }
                td.text { (cell(self.old_state.as_deref().unwrap_or_default())) }
                td.text { (cell(self.new_state.as_deref().unwrap_or_default())) }
                td.text.sentence { (cell(&self.reason)) }
            }
        }
    }
}

/// One verification at a time: each reads all entries.
static VERIFYING: Mutex<()> = Mutex::new(());

/// The findings of a verification.
#[derive(Serialize)]
struct Verification {
    is_whole: bool,
    /// The first entry that was edited, removed or moved, and what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tampered: Option<Tampered>,
    entries: u64,
    head: String,
    without_digests: u64,
    models: u64,
    versions: u64,
    /// The places where the tables are not what the entries say.
    different: u64,
    differences: Vec<AuditDifference>,
    milliseconds: f64,
}

#[derive(Serialize)]
struct Tampered {
    seq: u64,
    problem: String,
}

fn verify(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let _turn = turn::take(&VERIFYING, "The chain is being verified for somebody else.")?;
    let begin = Instant::now();
    let checked = site.registry.check_audit();
    let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
    let verification = match checked {
        Ok(check) => Verification {
            is_whole: check.different == 0,
            tampered: None,
            entries: check.entries,
            head: check.head,
            without_digests: check.without_digests,
            models: check.models,
            versions: check.versions,
            different: check.different,
            differences: check.differences,
            milliseconds,
        },
        Err(StoreError::Tampered { seq, problem }) => Verification {
            is_whole: false,
            tampered: Some(Tampered { seq, problem }),
            entries: seq.saturating_sub(1),
            head: String::new(),
            without_digests: 0,
            models: 0,
            versions: 0,
            different: 0,
            differences: Vec::new(),
            milliseconds,
        },
        Err(error) => return Err(error.into()),
    };
    Ok(Answer::page(&verification, request))
}

impl View for Verification {
    fn title(&self) -> String {
        "Verification of the audit".to_owned()
    }

    fn section(&self) -> Section {
        Section::Audit
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            p.trail { a href="/audit" { "Audit" } }
            h1 { "Verification of the audit" }
            @if self.is_whole {
                p.done #whole role="status" {
                    "The chain is whole: " (count(self.entries)) " entries"
                    ", verified in " (duration(self.milliseconds)) ". "
                    (counted(self.models, "model")) " and " (counted(self.versions, "version")) " stand as the entries say."
                }
                p { "Its head is " code #head { (cell(&self.head)) } }
                p.note {
                    "Keep this hash where writers of the database cannot write. "
                    code { "stagewright audit verify --head HASH" } " tells later whether it is still part of the chain."
                }
            }
            @if let Some(tampered) = &self.tampered {
                p.fault role="alert" {
                    "Entry " (count(tampered.seq)) " is not what was written: " (cell(&tampered.problem)) "."
                }
                p.hint { "Compare the database with a backup. The entries before it are whole." }
            }
            @if self.different > 0 {
                p.fault role="alert" {
                    "The chain is whole, but the tables differ from it in " (counted(self.different, "place"))
                    ": something was changed without an entry."
                }
                ul { @for difference in &self.differences { li { (cell(&difference.to_string())) } } }
            }
            @if self.without_digests > 0 {
                p.note { (count(self.without_digests)) " entries are older than format 4 of the database and were not compared with the tables." }
            }
            p { a.button href="/audit" { "Back to the audit" } }
        }
    }
}
