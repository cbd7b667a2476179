//! An API of JSON as the content of a source: its pages, and the list of them.

use std::io::Write as _;

use serde::Serialize;
use stagewright_data::{FetchedPage, JsonPages, NextPage};
use stagewright_manifest::{JsonSource, NextPageSection};
use stagewright_store::Blob;

use crate::execution::Execution;
use crate::fault::StageFault;
use crate::run_error::RunError;

/// Returns what the manifest says about the pages.
pub(super) fn of(api: &JsonSource) -> JsonPages {
    let next = match api.pages.as_ref().map(|pages| &pages.next) {
        None => NextPage::None,
        Some(NextPageSection::Link(path)) => NextPage::Link(path.clone()),
        Some(NextPageSection::LinkHeader) => NextPage::LinkHeader,
        Some(NextPageSection::Cursor { path, parameter }) => {
            NextPage::Cursor { path: path.clone(), parameter: parameter.clone() }
        }
    };
    JsonPages { records: api.records.clone(), next, max_pages: api.pages.as_ref().map_or(1, |pages| pages.max_pages) }
}

/// A line of the list.
#[derive(Serialize)]
struct Listed<'a> {
    uri: &'a str,
    size: u64,
    records: u64,
    sha256: String,
}

/// Writes the list of the pages.
pub(super) fn list(execution: &Execution, pages: &[FetchedPage]) -> Result<Blob, RunError> {
    let mut list = execution.create_blob()?;
    for page in pages {
        let (size, sha256) = (page.bytes, page.digest.to_hex());
        let line = serde_json::to_string(&Listed { uri: &page.url, size, records: page.records, sha256 });
        writeln!(list, "{}", line.map_err(StageFault::host)?).map_err(StageFault::host)?;
    }
    Ok(list.finish()?)
}
