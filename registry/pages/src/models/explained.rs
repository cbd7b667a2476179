//! Pages that explain versions: model card, lineage, provenance, comparison.

use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value as Json;
use stagewright_store::ModelVersion;

use super::parts::{model_link, model_path, pipelines, version_link, version_of, version_path};
use crate::answer::{Answer, Content, Form, Request, View};
use crate::fault::{Fault, FaultKind};
use crate::markup::{block, cell, nothing};
use crate::pipelines::{Comparison, PipelineFault};
use crate::route::Section;
use crate::site::Site;

/// The policy of a model card: a whole file with a style of its own, and without scripts.
const CARD_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox";
/// The most versions that are compared at once.
const MOST_COMPARED: usize = 8;
/// The most bytes of a text that a page shows. JSON has all of it.
const MOST_TEXT: usize = 200_000;

/// The card as a file of its own, which a browser shows as it is.
pub(super) fn card(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let version = version_of(site, request)?;
    let card = explained(pipelines(site)?.card(&version))?;
    if request.form == Form::Json {
        return Ok(Answer::json(&card.json));
    }
    let content = Content::Bytes { media_type: "text/html; charset=utf-8", bytes: card.html.into_bytes() };
    Ok(Answer { status: 200, content, policy: CARD_POLICY, is_lasting: false })
}

/// Returns what explains a version, or why nothing does.
fn explained<T>(found: Result<T, PipelineFault>) -> Result<T, Fault> {
    found.map_err(|fault| match fault {
        PipelineFault::Refused(reason) => {
            let text = reason.split("\nhint:").next().unwrap_or_default();
            Fault::new(FaultKind::Refused, crate::fault::sentence(text))
        }
        PipelineFault::Busy(reason) | PipelineFault::Failed(reason) => {
            tracing::error!("a page about a version cannot be made: {reason}");
            Fault::new(FaultKind::Failed, "This cannot be shown. The log of the server tells why.")
        }
    })
}

/// A text about a version, with what it is as data.
struct TextPage {
    model: String,
    version: u32,
    what: &'static str,
    note: &'static str,
    text: String,
    json: Json,
}

impl Serialize for TextPage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

pub(super) fn lineage(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let version = version_of(site, request)?;
    version.check_runnable()?;
    let lineage = explained(pipelines(site)?.lineage(&version.model, version.version))?;
    let note = "Where the version comes from, and what it led to. JSON has the whole graph.";
    Ok(Answer::page(&TextPage::of(&version, "Lineage", note, lineage.tree, lineage.json), request))
}

pub(super) fn provenance(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let version = version_of(site, request)?;
    let statement = explained(pipelines(site)?.provenance(&version))?;
    let text = serde_json::to_string_pretty(&statement).unwrap_or_default();
    let note = "An in-toto statement with SLSA provenance. `stagewright models attest` signs it, and \
                `stagewright reproduce` proves it by making the version again.";
    Ok(Answer::page(&TextPage::of(&version, "Provenance", note, text, statement), request))
}

impl TextPage {
    fn of(version: &ModelVersion, what: &'static str, note: &'static str, text: String, json: Json) -> Self {
        Self { model: version.model.clone(), version: version.version, what, note, text, json }
    }
}

impl View for TextPage {
    fn title(&self) -> String {
        format!("{} of {} version {}", self.what, self.model, self.version)
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            p.trail {
                a href="/models" { "Models" } " / " (model_link(&self.model)) " / " (version_link(&self.model, self.version))
            }
            h1 { (self.what) }
            p.note { (self.note) }
            (block(&self.text, MOST_TEXT))
        }
    }
}

#[derive(Serialize)]
struct ComparePage {
    model: String,
    versions: Vec<u32>,
    #[serde(flatten)]
    comparison: Comparison,
}

pub(super) fn compare(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let name = request.part("name")?;
    let bad = |_| Fault::bad("A version is a number, such as 3.");
    let numbers = request.query.all("version").map(str::parse::<u32>);
    let mut numbers = numbers.collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let mut seen = std::collections::BTreeSet::new();
    numbers.retain(|number| seen.insert(*number));
    if !(2..=MOST_COMPARED).contains(&numbers.len()) {
        return Err(Fault::bad(format!("Choose two to {MOST_COMPARED} versions to compare them."))
            .hinting("Tick them on the model's page. The others are compared with the first."));
    }
    let versions = numbers.iter().map(|number| site.registry.version(name, *number));
    let versions = versions.collect::<Result<Vec<_>, _>>()?;
    versions.iter().try_for_each(ModelVersion::check_runnable)?;
    let comparison = explained(pipelines(site)?.compared(&versions))?;
    Ok(Answer::page(&ComparePage { model: name.to_owned(), versions: numbers, comparison }, request))
}

impl View for ComparePage {
    fn title(&self) -> String {
        format!("{}: {} compared", self.model, self.comparison.titles.join(", "))
    }

    fn section(&self) -> Section {
        Section::Models
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        let mut sections: Vec<&str> = Vec::new();
        for row in &self.comparison.rows {
            if sections.last() != Some(&row.section.as_str()) {
                sections.push(&row.section);
            }
        }
        html! {
            p.trail { a href="/models" { "Models" } " / " (model_link(&self.model)) }
            h1 { "Versions side by side" }
            @for note in &self.comparison.notes {
                @if note.warning { p.warning { (cell(&note.text)) } } @else { p.note { (cell(&note.text)) } }
            }
            @if sections.is_empty() { (nothing("There is nothing to compare.")) }
            @for section in sections { (self.section_table(section)) }
            p { a href=(model_path(&self.model)) { "Back to the model" } }
        }
    }
}

impl ComparePage {
    /// Shows a section: rows that differ, and the others folded away.
    fn section_table(&self, section: &str) -> Markup {
        let rows = || self.comparison.rows.iter().filter(|row| row.section == section);
        let same = rows().filter(|row| !row.differs).count();
        html! {
            h2 { (cell(section)) }
            @if rows().any(|row| row.differs) { (self.table(rows().filter(|row| row.differs))) }
            @if same > 0 {
                details {
                    summary { (crate::text::counted(same as u64, "row")) " without a difference" }
                    (self.table(rows().filter(|row| !row.differs)))
                }
            }
        }
    }

    fn table<'a>(&self, rows: impl Iterator<Item = &'a crate::pipelines::ComparedRow>) -> Markup {
        html! {
            div.wide { table {
                thead { tr {
                    th {}
                    @for version in &self.versions { th { a href=(version_path(&self.model, *version)) { "version " (version) } } }
                } }
                tbody { @for row in rows { tr {
                    th scope="row" { (cell(&row.key)) }
                    @for value in &row.values {
                        td.text { @match value { Some(value) => (cell(value)), None => span.soft { "–" } } }
                    }
                } } }
            } }
        }
    }
}
