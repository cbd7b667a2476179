//! Requests of pages.

use crate::fault::Fault;
use crate::query::Query;
use crate::viewer::Viewer;

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
