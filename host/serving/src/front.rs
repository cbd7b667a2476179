//! The way of every request around its route: who may ask, the body, the id, metrics, the log.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use axum::http::{Method, Request, Uri};
use axum::response::Response;
use hyper::body::Incoming;
use tower::Service as _;

use crate::access_log::{AccessLine, AccessLog};
use crate::authentication::{Access, Denial, Tokens, admit};
use crate::body::{BodyFault, BodyReader, discard};
use crate::handled::Handled;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::service::Service;

/// The server's identifier of a request, in answers; a client's own one, in requests.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own identifier of a request, in answers.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// The most bytes of a client's identifier, and of a path in the log.
const MOST_LOGGED: usize = 256;

/// Answers requests.
pub(crate) struct Front {
    pub(crate) service: Arc<Service>,
    pub(crate) router: Router,
    pub(crate) bodies: BodyReader,
    pub(crate) tokens: ArcSwapOption<Tokens>,
    pub(crate) log: Option<AccessLog>,
}

/// The part of a request that the log has, beside its answer.
struct Logged {
    time: SystemTime,
    method: Method,
    uri: Uri,
}

impl Front {
    /// Answers a request. Whatever its route does, there is an answer with an identifier.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response {
        let started = Instant::now();
        let metrics = self.service.metrics();
        let _in_flight = metrics.begin_request();
        let client_id = request.headers().get(&REQUEST_ID).filter(|value| is_plain(value)).cloned();
        // A message with chunks may have a length as well, which HTTP's parser has dropped by now.
        // A proxy in front may have read it by its length, so nothing that follows is trusted.
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let logged = self.log.as_ref().map(|_| Logged {
            time: SystemTime::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
        });
        let response = catch_panic(self.handle(request)).await;
        let mut response = response.unwrap_or_else(|| Refusal::panicked().answer(&RequestId::unanswered()));
        replace_plain(&mut response);
        let handled = response.extensions_mut().remove::<Handled>();
        let handled = handled.unwrap_or_else(|| Handled::unserved(RequestId::unanswered()));
        if let Ok(id) = HeaderValue::from_str(handled.id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if is_last || self.service.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (status, latency) = (response.status().as_u16(), started.elapsed());
        let counters = match &handled.version {
            Some(version) => version.metrics.of(metrics, &version.model, version.version, handled.arm),
            None => metrics.unserved(),
        };
        counters.observe(handled.protocol, status, latency, handled.rows);
        if let (Some(log), Some(logged)) = (&self.log, logged) {
            log.write(&AccessLine {
                time: logged.time,
                request_id: handled.id.as_str(),
                client_request_id: client_id.as_ref().and_then(|id| id.to_str().ok()),
                method: logged.method.as_str(),
                path: cut(logged.uri.path()),
                model: handled.version.as_ref().map(|version| version.model.as_str()),
                version: handled.version.as_ref().map(|version| version.version),
                arm: handled.arm.name(),
                rows: handled.rows,
                status,
                latency,
                error: handled.error,
            });
        }
        if let Some(id) = client_id {
            response.headers_mut().insert(CLIENT_REQUEST_ID, id);
        }
        response
    }

    async fn handle(&self, request: Request<Incoming>) -> Response {
        let (mut parts, body) = request.into_parts();
        if let Err(refusal) = self.admit(&parts.method, &parts.uri, &parts.headers) {
            discard(body);
            return refusal.answer(&RequestId::unanswered());
        }
        let body = match self.bodies.read(body).await {
            Ok(body) => body,
            Err(fault) => return body_refusal(fault).answer(&RequestId::unanswered()),
        };
        // Kept until the request is answered.
        let _share = body.share;
        parts.extensions.clear();
        let request = Request::from_parts(parts, Body::from(body.bytes));
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Decides by the head of a request whether it is handled.
    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let access = Access::of(method, uri.path());
        if self.service.is_draining() && !matches!(uri.path(), "/health/live" | "/health" | "/metrics") {
            return Err(Refusal::draining());
        }
        admit(self.tokens.load().as_deref(), access, headers).map_err(|denial| match denial {
            Denial::NoToken => Refusal::unauthorized("a token is needed"),
            Denial::UnknownToken => Refusal::unauthorized("the token is not known"),
            Denial::NoRole(role) => Refusal::forbidden(role.name()),
        })?;
        match headers.get(CONTENT_ENCODING) {
            Some(encoding) if encoding != "identity" => Err(Refusal::encoding()),
            _ => Ok(()),
        }
    }
}

fn body_refusal(fault: BodyFault) -> Refusal {
    match fault {
        BodyFault::TooLong => Refusal::too_long(),
        BodyFault::TooSlow => Refusal::too_slow(),
        BodyFault::NoMemory => Refusal::no_memory(),
        BodyFault::Broken => Refusal::broken_body(),
    }
}

/// Replaces an error that the router has made by ours.
fn replace_plain(response: &mut Response) {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || response.extensions().get::<Handled>().is_some() {
        return;
    }
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
        return;
    }
    let (headers, id) = (std::mem::take(response.headers_mut()), RequestId::unanswered());
    *response = Refusal::of_status(status).answer(&id);
    // Such as `Allow`.
    for (name, value) in headers.iter().filter(|(name, _)| !name.as_str().starts_with("content-")) {
        response.headers_mut().insert(name, value.clone());
    }
}

/// Returns whether a client's identifier is one that is shown and logged.
fn is_plain(value: &HeaderValue) -> bool {
    value.len() <= MOST_LOGGED && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Cuts a path for the log.
fn cut(path: &str) -> &str {
    let mut end = path.len().min(MOST_LOGGED);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

/// Completes a future; `None` if it panics.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    // A future that panicked is not polled again, and what it shares with others is made for it:
    // locks that ignore poison, and atomic numbers.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}
