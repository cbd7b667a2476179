//! Requests, and the answers to them.

use std::fmt;
use std::io::Read;

use maud::Markup;
use serde::Serialize;

use crate::fault::Fault;
use crate::layout;
use crate::query::Query;
use crate::route::Section;
use crate::viewer::Viewer;

/// The policy of every page: its scripts, styles and data are this server's, and nothing is inline.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// How a page is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// To people.
    #[default]
    Html,
    /// To programs.
    Json,
}

impl Form {
    /// Returns the form that a request wants: JSON if the query has `format=json` or the header
    /// `Accept` names JSON and not HTML.
    pub fn wanted(query: &Query, accept: Option<&str>) -> Self {
        match query.get("format") {
            Some("json") => return Self::Json,
            Some("html") => return Self::Html,
            _ => {}
        }
        let accept = accept.unwrap_or_default();
        if accept.contains("application/json") && !accept.contains("text/html") { Self::Json } else { Self::Html }
    }
}

/// A request of a page.
#[derive(Debug)]
pub struct Request<'a> {
    /// The path, as it was sent.
    pub path: &'a str,
    /// The variable parts of the path, decoded.
    pub parts: Query,
    /// The query.
    pub query: Query,
    /// The fields of a form that was sent.
    pub fields: Query,
    /// How the page is shown.
    pub form: Form,
    /// Who asks.
    pub viewer: &'a Viewer,
}

impl Request<'_> {
    /// Returns a variable part of the path.
    ///
    /// # Errors
    /// It is empty.
    pub fn part(&self, name: &str) -> Result<&str, Fault> {
        self.parts.get(name).ok_or_else(|| Fault::missing("There is no such page."))
    }
}

/// A page: everything that it shows, as a record.
pub trait View: Serialize {
    /// Returns the title, without markup.
    fn title(&self) -> String;

    /// Returns its place in the navigation.
    fn section(&self) -> Section;

    /// Returns the scripts that it needs, by the names of their assets.
    fn scripts(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns what is shown beneath the navigation.
    fn body(&self, request: &Request<'_>) -> Markup;
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// Its content.
    pub content: Content,
    /// The policy for the browser that shows it (`Content-Security-Policy`).
    pub policy: &'static str,
    /// Whether it stays the same as long as its path does.
    pub is_lasting: bool,
}

/// The content of an answer.
pub enum Content {
    /// All bytes.
    Bytes {
        /// The media type.
        media_type: &'static str,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The bytes of a file, of which there may be many.
    File {
        /// The media type.
        media_type: &'static str,
        /// Their number.
        bytes: u64,
        /// The bytes.
        reader: Box<dyn Read + Send>,
    },
    /// The way to another page, after a form was taken (303).
    Redirect {
        /// A path of this server, with its query.
        to: String,
    },
    /// Events, as they happen (`text/event-stream`).
    Events(Box<dyn Events>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { media_type, bytes } => write!(f, "{} bytes of {media_type}", bytes.len()),
            Self::File { media_type, bytes, .. } => write!(f, "a file of {bytes} bytes of {media_type}"),
            Self::Redirect { to } => write!(f, "redirect to {to}"),
            Self::Events(_) => f.write_str("events"),
        }
    }
}

/// Events that are asked for again and again.
pub trait Events: Send {
    /// Returns the text of the events since the last call, as `text/event-stream` has them; empty
    /// if there are none. `None` after the last one. It may block as long as a query takes.
    ///
    /// # Errors
    /// The registry fails. The caller ends the stream; a browser asks again.
    fn next(&mut self) -> Result<Option<String>, Fault>;
}

impl Answer {
    /// Returns a page, in the form that was asked for.
    pub fn page(view: &impl View, request: &Request<'_>) -> Self {
        let content = match request.form {
            Form::Html => {
                let bytes = layout::document(view, request).into_string().into_bytes();
                Content::Bytes { media_type: "text/html; charset=utf-8", bytes }
            }
            Form::Json => return Self::json(view),
        };
        Self { status: 200, content, policy: PAGE_POLICY, is_lasting: false }
    }

    /// Returns a record as JSON alone.
    pub fn json(record: &impl Serialize) -> Self {
        let (status, bytes) = match serde_json::to_vec(record) {
            Ok(bytes) => (200, bytes),
            // Unreachable: views have texts as keys.
            Err(error) => {
                tracing::error!("a page is no JSON: {error}");
                (500, b"{\"error\":\"failed\"}".to_vec())
            }
        };
        let content = Content::Bytes { media_type: "application/json", bytes };
        Self { status, content, policy: PAGE_POLICY, is_lasting: false }
    }

    /// Returns the way to another page of this server, after a form was taken.
    pub fn redirect(to: impl Into<String>) -> Self {
        Self { status: 303, content: Content::Redirect { to: to.into() }, policy: PAGE_POLICY, is_lasting: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_ask_for_it_and_html_for_browsers() {
        let browser = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8";
        for (query, accept, form) in [
            ("", None, Form::Html),
            ("", Some("*/*"), Form::Html),
            ("", Some(browser), Form::Html),
            ("", Some("application/json"), Form::Json),
            ("format=json", Some(browser), Form::Json),
            ("format=html", Some("application/json"), Form::Html),
        ] {
            assert_eq!(Form::wanted(&Query::parse(query), accept), form, "{query} {accept:?}");
        }
    }
}
