//! The way of every request around its route: who may ask, the body, the id, metrics, the log.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use axum::http::request::Parts;
use axum::http::{Method, Request, Uri};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tower::Service as _;

use crate::access_log::{AccessLine, AccessLog};
use crate::authentication::{Access, Denial, Tokens, admit};
use crate::body::{BodyFault, BodyReader, discard};
use crate::handled::{Handled, HandledResponse};
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::routes::Direct;
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
        let answered = catch_panic(pin!(self.handle(request))).await;
        let HandledResponse { mut response, handled } = answered.unwrap_or_else(|| refused(&Refusal::panicked()));
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
        handled.log(client_id.as_ref().and_then(|id| id.to_str().ok()), status, latency);
        if let Some(id) = client_id {
            response.headers_mut().insert(CLIENT_REQUEST_ID, id);
        }
        response
    }

    async fn handle(&self, request: Request<Incoming>) -> HandledResponse {
        let (parts, body) = request.into_parts();
        if let Err(refusal) = self.admit(&parts.method, &parts.uri, &parts.headers) {
            discard(body);
            return refused(&refusal);
        }
        let body = match self.bodies.read(body).await {
            Ok(body) => body,
            Err(fault) => return refused(&body_refusal(fault)),
        };
        // Kept until the answer is made.
        let share = body.share;
        let answered = match Direct::of(&parts.method, parts.uri.path()) {
            Some(direct) => direct.answer(&self.service, &parts.headers, body.bytes).await,
            None => self.ask_router(parts, body.bytes).await,
        };
        drop(share);
        hold(answered, &self.bodies).await
    }

    async fn ask_router(&self, mut head: Parts, body: Bytes) -> HandledResponse {
        head.extensions.clear();
        let mut response = match self.router.clone().call(Request::from_parts(head, Body::from(body))).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        replace_plain(&mut response);
        response.into()
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
            Denial::NamedSite => Refusal::of_named_site(),
        })?;
        let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        if headers.get_all(CONTENT_ENCODING).iter().all(is_plain) { Ok(()) } else { Err(Refusal::encoding()) }
    }
}

/// The bytes of an answer, with their share of the memory for all bodies. Whoever sends them drops
/// both at once.
struct HeldAnswer {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Lets a long answer hold a share of the memory for bodies until it is sent, so that clients that
/// do not read theirs fill no more than that. Refuses it if there is no share.
async fn hold(answered: HandledResponse, bodies: &BodyReader) -> HandledResponse {
    // Routes make their answers as a whole, of a known length.
    let length = answered.response.body().size_hint().exact().unwrap_or_default();
    let share = match bodies.share_of_answer(usize::try_from(length).unwrap_or(usize::MAX)) {
        Ok(None) => return answered,
        Ok(Some(share)) => share,
        Err(_) => return no_room(answered.handled),
    };
    let HandledResponse { response, handled } = answered;
    let (parts, body) = response.into_parts();
    match to_bytes(body, usize::MAX).await {
        Ok(bytes) => {
            let body = Bytes::from_owner(HeldAnswer { bytes, _share: share }).into();
            HandledResponse { response: Response::from_parts(parts, body), handled }
        }
        Err(_) => refused(&Refusal::panicked()),
    }
}

/// Refuses to send an answer. Metrics and log have its version all the same.
fn no_room(handled: Handled) -> HandledResponse {
    let refusal = Refusal { message: "too many long answers are sent at once".into(), ..Refusal::no_memory() };
    let HandledResponse { response, .. } = refusal.answer(&handled.id).into();
    HandledResponse { response, handled: Handled { rows: 0, error: Some(refusal.code), ..handled } }
}

/// Refuses a request that came to no route.
fn refused(refusal: &Refusal) -> HandledResponse {
    refusal.answer(&RequestId::unanswered()).into()
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
async fn catch_panic<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    // A future that panicked is not polled again, and what it shares with others is made for it:
    // locks that ignore poison, and atomic numbers.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const MIB: usize = 1 << 20;

    fn answer(length: usize) -> HandledResponse {
        Response::new(Body::from(vec![b'x'; length])).into()
    }

    #[tokio::test]
    async fn long_answers_share_the_memory_for_bodies_until_their_bytes_are_gone() {
        let bodies = BodyReader::new(MIB, Duration::from_secs(1), MIB);
        let first = hold(answer(600_000), &bodies).await.response;
        assert_eq!((first.status().as_u16(), first.body().size_hint().exact()), (200, Some(600_000)));
        // The bytes keep the share when the body around them has gone.
        let bytes = to_bytes(first.into_body(), usize::MAX).await.expect("bytes");
        let _second = hold(answer(400_000), &bodies).await;
        let mut third = answer(400_000);
        let version = RequestId::new(3, None);
        third.handled = Handled { rows: 9, ..Handled::unserved(version.clone()) };
        let HandledResponse { response, handled } = hold(third, &bodies).await;
        assert_eq!(response.status(), 503);
        assert_eq!((&handled.id, handled.rows, handled.error), (&version, 0, Some("too_many_bodies")));
        assert_eq!(hold(answer(10_000), &bodies).await.response.status(), 200, "short answers need no share");
        assert_eq!(bytes.len(), 600_000);
        drop(bytes);
        assert_eq!(hold(answer(400_000), &bodies).await.response.status(), 200);
        // More than there is at all.
        let bodies = BodyReader::new(MIB, Duration::from_secs(1), MIB);
        assert_eq!(hold(answer(5 * MIB), &bodies).await.response.status(), 200);
    }

    // Through hyper and a socket, because the share is worth nothing if either copies the bytes.
    #[tokio::test]
    async fn a_client_that_does_not_read_keeps_the_share_of_its_answer() {
        const LENGTH: usize = 64 * MIB;
        let bodies = Arc::new(BodyReader::new(MIB, Duration::from_secs(1), 2 * LENGTH));
        let is_free = |bodies: &BodyReader| {
            let shares = [bodies.share_of_answer(LENGTH), bodies.share_of_answer(LENGTH)];
            shares.iter().all(Result::is_ok)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.expect("a request");
        let (stream, _) = listener.accept().await.expect("a connection");
        let shared = bodies.clone();
        let server = tokio::spawn(async move {
            let answer = service_fn(move |_| {
                let bodies = shared.clone();
                async move { Ok::<_, Infallible>(hold(answer(LENGTH), &bodies).await.response) }
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await
        });
        client.read_exact(&mut [0; 1000]).await.expect("the beginning of an answer");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!is_free(&bodies), "the answer has no share");
        drop(client);
        let _ = tokio::time::timeout(Duration::from_secs(10), server).await.expect("the connection ends");
        assert!(is_free(&bodies), "the share outlives the connection");
    }
}
