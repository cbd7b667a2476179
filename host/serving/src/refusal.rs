//! Answers that are errors, all of one form:
//! `{"error": {"code", "message", "hint"?}, "request_id"}`.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::Response;
use serde::Serialize;

use crate::handled::Handled;
use crate::protocol::Protocol;
use crate::request_id::RequestId;

/// Seconds after which a client should try again.
const RETRY_SECONDS: u64 = 1;

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorText<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ErrorText<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// An error that a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// A word for programs.
    pub(crate) code: &'static str,
    pub(crate) message: Cow<'static, str>,
    pub(crate) hint: Option<Cow<'static, str>>,
    /// Whether a client should try again, after a while.
    pub(crate) is_temporary: bool,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), hint: None, is_temporary: false }
    }

    fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn temporary(self) -> Self {
        Self { is_temporary: true, ..self }
    }

    pub(crate) fn of_named_site() -> Self {
        let message = "a page of a site with a name cannot change this on a server without tokens";
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
            .with_hint("send it by a program, or give the server tokens: `--tokens-file FILE`")
    }

    pub(crate) fn unauthorized(message: &'static str) -> Self {
        let hint = "send the header `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message).with_hint(hint)
    }

    pub(crate) fn forbidden(role: &str) -> Self {
        let hint = "use a token that has the role; the tokens file of the server gives roles";
        Self::new(StatusCode::FORBIDDEN, "forbidden", format!("the token has not the role `{role}`")).with_hint(hint)
    }

    pub(crate) fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the server is shutting down").temporary()
    }

    pub(crate) fn encoding() -> Self {
        let hint = "send the body without `Content-Encoding`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "bodies must not be compressed")
            .with_hint(hint)
    }

    pub(crate) fn too_long() -> Self {
        let hint = "send fewer rows in a request";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is longer than this server allows")
            .with_hint(hint)
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body took too long to arrive")
    }

    pub(crate) fn no_memory() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_bodies", "too many long bodies arrive at once").temporary()
    }

    pub(crate) fn broken_body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable_body", "the body ended before its end, or is malformed")
    }

    pub(crate) fn panicked() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed")
    }

    /// Returns an error of a text that may end with its hint, as messages of commands do.
    pub(crate) fn of_text(status: StatusCode, code: &'static str, text: &str) -> Self {
        let (message, hint) = match text.split_once("\nhint: ") {
            Some((message, hint)) => (message, Some(hint.to_owned().into())),
            None => (text, None),
        };
        Self { hint, ..Self::new(status, code, message.to_owned()) }
    }

    /// Returns the error of a status that the router has chosen.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "not_found", "there is nothing at this path")
                .with_hint("`GET /docs` shows what there is"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method_not_allowed", "this path does not take this method")
                    .with_hint("the header `Allow` of this answer has the methods")
            }
            _ if status.is_client_error() => Self::new(status, "bad_request", "the request cannot be understood"),
            StatusCode::SERVICE_UNAVAILABLE => Self::new(status, "unavailable", "not ready").temporary(),
            _ => Self::new(status, "internal", "the server failed"),
        }
    }

    /// Returns the answer to a request with this identifier.
    pub(crate) fn answer(&self, id: &RequestId) -> Response {
        let error = ErrorText { code: self.code, message: &self.message, hint: self.hint.as_deref() };
        // Serializing text cannot fail.
        let body = serde_json::to_vec(&ErrorBody { error, request_id: id.as_str() }).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.is_temporary {
            headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Handled::failed(id.clone(), Protocol::Other, self.code));
        response
    }
}
