//! The page of a file of a run: a part of what is in it, of bounded size.
//!
//! Tables are shown where a pipeline made them. A Parquet file that a client uploaded is not
//! decoded here: an untrusted file may unpack to any size, and this process serves everybody.

use std::io::{self, Read, Write};

use arrow_array::Array as _;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::ArtifactKind;
use stagewright_text::Untrusted;

use super::files::{self, Folder, Found};
use super::read::{read_run, run_of, trail};
use crate::answer::{Answer, Content, Request, View};
use crate::fault::Fault;
use crate::markup::{block, cell, facts, nothing};
use crate::query::{Query, encoded_path};
use crate::route::Section;
use crate::site::Site;
use crate::text;

/// The most bytes of a file that are read to show it.
const MOST_BYTES: u64 = 1 << 20;
/// The most bytes of a text that are shown.
const MOST_TEXT: usize = 256 << 10;
/// The rows and columns of a table's head.
const ROWS: usize = 50;
const COLUMNS: usize = 60;
/// The most characters of a table's cell.
const MOST_CELL: usize = 300;
/// The most bytes of an image or a report that is shown beside others.
pub(super) const MOST_SHOWN: u64 = 16 << 20;

/// The policy of a file that is shown in a frame or as an image: nothing of it runs, it reaches
/// nothing, and it is of no origin.
const RAW_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

/// How a file is shown, by the ending of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A browser shows it, with this media type.
    Image(&'static str),
    /// HTML, in a frame.
    Report,
    Json,
    /// Text of columns, with this byte between them.
    Columns(u8),
    Text,
    Other,
}

impl Kind {
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending).to_ascii_lowercase();
        match ending.as_str() {
            "svg" => Self::Image("image/svg+xml"),
            "png" => Self::Image("image/png"),
            "jpg" | "jpeg" => Self::Image("image/jpeg"),
            "gif" => Self::Image("image/gif"),
            "webp" => Self::Image("image/webp"),
            "html" | "htm" => Self::Report,
            "json" => Self::Json,
            "csv" => Self::Columns(b','),
            "tsv" => Self::Columns(b'\t'),
            "txt" | "log" | "md" | "rst" | "py" | "toml" | "yaml" | "yml" | "xml" | "ini" | "cfg" | "conf" | "sql"
            | "ipynb" | "mlmodel" | "mlproject" | "sh" | "r" | "js" | "css" => Self::Text,
            _ => Self::Other,
        }
    }
}

/// A part of what is in a file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Preview {
    Table { columns: Vec<String>, rows: Vec<Vec<Option<String>>>, of_rows: Option<u64>, of_columns: Option<usize> },
    Text { text: String, is_cut: bool },
    Image,
    Report,
    None { reason: &'static str },
}

#[derive(Serialize)]
struct FileView {
    run_id: String,
    run: String,
    path: String,
    bytes: u64,
    digest: String,
    /// The path of the server that sends the file.
    download: String,
    preview: Preview,
}

#[derive(Serialize)]
struct FolderView {
    run_id: String,
    run: String,
    folder: Folder,
}

/// Shows a file, or what is in a folder.
pub(super) fn page(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let (run, stages) = read_run(site, request)?;
    let path = request.part("path")?.trim_end_matches('/');
    let found = match files::find(site, &run, &stages, path) {
        Ok(found) => found,
        Err(error) => {
            let folder = files::folder(site, &run, &stages, path)?;
            if folder.entries.is_empty() {
                return Err(error);
            }
            let view = FolderView { run_id: run.run_id.to_string(), run: run.name, folder };
            return Ok(Answer::page(&view, request));
        }
    };
    let view = FileView {
        preview: preview(site, &found, path)?,
        run_id: run.run_id.to_string(),
        run: run.name,
        path: path.to_owned(),
        bytes: found.bytes(),
        digest: found.digest().to_string(),
        download: download(run.run_id.as_str(), path),
    };
    Ok(Answer::page(&view, request))
}

/// Sends an image or a report, to be shown in a page.
pub(super) fn raw(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let (run, stages) = read_run(site, request)?;
    let path = request.part("path")?;
    let found = files::find(site, &run, &stages, path)?;
    let media_type = match Kind::of(path) {
        Kind::Image(media_type) => media_type,
        Kind::Report => "text/html; charset=utf-8",
        _ => return Err(Fault::bad("Only images and reports are shown as they are.")),
    };
    if matches!(&found, Found::Made(record) if record.kind == ArtifactKind::Table) || found.bytes() > MOST_SHOWN {
        return Err(Fault::bad(format!("A file of more than {} is not shown.", text::bytes(MOST_SHOWN))));
    }
    let content = Content::File { media_type, bytes: found.bytes(), reader: found.open(site)? };
    Ok(Answer { status: 200, content, policy: RAW_POLICY, is_lasting: false })
}

/// Returns the path that sends a file as a download.
pub(super) fn download(run_id: &str, path: &str) -> String {
    let mut query = Query::default();
    query.add("run_id", run_id);
    query.add("path", path);
    query.link("/get-artifact")
}

/// Returns the path that sends an image or a report to be shown.
pub(super) fn raw_link(run_id: &str, path: &str) -> String {
    format!("/runs/{run_id}/raw/{}", encoded_path(path))
}

fn preview(site: &Site<'_>, found: &Found, path: &str) -> Result<Preview, Fault> {
    if let Found::Made(record) = found
        && record.kind == ArtifactKind::Table
    {
        return head_of_table(site, &record.digest);
    }
    let kind = Kind::of(path);
    if matches!(kind, Kind::Image(_) | Kind::Report) {
        if found.bytes() > MOST_SHOWN {
            return Ok(Preview::None { reason: "The file is too large to be shown." });
        }
        return Ok(if kind == Kind::Report { Preview::Report } else { Preview::Image });
    }
    if kind == Kind::Other {
        return Ok(Preview::None { reason: "Files of this kind are not shown; download it." });
    }
    let mut bytes = Vec::new();
    let read = found.open(site)?.take(MOST_BYTES).read_to_end(&mut bytes);
    read.map_err(|source| stagewright_store::StoreError::Io { action: "read", path: path.into(), source })?;
    let is_part = (bytes.len() as u64) < found.bytes();
    Ok(match kind {
        Kind::Columns(between) => head_of_columns(&bytes, between, is_part),
        Kind::Json => json(&bytes, is_part),
        _ => as_text(&String::from_utf8_lossy(&bytes), is_part),
    })
}

fn as_text(text: &str, is_part: bool) -> Preview {
    let mut end = text.len().min(MOST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Preview::Text { text: text[..end].to_owned(), is_cut: is_part || end < text.len() }
}

/// Returns JSON with line breaks, or as it is where it is not JSON or not whole.
fn json(bytes: &[u8], is_part: bool) -> Preview {
    let parsed = if is_part { None } else { serde_json::from_slice::<serde_json::Value>(bytes).ok() };
    let Some(value) = parsed else { return as_text(&String::from_utf8_lossy(bytes), is_part) };
    let mut beginning = Beginning(Vec::new());
    // Nothing fails but the writer, when it is full.
    let is_cut = serde_json::to_writer_pretty(&mut beginning, &value).is_err();
    let text = beginning.0.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Preview::Text { text: text.to_owned(), is_cut }
}

/// The beginning of a text. It refuses what is beyond [`MOST_TEXT`] bytes: indented JSON may be a
/// hundred times as long as the JSON.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(MOST_TEXT - self.0.len());
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the head of text of columns. A last line that may not be whole is left out.
fn head_of_columns(bytes: &[u8], between: u8, is_part: bool) -> Preview {
    let end = if is_part { bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0) } else { bytes.len() };
    let bytes = bytes.get(..end).unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new().delimiter(between).flexible(true).has_headers(false).from_reader(bytes);
    let mut lines = Vec::new();
    let mut widest = 0;
    for record in reader.byte_records().take(ROWS + 1) {
        let Ok(record) = record else { break };
        widest = widest.max(record.len());
        let cells = record.iter().take(COLUMNS).map(|cell| Some(cut(&String::from_utf8_lossy(cell))));
        lines.push(cells.collect::<Vec<_>>());
    }
    if lines.is_empty() {
        return as_text(&String::from_utf8_lossy(bytes), is_part);
    }
    let columns = lines.remove(0).into_iter().map(Option::unwrap_or_default).collect();
    Preview::Table { columns, rows: lines, of_rows: None, of_columns: Some(widest) }
}

fn head_of_table(site: &Site<'_>, digest: &stagewright_store::Digest) -> Result<Preview, Fault> {
    let table = site.artifacts.open_table(digest)?;
    let fields = table.schema().fields();
    let chosen: Vec<usize> = (0..fields.len().min(COLUMNS)).collect();
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    let wanted = usize::try_from(table.rows()).unwrap_or(usize::MAX).min(ROWS);
    // A chunk may end before the head does.
    while rows.len() < wanted {
        let batch = table.read(rows.len() as u64, wanted - rows.len(), Some(&chosen))?;
        if batch.num_rows() == 0 {
            break;
        }
        let options = FormatOptions::default();
        let unreadable = |_| Fault::new(crate::fault::FaultKind::Failed, "A column of the table cannot be shown.");
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(batch.columns());
            rows.push(
                cells.map(|(shown, column)| column.is_valid(row).then(|| cut(&shown.value(row).to_string()))).collect(),
            );
        }
    }
    let columns = chosen.iter().filter_map(|place| fields.get(*place)).map(|field| field.name.clone()).collect();
    Ok(Preview::Table { columns, rows, of_rows: Some(table.rows()), of_columns: Some(fields.len()) })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl View for FileView {
    fn title(&self) -> String {
        format!("{} of {}", self.path, self.run)
    }

    fn section(&self) -> Section {
        Section::Runs
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            (trail(&self.run_id, &self.run))
            h1 { (path(&self.run_id, &self.path)) }
            (facts(&[
                ("Size", html! { (text::bytes(self.bytes)) }),
                ("Digest", html! { span.mono { (self.digest) } }),
                ("File", html! { a.button href=(self.download) { "Download" } }),
            ]))
            (self.preview.shown(&self.run_id, &self.path))
        }
    }
}

impl View for FolderView {
    fn title(&self) -> String {
        format!("{} of {}", self.folder.path, self.run)
    }

    fn section(&self) -> Section {
        Section::Runs
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            (trail(&self.run_id, &self.run))
            h1 { (path(&self.run_id, &self.folder.path)) }
            (list(&self.run_id, &self.folder))
        }
    }
}

/// Returns a path whose folders are links.
fn path(run_id: &str, path: &str) -> Markup {
    let ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).chain([path.len()]).collect();
    let name = |end: usize| path[..end].rsplit('/').next().unwrap_or_default();
    html! {
        @for end in ends {
            @if end < path.len() {
                a href=(run_of(run_id, &format!("/files/{}", encoded_path(&path[..end])))) { (Untrusted::new(name(end))) }
                " / "
            } @else {
                (Untrusted::new(name(end)))
            }
        }
    }
}

/// Returns the entries of a folder as a table.
pub(super) fn list(run_id: &str, folder: &Folder) -> Markup {
    html! {
        @if let Some(place) = &folder.elsewhere {
            p.note { "Clients keep its files at " span.mono { (cell(place)) } ", which this server does not read." }
        }
        @if folder.entries.is_empty() && folder.elsewhere.is_none() { (nothing("There are no files.")) }
        @if !folder.entries.is_empty() {
            div.wide tabindex="0" role="region" aria-label="Files" {
                table.files {
                    thead { tr { th { "Name" } th.number { "Size" } th.number { "Rows" } th {} } }
                    tbody { @for entry in &folder.entries {
                        @let name = entry.path.rsplit('/').next().unwrap_or_default();
                        tr {
                            td.text {
                                a href=(run_of(run_id, &format!("/files/{}", encoded_path(&entry.path)))) {
                                    (cell(name)) @if entry.is_folder { "/" }
                                }
                            }
                            td.number { @if let Some(size) = entry.bytes { (text::bytes(size)) } }
                            td.number { @if let Some(rows) = entry.rows { (text::count(rows)) } }
                            td { @if !entry.is_folder { a href=(download(run_id, &entry.path)) { "Download" } } }
                        }
                    } }
                }
            }
            @if folder.is_cut { p.note { "The folder has more files. The tracking server's interface lists all of them." } }
        }
    }
}

impl Preview {
    fn shown(&self, run_id: &str, path: &str) -> Markup {
        html! {
            @match self {
                Self::Image => { figure { img src=(raw_link(run_id, path)) alt=(Untrusted::new(path).cut(200)); } }
                Self::Report => { (frame(run_id, path)) }
                Self::None { reason } => { (nothing(reason)) }
                Self::Text { text, is_cut } => {
                    (block(text, MOST_TEXT))
                    @if *is_cut { p.note { "The rest is not shown." } }
                }
                Self::Table { columns, rows, of_rows, of_columns } => {
                    div.wide tabindex="0" role="region" aria-label="Head of the table" {
                        table {
                            thead { tr { @for name in columns { th { (cell(name)) } } } }
                            tbody { @for row in rows { tr { @for value in row {
                                td.nowrap { @match value { Some(value) => (cell(value)), None => span.soft { "null" } } }
                            } } } }
                        }
                    }
                    p.note {
                        "The first " (text::counted(rows.len() as u64, "row"))
                        @if let Some(all) = of_rows { " of " (text::count(*all)) }
                        @if let Some(all) = of_columns && *all > columns.len() { ", " (columns.len()) " of " (all) " columns" }
                        "."
                    }
                }
            }
        }
    }
}

/// Returns a report in a frame in which nothing runs, which is of no origin.
pub(super) fn frame(run_id: &str, path: &str) -> Markup {
    html! {
        iframe.report sandbox="" loading="lazy" referrerpolicy="no-referrer" src=(raw_link(run_id, path))
            title=(Untrusted::new(path).cut(200)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8], is_part: bool) -> (String, bool) {
        match json(bytes, is_part) {
            Preview::Text { text, is_cut } => (text, is_cut),
            _ => panic!("JSON is shown as text"),
        }
    }

    #[test]
    fn json_is_indented_and_cut() {
        assert_eq!(shown(br#"{"a":[1]}"#, false), ("{\n  \"a\": [\n    1\n  ]\n}".to_owned(), false));
        assert_eq!(shown(br#"{"a":"#, true), ("{\"a\":".to_owned(), true));
        assert_eq!(shown(b"no JSON", false), ("no JSON".to_owned(), false));
        // Each level indents each line: whole, this has more than 100 MB.
        let deep = format!("{}{}{}", "[".repeat(120), vec!["1"; 500_000].join(","), "]".repeat(120));
        let (text, is_cut) = shown(deep.as_bytes(), false);
        assert!(is_cut && text.len() == MOST_TEXT && text.starts_with("[\n  ["), "{}", text.len());
        // A character that does not fit whole is left out.
        let long = format!("\"{}\"", "é".repeat(MOST_TEXT));
        let (text, is_cut) = shown(long.as_bytes(), false);
        assert!(is_cut && text.len() == MOST_TEXT - 1 && text.ends_with('é'), "{}", text.len());
        let exact = format!("\"{}\"", "a".repeat(MOST_TEXT - 2));
        assert_eq!(shown(exact.as_bytes(), false), (exact, false));
    }
}
