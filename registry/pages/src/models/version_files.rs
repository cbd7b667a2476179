//! The files of a version: a client's, and those by which a pipeline's is loaded.

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::{ForeignState, ModelVersion, check_file_path, proxied_path};

use super::parts::{digest, version_path};
use crate::answer::Request;
use crate::fault::Fault;
use crate::markup::{badge, cell};
use crate::query::{Query, encoded_path};
use crate::site::Site;
use crate::text::bytes;

/// The most files of a folder that are listed.
const MOST: usize = 200;
/// The path of the server that sends a file of a version.
const DOWNLOAD: &str = "/model-versions/get-artifact";
/// The files by which MLflow's clients load a pipeline's version, beside its objects.
const OF_LOADING: [&str; 4] = ["MLmodel", "python_env.yaml", "requirements.txt", "stagewright/manifest.json"];

/// The files of a version.
#[derive(Serialize)]
pub(super) struct Files {
    /// Whether the files of a client's version are those that were seen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// The folder that is listed.
    folder: String,
    entries: Vec<Entry>,
    has_more: bool,
}

#[derive(Serialize)]
struct Entry {
    /// Its path from the folder of the version; that of a folder ends with `/`.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The artifact of the version that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

impl Files {
    /// Lists the folder of a client's version that the request names, or the files of a pipeline's.
    ///
    /// # Errors
    /// The folder is none. The registry failed.
    pub(super) fn of(site: &Site<'_>, version: &ModelVersion, request: &Request<'_>) -> Result<Self, Fault> {
        if version.foreign.is_none() {
            return Ok(Self { state: None, folder: String::new(), entries: of_loading(version), has_more: false });
        }
        let folder = request.query.get("folder").unwrap_or_default().trim_end_matches('/');
        if !folder.is_empty() {
            check_file_path(folder)?;
        }
        of_client(site, version, folder)
    }

    pub(super) fn markup(&self, version: &ModelVersion) -> Markup {
        html! {
            h2 #files { "Files" }
            @if let Some(state) = self.state {
                p {
                    @match state {
                        "verified" => { (badge("good", "✓ verified")) " The files are those that this server first saw." },
                        "changed" => { (badge("bad", "✗ changed")) " The files differ from those that this server first saw." },
                        _ => { (badge("warn", "unverified")) " This server has seen no file of this version." },
                    }
                }
            }
            @if !self.folder.is_empty() {
                p.trail { a href={ (version_path(&version.model, version.version)) "#files" } { "Files" } " / " (cell(&self.folder)) }
            }
            @if !self.entries.is_empty() {
                div.wide { table {
                    thead { tr { th { "File" } @if self.state.is_none() { th { "Artifact" } } @else { th.number { "Size" } } } }
                    tbody { @for entry in &self.entries { tr {
                        td.text { a href=(entry.link(version)) { (cell(&entry.path)) } }
                        @if self.state.is_none() { td.text { @if let Some(role) = &entry.role { (cell(role)) } } }
                        @else { td.number { @if let Some(size) = entry.bytes { (bytes(size)) } } }
                    } } }
                } }
            }
            @if self.has_more { p.note { "There are more files." } }
            @if self.state.is_none() { (artifacts(version)) }
        }
    }
}

impl Entry {
    fn link(&self, version: &ModelVersion) -> String {
        match self.path.strip_suffix('/') {
            Some(folder) => {
                let page = version_path(&version.model, version.version);
                format!("{}#files", Query::default().with("folder", folder).link(&page))
            }
            None => {
                let number = version.version.to_string();
                let of = Query::default().with("name", &version.model).with("version", &number);
                of.with("path", &self.path).link(DOWNLOAD)
            }
        }
    }
}

fn of_client(site: &Site<'_>, version: &ModelVersion, folder: &str) -> Result<Files, Fault> {
    let state = match site.registry.foreign_state(&version.model, version.version)? {
        ForeignState::Unverified => "unverified",
        ForeignState::Verified => "verified",
        ForeignState::Changed => "changed",
    };
    let root = version.foreign.as_ref().and_then(|foreign| proxied_path(&foreign.location));
    let beneath = |root: String| if folder.is_empty() { root } else { format!("{root}/{folder}") };
    let mut found = match root.map(beneath) {
        Some(path) => site.registry.client_files(path.trim_start_matches('/'), None, MOST + 1)?,
        None => Vec::new(),
    };
    let has_more = found.len() > MOST;
    found.truncate(MOST);
    let path = |place: String| if folder.is_empty() { place } else { format!("{folder}/{place}") };
    let entries = found.iter().map(|entry| Entry { path: path(entry.place()), bytes: entry.bytes, role: None });
    Ok(Files { state: Some(state), folder: folder.to_owned(), entries: entries.collect(), has_more })
}

/// Returns the files by which a pipeline's version is loaded. None is looked at: a shared place may
/// have them alone, and a page does not wait for that.
fn of_loading(version: &ModelVersion) -> Vec<Entry> {
    let objects = version.references.iter().filter(|reference| reference.needed).map(|reference| Entry {
        path: format!("stagewright/objects/{}", reference.digest.to_hex()),
        bytes: None,
        role: Some(reference.role.clone()),
    });
    let mut objects: Vec<Entry> = objects.collect();
    if !objects.is_empty() {
        objects.extend(OF_LOADING.iter().map(|path| Entry { path: (*path).to_owned(), bytes: None, role: None }));
    }
    objects
}

/// Shows the artifacts of a pipeline's version, each with the folder of its stage.
fn artifacts(version: &ModelVersion) -> Markup {
    let folder = |role: &str| {
        let run = version.run_id.as_ref()?;
        let (stage, _) = role.split_once('.')?;
        Some(format!("/runs/{run}/files/{}", encoded_path(stage)))
    };
    html! {
        div.wide { table {
            thead { tr { th { "Artifact" } th { "Kind" } th { "SHA-256" } th { "Needed to predict" } } }
            tbody { @for it in &version.references { tr {
                td {
                    @if let Some(folder) = folder(&it.role) { a href=(folder) { (cell(&it.role)) } }
                    @else { (cell(&it.role)) }
                }
                td { (it.kind.to_string()) }
                td { (digest(&it.digest.to_string())) }
                td { @if it.needed { "yes" } @else { span.soft { "no" } } }
            } } }
        } }
    }
}
