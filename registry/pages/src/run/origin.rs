//! Where a run's results come from, and what was made of them.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{Page, Run, StageRecord, StoreError};

use crate::answer::Request;
use crate::fault::Fault;
use crate::markup::cell;
use crate::query::encoded;
use crate::route::{Level, Resource};
use crate::site::Site;
use crate::text;

/// The most versions, runs and artifacts that are shown.
const MOST: usize = 100;

/// The lineage of a run.
#[derive(Serialize)]
pub(super) struct Origin {
    /// The artifacts of its steps, with the steps that read them.
    artifacts: Vec<Artifact>,
    /// The runs whose results it took over.
    taken_from: Vec<String>,
    /// The versions of models that it made.
    versions: Vec<Version>,
    /// The logged models that it used.
    models_used: Vec<String>,
    /// The logged models that it made.
    models_made: Vec<String>,
}

#[derive(Serialize)]
struct Artifact {
    name: String,
    kind: &'static str,
    digest: String,
    rows: Option<u64>,
    bytes: u64,
    made_by: String,
    read_by: Vec<String>,
}

#[derive(Serialize)]
struct Version {
    model: String,
    version: u32,
}

/// Returns the lineage of a run. Of versions, those that the viewer may read.
///
/// # Errors
/// The registry failed.
pub(super) fn origin(
    site: &Site<'_>,
    request: &Request<'_>,
    run: &Run,
    stages: &[StageRecord],
) -> Result<Origin, Fault> {
    let taken: BTreeSet<String> =
        stages.iter().filter_map(|it| it.cached_from.as_ref()).map(ToString::to_string).collect();
    let filter = Filter::parse(Entity::ModelVersions, &format!("run_id = '{}'", run.run_id));
    let filter = filter.map_err(StoreError::from)?;
    let versions = site.registry.search_versions(&filter, &OrderBy::default(), Page { limit: MOST, offset: 0 })?;
    let may_read = |model: &str| request.viewer.may(Level::Read, Resource::Model(model));
    let versions = versions.into_iter().filter(|version| may_read(&version.model));
    Ok(Origin {
        artifacts: artifacts(stages),
        taken_from: taken.into_iter().take(MOST).collect(),
        versions: versions.map(|it| Version { model: it.model, version: it.version }).collect(),
        models_used: run.inputs.models.iter().take(MOST).cloned().collect(),
        models_made: run.inputs.outputs.iter().take(MOST).map(|made| made.model_id.clone()).collect(),
    })
}

/// Returns the artifacts that the steps made, with the later steps that read them.
fn artifacts(stages: &[StageRecord]) -> Vec<Artifact> {
    let mut artifacts = Vec::new();
    for (place, stage) in stages.iter().enumerate() {
        for output in &stage.outputs {
            let later = stages.get(place + 1..).unwrap_or_default();
            let read = later.iter().filter(|step| step.inputs.iter().any(|input| input.digest == output.digest));
            let read: BTreeSet<&str> = read.map(|step| step.name.as_str()).collect();
            artifacts.push(Artifact {
                name: output.name.clone(),
                kind: output.kind.name(),
                digest: output.digest.to_string(),
                rows: output.rows,
                bytes: output.bytes,
                made_by: stage.name.clone(),
                read_by: read.into_iter().map(str::to_owned).collect(),
            });
        }
    }
    artifacts
}

impl Origin {
    pub(super) fn shown(&self) -> Markup {
        let is_empty = self.artifacts.is_empty()
            && self.taken_from.is_empty()
            && self.versions.is_empty()
            && self.models_used.is_empty()
            && self.models_made.is_empty();
        html! {
            @if !is_empty {
                h2 #lineage { "Lineage" }
                dl.facts {
                    @if !self.versions.is_empty() {
                        div { dt { "Registered as" } dd { @for version in &self.versions {
                            div { a href={ "/models/" (encoded(&version.model)) } { (cell(&version.model)) " " (version.version) } }
                        } } }
                    }
                    @if !self.taken_from.is_empty() {
                        div { dt { "Results of earlier runs" } dd { @for run in &self.taken_from {
                            div { a href={ "/runs/" (run) } { (run.get(..8).unwrap_or(run)) } }
                        } } }
                    }
                    (models("Logged models used", &self.models_used))
                    (models("Logged models made", &self.models_made))
                }
                @if !self.artifacts.is_empty() {
                    div.wide tabindex="0" role="region" aria-label="Artifacts" {
                        table {
                            thead { tr {
                                th { "Made by" } th { "Artifact" } th { "Kind" } th.number { "Size" } th.number { "Rows" }
                                th { "Read by" } th { "Digest" }
                            } }
                            tbody { @for artifact in self.artifacts.iter().take(MOST) { tr {
                                td { (cell(&artifact.made_by)) }
                                td { (cell(&artifact.name)) }
                                td { (artifact.kind) }
                                td.number { (text::bytes(artifact.bytes)) }
                                td.number { @if let Some(rows) = artifact.rows { (text::count(rows)) } }
                                td.text { (cell(&artifact.read_by.join(", "))) }
                                td.mono title=(artifact.digest) { (artifact.digest.get(..19).unwrap_or(&artifact.digest)) "…" }
                            } } }
                        }
                    }
                }
            }
        }
    }
}

fn models(title: &str, ids: &[String]) -> Markup {
    html! {
        @if !ids.is_empty() { div { dt { (title) } dd { @for id in ids { div.mono { (cell(id)) } } } } }
    }
}
