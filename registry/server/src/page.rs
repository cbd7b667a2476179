//! Short answers to browsers and probes that are no page of `stagewright_pages`: a word, the way to
//! another page, an error.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use stagewright_pages::PAGE_POLICY;

use crate::context::Context;
use crate::mlflow_error::{ErrorCode, MlflowError};

/// A short answer.
pub(crate) struct Page {
    status: StatusCode,
    cookie: Option<HeaderValue>,
    content: Content,
}

enum Content {
    Html(String),
    Text(&'static str),
    Redirect(String),
}

/// A function that answers a request with these headers. It may block.
pub(crate) type PageOperation = fn(&Context, &HeaderMap) -> Result<Page, MlflowError>;

impl Page {
    /// A word for probes.
    pub(crate) fn text(text: &'static str) -> Self {
        Self { status: StatusCode::OK, cookie: None, content: Content::Text(text) }
    }

    /// Leads the browser to another page of this server, by a path such as `/models/churn`.
    pub(crate) fn redirect(path: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, cookie: None, content: Content::Redirect(path.into()) }
    }

    /// Returns the same answer, which sets a cookie.
    pub(crate) fn with_cookie(self, cookie: HeaderValue) -> Self {
        Self { cookie: Some(cookie), ..self }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let (media_type, body, location) = match self.content {
            Content::Html(html) => ("text/html; charset=utf-8", Body::from(html), None),
            Content::Text(text) => ("text/plain; charset=utf-8", Body::from(text), None),
            Content::Redirect(path) => ("text/plain; charset=utf-8", Body::empty(), HeaderValue::from_str(&path).ok()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.cookie.map(|cookie| (SET_COOKIE, cookie)));
        headers.extend(location.map(|location| (LOCATION, location)));
        response
    }
}

/// Returns whether a browser or a program wants a page as JSON.
pub(crate) fn wants_json<B>(request: &Request<B>) -> bool {
    let asks = request.uri().query().unwrap_or_default().split('&').any(|pair| pair == "format=json");
    asks || accepted(request).split(',').next().is_some_and(|first| first.trim().starts_with("application/json"))
}

/// Returns whether a person is likely to read the answer: a browser asks, and for no part of the
/// JSON interface.
pub(crate) fn is_for_people<B>(request: &Request<B>) -> bool {
    let is_of_interface = ["/api/", "/ajax-api/"].iter().any(|part| request.uri().path().contains(part));
    !is_of_interface && accepted(request).contains("text/html") && !wants_json(request)
}

fn accepted<B>(request: &Request<B>) -> &str {
    request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns the same answer for a person who asked for this place: an error is a page.
pub(crate) fn for_people(mut response: Response<Body>, at: &Uri) -> Response<Body> {
    match response.extensions_mut().remove::<MlflowError>() {
        Some(told) => error(told, at, false),
        None => response,
    }
}

/// Returns what a browser is shown of an error. One that has to sign in is led there and back.
pub(crate) fn error(error: MlflowError, at: &Uri, wants_json: bool) -> Response<Body> {
    if wants_json {
        return error.into_response();
    }
    if error.code == ErrorCode::Unauthenticated {
        let back = at.path_and_query().map_or("/", PathAndQuery::as_str);
        return Page::redirect(format!("/login?next={}", percent_encoded(back))).into_response();
    }
    let status = error.code.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let html = maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · Stagewright" }
                link rel="stylesheet" href="/static/pages.css";
            }
            body { main { h1 { (title) } p { (error.message) } p { a href="/" { "Overview" } } } }
        }
    };
    Page { status, cookie: None, content: Content::Html(html.into_string()) }.into_response()
}

/// Returns a text as a value in a query.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            // Writing to a text does not fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_has_to_sign_in_is_led_there_and_back_and_a_program_is_told() {
        let at: Uri = "/runs?filter=a%20b&x=1".parse().expect("a path");
        let led = error(MlflowError::unauthenticated(), &at, false);
        assert_eq!(led.status(), StatusCode::SEE_OTHER);
        assert_eq!(led.headers()[LOCATION], "/login?next=/runs%3Ffilter%3Da%2520b%26x%3D1");
        assert_eq!(error(MlflowError::unauthenticated(), &at, true).status(), StatusCode::UNAUTHORIZED);
        assert_eq!(error(MlflowError::denied(), &at, false).status(), StatusCode::FORBIDDEN);
    }
}
