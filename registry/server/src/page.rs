//! Pages and their actions: what a browser asks for, and the answers that it shows.
//!
//! A page is a function that blocks, as an operation is: from the request's members to a [`Page`].
//! An action is what a form of a page posts. It does something and leads to another page.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use serde::Serialize;

use crate::context::Context;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::request::Fields;

/// Scripts and styles come from this server alone, and no other site shows its pages. Frames are
/// for files of runs, which run nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'self'";

/// What a browser asks for.
pub(crate) struct PageRequest {
    /// The members of the query, and those in the path; of an action, those of its form too.
    pub(crate) fields: Fields,
    /// Whether the answer is to be JSON.
    pub(crate) wants_json: bool,
    /// The path, as it was asked for.
    pub(crate) path: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
}

/// The answer to a browser.
pub(crate) struct Page {
    status: StatusCode,
    cookie: Option<HeaderValue>,
    content: Content,
}

enum Content {
    Html(String),
    Json(Vec<u8>),
    Text(&'static str),
    Redirect(String),
    /// A file of the program, such as a script.
    Asset(&'static str, &'static [u8]),
}

/// A page, or an action of one. It may block.
pub(crate) type PageOperation = fn(&Context, &PageRequest) -> Result<Page, MlflowError>;

impl Page {
    /// A page of HTML, which must be escaped already.
    pub(crate) fn html(html: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, cookie: None, content: Content::Html(html.into()) }
    }

    /// The same page as JSON.
    ///
    /// # Errors
    /// The value is not JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, MlflowError> {
        let written = serde_json::to_vec(value);
        let failed = |error: serde_json::Error| MlflowError::new(ErrorCode::InternalError, error.to_string());
        let content = Content::Json(written.map_err(failed)?);
        Ok(Self { status: StatusCode::OK, cookie: None, content })
    }

    /// A word for probes.
    pub(crate) fn text(text: &'static str) -> Self {
        Self { status: StatusCode::OK, cookie: None, content: Content::Text(text) }
    }

    /// Leads the browser to another page of this server, by a path such as `/models/churn`.
    pub(crate) fn redirect(path: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, cookie: None, content: Content::Redirect(path.into()) }
    }

    /// A file of the program, such as a style sheet.
    pub(crate) fn asset(media_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { status: StatusCode::OK, cookie: None, content: Content::Asset(media_type, bytes) }
    }

    /// Returns the same page with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Returns the same page, which sets a cookie.
    pub(crate) fn with_cookie(self, cookie: HeaderValue) -> Self {
        Self { cookie: Some(cookie), ..self }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let is_asset = matches!(self.content, Content::Asset(..));
        let (media_type, body, location) = match self.content {
            Content::Html(html) => ("text/html; charset=utf-8", Body::from(html), None),
            Content::Json(json) => ("application/json", Body::from(json), None),
            Content::Text(text) => ("text/plain; charset=utf-8", Body::from(text), None),
            Content::Redirect(path) => ("text/plain; charset=utf-8", Body::empty(), HeaderValue::from_str(&path).ok()),
            Content::Asset(media_type, bytes) => (media_type, Body::from(bytes), None),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        let cached = if is_asset { "public, max-age=3600" } else { "no-store" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
        if let Some(cookie) = self.cookie {
            headers.insert(SET_COOKIE, cookie);
        }
        if let Some(location) = location {
            headers.insert(LOCATION, location);
        }
        response
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
    let (title, message) = (status.canonical_reason().unwrap_or("Error"), escaped(&error.message));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title} - Stagewright</title><main><h1>{title}</h1>\
         <p>{message}</p><p><a href=\"/\">Overview</a></p></main></html>"
    );
    Page::html(html).with_status(status).into_response()
}

/// Returns a text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// Returns a text as a value in a query.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
