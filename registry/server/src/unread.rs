//! The rest of the body of a request that is answered before all of it was read.
//!
//! A client that still sends sees a broken connection in place of the answer, and begins again. So
//! whatever an answer was made without is read first, in this one place, within bounds. The body is
//! lent to whoever makes the answer and comes back if it was not read to its end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::header::EXPECT;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use crate::app::App;
use crate::stream;

/// The most bytes that are read for nothing. The connection ends before a longer rest.
const MOST: u64 = 64 << 20;

/// The body of a request that was lent.
pub(crate) struct Unread<B> {
    rest: Arc<Mutex<Option<Rest<B>>>>,
    /// Whether the client sends nothing before the server reads.
    waits: bool,
}

struct Rest<B> {
    body: B,
    /// Whether some of it was read, or waited for.
    is_begun: bool,
}

/// Lends the body of a request.
pub(crate) fn lend<B>(request: Request<B>) -> (Request<Body>, Unread<B>)
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    let rest = Arc::new(Mutex::new(None));
    let waits = request.headers().contains_key(EXPECT);
    let lent = request.map(|body| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(Lent { body: Some(Rest { body, is_begun: false }), back: rest.clone() }),
    });
    (lent, Unread { rest, waits })
}

impl<B> Unread<B>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    /// Reads the rest of the body, if it is neither too long nor too slow, before an answer of this
    /// status is sent.
    pub(crate) async fn discard(self, app: &App, status: StatusCode) {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Rest { body, is_begun }) = rest else { return };
        // The client hears the answer first, or has had its time.
        if self.waits && !is_begun || status == StatusCode::REQUEST_TIMEOUT {
            return;
        }
        discard(&mut Body::new(body), app).await;
    }
}

async fn discard(body: &mut Body, app: &App) {
    let mut left = MOST;
    if body.size_hint().lower() > left {
        return;
    }
    let read = async {
        while let Ok(Some(bytes)) = stream::next(body, app).await {
            left = left.saturating_sub(bytes.len() as u64);
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(app.limits.body_time, read).await;
}

/// A body that gives back what was not read of it.
struct Lent<B: HttpBody> {
    /// `None` at its end.
    body: Option<Rest<B>>,
    back: Arc<Mutex<Option<Rest<B>>>>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(rest) = &mut self.body else { return Poll::Ready(None) };
        rest.is_begun = true;
        let frame = ready!(Pin::new(&mut rest.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.body.size_hint())
    }
}

impl<B: HttpBody> Drop for Lent<B> {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take().filter(|rest| !rest.body.is_end_stream()) {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use stagewright_store::Home;

    use super::*;
    use crate::app::HttpLimits;
    use crate::server::{Server, ServerOptions};
    use crate::stream::tests::Trickle;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Sends a head and then this many bytes, and reads nothing before. Returns the answer.
    fn sent(address: SocketAddr, head: &str, bytes: usize) -> String {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(head.as_bytes()).expect("the head is sent");
        let piece = vec![b' '; 64 << 10];
        for _ in 0..bytes / piece.len() {
            if let Err(error) = stream.write_all(&piece) {
                panic!("the body is not sent, {error}: {head}");
            }
        }
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    // invariant: A client that sends all before it reads gets the answer, whoever refuses it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_sends_all_before_it_reads_gets_the_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let options = ServerOptions::at(([127, 0, 0, 1], 0).into());
        let server = Server::bind(home.registry, home.artifacts, options).await.expect("a server");
        let address = server.address();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async { drop(stopped.await) }));
        const SIZE: usize = 16 << 20;
        let head = move |first: &str, host: &str, more: &str| {
            format!("{first} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {SIZE}\r\n{more}\r\n")
        };
        let own = address.to_string();
        let asked = tokio::task::spawn_blocking(move || {
            for (first, host, status) in [
                ("POST /none", own.as_str(), 404),
                ("POST /api/2.0/mlflow/traces", &own, 404),
                ("POST /api/2.0/mlflow/runs/search", "evil.example", 403),
                ("GET /version", &own, 200),
                ("DELETE /version", &own, 405),
                ("PUT /api/2.0/mlflow-artifacts/artifacts/a%5cb", &own, 400),
                ("POST /runs/%ff", &own, 405),
                ("GET /runs/%ff", &own, 400),
                ("POST /login", &own, 413),
            ] {
                let answer = sent(address, &head(first, host, ""), SIZE);
                assert_eq!(answer, format!("HTTP/1.1 {status}"), "{first} at {host}");
            }
            // A client that waits is told not to send at all.
            let answer = sent(address, &head("POST /none", &own, "expect: 100-continue\r\n"), 0);
            assert_eq!(answer, "HTTP/1.1 404");
        });
        asked.await.expect("answers");
        stop.send(()).expect("the server runs");
        assert!(running.await.expect("an end"));
    }

    // invariant: as `bodies_beyond_the_limits_are_refused`
    #[tokio::test]
    async fn a_rest_that_trickles_is_given_up() {
        let limits = HttpLimits { body_time: Duration::from_millis(100), ..HttpLimits::default() };
        let (_folder, app) = App::in_new_home(limits, None);
        timeout(PATIENCE, discard(&mut Trickle::body(), &app)).await.expect("an end");
        let (request, unread) = lend(Request::new(Trickle::body()));
        drop(request);
        timeout(PATIENCE, unread.discard(&app, StatusCode::NOT_FOUND)).await.expect("an end");
    }
}
