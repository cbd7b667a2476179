//! Sources that are APIs of JSON: where the records of a page are, how to get the next page, and
//! which headers go along.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::Value;
use crate::reader::{Item, Section};

/// The default of `max-pages`.
const MAX_PAGES: u64 = 1000;
/// The most pages that may be asked for. Each has a line in the list of a run's pages.
const MOST_PAGES: u64 = 100_000;
/// The most headers.
const MAX_HEADERS: usize = 16;
/// Headers that the host itself sets.
const OWN_HEADERS: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An API that answers JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct JsonSource {
    /// The names of the members that lead to the array of records; none if a page is the array.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<String>,
    /// How to get further pages; `None` if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<PagesSection>,
}

/// `[sources.NAME.pages]`: how to get further pages.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PagesSection {
    /// How a page leads to the next one.
    #[serde(flatten)]
    pub next: NextPageSection,
    /// The most pages.
    pub max_pages: u64,
}

/// How a page leads to the next one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextPageSection {
    /// A member of the body holds its URL: the names that lead to it.
    Link(Vec<String>),
    /// The header `Link` holds its URL.
    LinkHeader,
    /// A member of the body holds a cursor for a parameter of the URL.
    Cursor {
        /// The names that lead to it.
        path: Vec<String>,
        /// The parameter.
        parameter: String,
    },
}

impl JsonSource {
    pub(crate) fn read(records: Option<&Item<'_>>, pages: Option<&Item<'_>>) -> Option<Self> {
        let records = records.map_or(Some(Vec::new()), path);
        let pages = pages.map(|item| item.section().and_then(PagesSection::read));
        Some(Self { records: records?, pages: pages.map_or(Some(None), |it| it.map(Some))? })
    }
}

impl PagesSection {
    fn read(section: Section<'_>) -> Option<Self> {
        let (link, header, cursor) = (section.get("link"), section.get("link-header"), section.get("cursor"));
        let parameter = section.get("parameter");
        let max_pages = section.get("max-pages").map_or(Some(MAX_PAGES), |item| item.integer(1, MOST_PAGES));
        let header = header.map_or(Some(false), |item| item.boolean())?;
        let next = match (&link, header, &cursor, &parameter) {
            (Some(link), false, None, None) => Some(NextPageSection::Link(path(link)?)),
            (None, true, None, None) => Some(NextPageSection::LinkHeader),
            (None, false, Some(cursor), Some(parameter)) => {
                Some(NextPageSection::Cursor { path: path(cursor)?, parameter: parameter.text()?.to_owned() })
            }
            _ => {
                let hint = "write one of `link = \"links.next\"`, `link-header = true`, or `cursor = \"meta.next\"` with `parameter = \"cursor\"`";
                section.report(
                    format!("`{}` does not say in one way how to get the next page", section.key),
                    Some(hint.to_owned()),
                );
                None
            }
        };
        section.finish();
        Some(Self { next: next?, max_pages: max_pages? })
    }
}

/// Reads names of members: `data.items`, or a list where a name has a dot.
fn path(item: &Item<'_>) -> Option<Vec<String>> {
    let names = match &item.node.value {
        Value::Array(_) => item.strings()?,
        _ => item.text()?.split('.').map(str::to_owned).collect(),
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        let hint = "write the names of members with dots between them, such as `data.items`".to_owned();
        item.report_value(format!("`{}` names no member", item.key), Some(hint));
        return None;
    }
    Some(names)
}

/// Reads `headers`: for each header, the variable of the environment with its value.
pub(crate) fn headers(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let section = item.section()?;
    let mut headers = BTreeMap::new();
    let mut is_fine = true;
    for (name, item) in section.items() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_own = OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
        if name.is_empty() || !name.bytes().all(fits) || is_own {
            let hint = if is_own { "remove it: the host sets this header" } else { "write a name such as `X-Api-Key`" };
            item.report(format!("`{name}` is not a header that may be set"), Some(hint.to_owned()));
            is_fine = false;
        }
        match item.text() {
            Some(variable) => drop(headers.insert(name.to_ascii_lowercase(), variable.to_owned())),
            None => is_fine = false,
        }
    }
    if headers.len() > MAX_HEADERS {
        item.report(format!("`{}` has more than {MAX_HEADERS} headers", item.key), None);
        is_fine = false;
    }
    is_fine.then_some(headers)
}
