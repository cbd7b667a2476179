//! APIs that answer JSON, page by page.
//!
//! The records of all pages become one text of JSON lines, which is kept and decoded as any other.
//! The host looks into a page for two things alone: where its records are, and how to ask for the
//! next page. Values stay as they are written. A page is held in memory and so has a limit of its
//! own; the number of pages, all bytes and the time are limited too.

use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};
use stagewright_store::Digest;
use ureq::http::header::{LINK, RETRY_AFTER};
use ureq::http::{HeaderMap, Uri};
use ureq::tls::RootCerts;

use super::{Answer, HttpRequest, admit, follow, named, origin, parse, unreachable};
use crate::error::{DataError, listed, shown};
use crate::interrupt::Interrupt;
use crate::json::{Kind, NotJson, Raw, Scanner, explain};

/// The longest page, in bytes.
const MAX_PAGE: u64 = 64 << 20;
/// The most attempts for a page of a server that asks to come back later.
const MAX_ATTEMPTS: u32 = 6;
/// The pause after the first such answer, if it names none. Each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest URL of a page.
const MAX_URL: usize = 8 << 10;

/// How the records of an API are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPages {
    /// The names of the members that lead to the array of records; none if the page is the array.
    pub records: Vec<String>,
    /// How a page leads to the next one.
    pub next: NextPage,
    /// The most pages.
    pub max_pages: u64,
}

/// How a page leads to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextPage {
    /// There is one page.
    None,
    /// A member of the body holds its URL. The last page has none, or null.
    Link(Vec<String>),
    /// The header `Link` has its URL, with `rel="next"` (RFC 8288).
    LinkHeader,
    /// A member of the body holds a cursor, which a parameter of the URL takes. The last page has
    /// none, or null.
    Cursor {
        /// The names of the members that lead to it.
        path: Vec<String>,
        /// The parameter's name.
        parameter: String,
    },
}

/// A page that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPage {
    /// Its URL, without its query.
    pub url: String,
    /// The bytes of its body.
    pub bytes: u64,
    /// The number of its records.
    pub records: u64,
    /// The digest of its body.
    pub digest: Digest,
}

/// Downloads all pages, and writes their records as JSON lines.
///
/// # Errors
/// As [`fetch`](super::fetch); [`DataError::Unreachable`] also for a page that is not JSON or of
/// another form, and for pages without an end.
pub fn fetch_json(
    request: &HttpRequest,
    pages: &JsonPages,
    interrupt: &Interrupt,
    into: &mut dyn Write,
) -> Result<Vec<FetchedPage>, DataError> {
    fetch_json_trusting(&RootCerts::WebPki, request, pages, interrupt, into)
}

/// As [`fetch_json`], with these certificate authorities.
pub(super) fn fetch_json_trusting(
    roots: &RootCerts,
    request: &HttpRequest,
    pages: &JsonPages,
    interrupt: &Interrupt,
    into: &mut dyn Write,
) -> Result<Vec<FetchedPage>, DataError> {
    let mut url = parse(&request.url)?;
    let first = url.clone();
    let mut seen = HashSet::from([url.to_string()]);
    let (mut fetched, mut received) = (Vec::new(), 0);
    loop {
        let number = fetched.len() + 1;
        let (headers, body) = page(roots, request, (&url, &first), interrupt)?;
        received += body.len() as u64;
        if received > request.max_bytes {
            return Err(DataError::TooLarge { used: received, allowed: request.max_bytes });
        }
        let wrong = |problem: String, hint: &str| unreachable(&url, format!("page {number}: {problem}"), hint);
        let text = std::str::from_utf8(&body).map_err(|_| wrong("it is not UTF-8".into(), NO_JSON))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let whole = whole(text).map_err(|NotJson| wrong(format!("it is not JSON: {}", explain(text)), NO_JSON))?;
        let mut lines = Vec::with_capacity(body.len());
        let records = write_records(whole, &pages.records, &mut lines).map_err(|problem| {
            wrong(problem, "`records` of the source names the members that lead to the array, such as `data.items`")
        })?;
        into.write_all(&lines).map_err(|error| wrong(format!("its records cannot be kept: {error}"), ""))?;
        let digest = Digest::from_bytes(Sha256::digest(&body).into());
        fetched.push(FetchedPage { url: named(&url.to_string()), bytes: body.len() as u64, records, digest });

        let next = next_page(&pages.next, &url, &headers, whole);
        let next = next.map_err(|problem| wrong(problem, "see `pages` of the source"))?;
        let Some(next) = next else { return Ok(fetched) };
        if next.len() > MAX_URL {
            return Err(wrong(format!("the URL of the next page has more than {MAX_URL} bytes"), ""));
        }
        url = follow(&url, &next, "its next page is")?;
        admit(&url, &request.grants)?;
        if !seen.insert(url.to_string()) {
            let problem = "its next page is one that was read already, so that there is no end".to_owned();
            return Err(unreachable(&url, format!("page {number}: {problem}"), "see `pages` of the source"));
        }
        if fetched.len() as u64 >= pages.max_pages {
            let problem = format!("there are more than {} pages", pages.max_pages);
            return Err(unreachable(&url, problem, "ask for larger pages, or raise `pages.max-pages` of the source"));
        }
    }
}

const NO_JSON: &str = "does the URL lead to the API, or to a page for people?";

/// Downloads a page. If the server asks to come back later, waits, within the time of the request.
fn page(
    roots: &RootCerts,
    request: &HttpRequest,
    (url, first): (&Uri, &Uri),
    interrupt: &Interrupt,
) -> Result<(HeaderMap, Vec<u8>), DataError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut body = Vec::new();
        let of_page = HttpRequest { max_bytes: request.max_bytes.min(MAX_PAGE), ..request.clone() };
        let answer = of_page.answered(roots, url.clone(), &origin(first), interrupt, &mut body);
        let answer = answer.map_err(|error| match error {
            DataError::TooLarge { allowed, .. } if allowed < request.max_bytes => {
                let problem = format!("a page has more than {} MiB", MAX_PAGE >> 20);
                unreachable(url, problem, "ask for smaller pages")
            }
            error => error,
        })?;
        let (status, headers) = match answer {
            Answer::Body { headers, .. } => return Ok((headers, body)),
            Answer::Status { status, headers } => (status, headers),
        };
        if !matches!(status, 429 | 503) {
            return Err(super::refused(url, status));
        }
        let pause = retry_after(&headers).unwrap_or(PAUSE * 2_u32.pow(attempt - 1));
        let left = request.deadline.saturating_duration_since(Instant::now());
        if attempt == MAX_ATTEMPTS || pause >= left {
            let problem = if attempt == MAX_ATTEMPTS {
                format!("the server answers with status {status}, {attempt} times")
            } else {
                let (pause, left) = (pause.as_secs(), left.as_secs());
                format!(
                    "the server answers with status {status} and asks to wait {pause} s; the stage has {left} s left"
                )
            };
            return Err(unreachable(url, problem, "run again later, or raise `wall` under [stages.ingestion.limits]"));
        }
        let until = Instant::now() + pause;
        while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            if interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            std::thread::sleep(rest.min(Duration::from_millis(50)));
        }
    }
}

/// Returns the time that a server asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(SystemTime::from(date.timestamp()).duration_since(SystemTime::now()).unwrap_or_default())
}

/// Returns the one value of a text.
fn whole(text: &str) -> Result<Raw<'_>, NotJson> {
    let mut scanner = Scanner::new(text);
    let value = scanner.value()?;
    if scanner.peek().is_some() { Err(NotJson) } else { Ok(value) }
}

/// A member that a path leads to.
enum Found<'a> {
    Value(Raw<'a>),
    /// The path ends before: there is no such member here, but these.
    Missing {
        at: String,
        names: Vec<String>,
    },
    /// The path ends before, at a value that is no object.
    NoObject {
        at: String,
    },
}

/// Follows names of members. Of several members of one name, the last counts.
fn member<'a>(from: Raw<'a>, path: &[String]) -> Found<'a> {
    let mut value = from;
    for (depth, name) in path.iter().enumerate() {
        let at = || path[..depth].join(".");
        if value.kind != Kind::Object {
            return Found::NoObject { at: at() };
        }
        let (mut found, mut names) = (None, Vec::new());
        let read = Scanner::new(value.text).members(|key, member| {
            let key = key.string().unwrap_or_default();
            if key == name.as_str() {
                found = Some(member);
            } else if names.len() <= 20 {
                names.push(key.into_owned());
            }
        });
        match found.filter(|_| read.is_ok()) {
            Some(member) => value = member,
            None => return Found::Missing { at: at(), names },
        }
    }
    Found::Value(value)
}

/// Writes the records of a page as lines, and returns their number.
fn write_records(page: Raw<'_>, path: &[String], into: &mut Vec<u8>) -> Result<u64, String> {
    let place = |at: &str| if at.is_empty() { "the page".to_owned() } else { format!("`{}`", shown(at)) };
    let array = match member(page, path) {
        Found::Value(array) => array,
        Found::NoObject { at } => return Err(format!("{} is no object", place(&at))),
        Found::Missing { at, names } => {
            let has = if names.is_empty() { "nothing".to_owned() } else { listed(&names) };
            return Err(format!("there is no `{}`: {} has {has}", shown(&path.join(".")), place(&at)));
        }
    };
    match array.kind {
        Kind::Array => {}
        // Some servers write an empty list so.
        Kind::Null if !path.is_empty() => return Ok(0),
        _ => return Err(format!("{} is no array of records", place(&path.join(".")))),
    }
    let mut records = 0;
    let read = Scanner::new(array.text).elements(|scanner| {
        records += 1;
        let record = scanner.value()?;
        if record.kind != Kind::Object {
            return Err(Problem(format!("record {records} is no object: `{}`", shown(record.text))));
        }
        write_compact(record.text, into);
        into.push(b'\n');
        Ok(())
    });
    read.map(|()| records).map_err(|Problem(problem)| problem)
}

/// A problem in words.
struct Problem(String);

impl From<NotJson> for Problem {
    fn from(_: NotJson) -> Self {
        // The whole page was read as JSON before.
        Self("it is not JSON".to_owned())
    }
}

/// Writes JSON without the spaces between its parts, which may be line breaks.
fn write_compact(text: &str, into: &mut Vec<u8>) {
    let (mut in_string, mut is_escaped) = (false, false);
    for &byte in text.as_bytes() {
        if !in_string && matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        }
        into.push(byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
}

/// Returns how to ask for the next page; `None` behind the last one.
fn next_page(next: &NextPage, url: &Uri, headers: &HeaderMap, page: Raw<'_>) -> Result<Option<String>, String> {
    let of_body = |path: &[String]| match member(page, path) {
        Found::Value(value) => Ok(Some(value).filter(|value| value.kind != Kind::Null)),
        Found::Missing { .. } => Ok(None),
        Found::NoObject { at } if !at.is_empty() => Ok(None),
        Found::NoObject { .. } => Err(format!("the page has no members, so no `{}`", shown(&path.join(".")))),
    };
    let text = |value: Raw<'_>, path: &[String]| match value.kind {
        Kind::Plain | Kind::Escaped => {
            value.string().map(std::borrow::Cow::into_owned).map_err(|error| error.to_string())
        }
        Kind::Integer => Ok(value.text.to_owned()),
        _ => Err(format!("`{}` is no text: `{}`", shown(&path.join(".")), shown(value.text))),
    };
    let found = match next {
        NextPage::None => None,
        NextPage::LinkHeader => linked(headers),
        NextPage::Link(path) => of_body(path)?.map(|value| text(value, path)).transpose()?,
        NextPage::Cursor { path, parameter } => {
            let cursor = of_body(path)?.map(|value| text(value, path)).transpose()?;
            cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| with_parameter(url, parameter, &cursor))
        }
    };
    Ok(found.filter(|next| !next.is_empty()))
}

/// Returns the target of `rel="next"` of the headers `Link`.
fn linked(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|text| text.split('<').skip(1)).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            (name.trim().eq_ignore_ascii_case("rel")
                && value.split_whitespace().any(|it| it.eq_ignore_ascii_case("next")))
            .then_some(())
        };
        parameters.split(';').find_map(is_next).map(|()| target.trim().to_owned())
    })
}

/// Returns a URL with another value of a parameter.
fn with_parameter(url: &Uri, name: &str, value: &str) -> String {
    let encoded = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    };
    let name = encoded(name);
    let others = url.query().unwrap_or_default().split('&');
    let others = others.filter(|other| !other.is_empty() && other.split('=').next() != Some(&name));
    let query: Vec<String> = others.map(str::to_owned).chain([format!("{name}={}", encoded(value))]).collect();
    format!("{}?{}", url.path(), query.join("&"))
}

#[cfg(test)]
mod tests;
