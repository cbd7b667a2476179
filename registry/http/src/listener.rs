//! Listens, accepts within bounds, and ends.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::connection::{Activity, ConnectionLimits, Connections, Phase, Watched};
use crate::descriptors::descriptors_for;
use crate::ending::Ending;
use crate::tls::{Tls, TlsError, TlsFiles};

/// The least buffer for a head that hyper takes.
const LEAST_HEADER_BYTES: usize = 8 << 10;

/// How long kept connections may bring requests that were sent before the end began.
const LAST_CALL: Duration = Duration::from_millis(50);

/// The most connections that the system keeps until they are accepted. A client beyond them tries
/// again after a second. No more are accepted after the end began: clients that go on connecting
/// must not keep it from coming.
const MOST_WAITING: u32 = 4096;

/// How often the end of requests and connections is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// Who answers the requests of all connections.
pub trait Answers: Send + Sync + 'static {
    /// The bodies of answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers a request that came from an address.
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr)
    -> impl Future<Output = Response<Self::Body>> + Send;

    /// The server was told to end: requests that come from now on may be refused.
    fn begin_end(&self) {}

    /// So many idle connections made room for new ones.
    fn evicted(&self, connections: usize) {
        let _ = connections;
    }
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    limits: ConnectionLimits,
}

/// A certificate and a key that were read again and are not used yet.
pub struct Reloaded(Option<(Arc<Tls>, Arc<rustls::ServerConfig>)>);

impl Reloaded {
    /// Lets the next connections use them.
    pub fn apply(self) {
        if let Some((tls, config)) = self.0 {
            tls.replace(config);
        }
    }
}

impl Listener {
    /// Reads certificate and key, if there are any, and listens on the address. Connections wait
    /// until [`Listener::run`].
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn bind(address: SocketAddr, tls: Option<TlsFiles>, mut limits: ConnectionLimits) -> Result<Self, ListenError> {
        let tls = tls.map(Tls::load).transpose()?.map(Arc::new);
        let failed = |reason| ListenError::Listen { address, reason };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let connections = descriptors_for(limits.connections, limits.descriptors_each);
        limits.connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self { listener, address, tls, limits })
    }

    /// Returns the address; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the scheme of the server's URL.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Returns what reads certificate and key again.
    pub fn reader(&self) -> impl Fn() -> Result<Reloaded, TlsError> + Clone + Send + Sync + use<> {
        let tls = self.tls.clone();
        move || {
            let Some(tls) = &tls else { return Ok(Reloaded(None)) };
            Ok(Reloaded(Some((tls.clone(), tls.read_again()?))))
        }
    }

    /// Has requests answered until `stop` completes. Then no connection is accepted, and requests
    /// that have come are answered, for as long as `drain`. Returns how many connections were cut
    /// off at its end.
    pub async fn run<A: Answers>(self, answers: Arc<A>, stop: impl Future<Output = ()>, drain: Duration) -> usize {
        let Self { listener, tls, limits, .. } = self;
        let slots = Arc::new(Semaphore::new(limits.connections));
        let shared = Arc::new(Shared {
            answers,
            tls,
            connections: Arc::default(),
            slots,
            limits,
            in_flight: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
        });
        let connections = shared.connections.clone();
        let watch = tokio::spawn(async move {
            loop {
                sleep(limits.look()).await;
                connections.close_overdue(&limits);
            }
        });
        {
            let (mut stop, mut accept) = (pin!(stop), pin!(shared.accept_all(&listener)));
            poll_fn(|context| match stop.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => accept.as_mut().poll(context),
            })
            .await;
        }
        shared.is_ending.store(true, Ordering::Relaxed);
        shared.answers.begin_end();
        shared.accept_waiting(listener);
        let cut = shared.drain(drain).await;
        watch.abort();
        cut
    }
}

struct Shared<A> {
    answers: Arc<A>,
    tls: Option<Arc<Tls>>,
    connections: Arc<Connections>,
    slots: Arc<Semaphore>,
    limits: ConnectionLimits,
    /// Requests whose answer has not begun.
    in_flight: AtomicUsize,
    is_ending: AtomicBool,
}

impl<A: Answers> Shared<A> {
    /// Accepts connections, for ever.
    async fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let slot = self.slot().await;
                    self.spawn(stream, peer, slot);
                }
                Err(error) => {
                    // Out of descriptors or memory, or the client has gone.
                    tracing::warn!("a connection cannot be accepted: {error}");
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Accepts the connections that were made before the end began, so that their requests get an
    /// answer, and then closes the listener.
    fn accept_waiting(self: &Arc<Self>, listener: TcpListener) {
        // The system is asked itself: the runtime may not know of the latest ones yet.
        let Ok(listener) = listener.into_std() else { return };
        for (stream, peer) in waiting(&listener, MOST_WAITING as usize) {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Ok(slot)) = (stream, self.slots.clone().try_acquire_owned()) {
                self.spawn(stream, peer, slot);
            }
        }
    }

    /// Waits for room for a connection. The longest idle ones make room.
    async fn slot(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(slot) = self.slots.clone().try_acquire_owned() {
                return slot;
            }
            self.answers.evicted(self.connections.evict_idle());
            if let Ok(Ok(slot)) = tokio::time::timeout(LOOK, self.slots.clone().acquire_owned()).await {
                return slot;
            }
        }
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let shared = self.clone();
        self.connections.spawn(|activity| async move {
            let _slot = slot;
            // Answers are short; they do not wait for more to send.
            let _ = stream.set_nodelay(true);
            match &shared.tls {
                None => shared.clone().serve(stream, peer, activity).await,
                Some(tls) => {
                    activity.enter(Phase::Head);
                    match tls.acceptor().accept(stream).await {
                        Ok(stream) => {
                            activity.enter(Phase::Idle);
                            shared.clone().serve(stream, peer, activity).await;
                        }
                        Err(error) => tracing::debug!("a handshake failed: {error}"),
                    }
                }
            }
        });
    }

    /// Answers the requests of a connection.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: Arc<Self>,
        stream: S,
        peer: SocketAddr,
        activity: Arc<Activity>,
    ) {
        let limits = self.limits;
        let renews = limits.answer.is_renewed();
        let stream = TokioIo::new(Watched { stream, activity: activity.clone(), renews });
        let service = service_fn(move |request| {
            activity.enter(Phase::Request);
            let (shared, activity) = (self.clone(), activity.clone());
            async move {
                let answered = {
                    let _in_flight = InFlight::begin(&shared.in_flight);
                    shared.answers.answer(request, peer).await
                };
                let mut response = answered.map(|body| Ending::new(body, activity));
                if shared.is_ending.load(Ordering::Relaxed) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        // The time for a head is limited by phases.
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(limits.header_bytes.max(LEAST_HEADER_BYTES))
            .serve_connection(stream, service);
        if let Err(error) = connection.await {
            tracing::debug!("a connection failed: {error}");
        }
    }

    /// Waits until all requests are answered, closes connections as they become idle, and closes
    /// the others at the end of the time. Returns how many those were.
    async fn drain(&self, within: Duration) -> usize {
        let end = Instant::now() + within;
        sleep(LAST_CALL.min(within)).await;
        while self.in_flight.load(Ordering::Relaxed) > 0 && Instant::now() < end {
            sleep(LOOK).await;
        }
        loop {
            self.connections.close_idle();
            sleep(LOOK / 2).await;
            let open = self.connections.len();
            if open == 0 {
                return 0;
            }
            if Instant::now() >= end {
                self.connections.close_all();
                return open;
            }
        }
    }
}

/// A request without an answer yet.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn begin(number: &'a AtomicUsize) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Self(number)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Listens on an address, and lets [`MOST_WAITING`] connections wait there.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that was just stopped may be started again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(MOST_WAITING)
}

/// Accepts connections that wait at a listener which does not block, at most this many.
fn waiting(listener: &std::net::TcpListener, most: usize) -> impl Iterator<Item = (std::net::TcpStream, SocketAddr)> {
    std::iter::from_fn(|| listener.accept().ok()).take(most)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Context;

    use hyper::body::Frame;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::connection::AnswerTime;

    /// Answers without an end, and counts those that were begun and not given up.
    #[derive(Clone, Default)]
    struct Unending(Arc<()>);

    impl Answers for Unending {
        type Body = Self;

        async fn answer(&self, _: Request<Incoming>, _: SocketAddr) -> Response<Self> {
            Response::new(self.clone())
        }
    }

    impl Body for Unending {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))))
        }
    }

    // invariant: A client that does not read its answer loses its connection, however much of the
    // answer is still to be made.
    #[tokio::test]
    async fn an_unfinished_answer_that_nobody_reads_is_given_up() {
        let time = Duration::from_millis(200);
        for answer in [AnswerTime::Whole(time), AnswerTime::Piece(time)] {
            let limits = ConnectionLimits {
                header_bytes: LEAST_HEADER_BYTES,
                head: Duration::from_secs(600),
                answer,
                idle: Duration::from_secs(600),
                connections: 10,
                descriptors_each: 1,
            };
            let listener = Listener::bind("127.0.0.1:0".parse().expect("an address"), None, limits);
            let listener = listener.expect("a listener");
            let address = listener.address();
            let answers = Unending::default();
            let made = answers.0.clone();
            let server = tokio::spawn(listener.run(Arc::new(answers), std::future::pending(), time));
            let mut client = TcpStream::connect(address).await.expect("a connection");
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("a request");
            let becomes = async |is_made: bool| {
                let wait = async {
                    // This test and the server hold one each.
                    while (Arc::strong_count(&made) > 2) != is_made {
                        sleep(LOOK).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("{answer:?}"));
            };
            becomes(true).await;
            becomes(false).await;
            drop(client);
            server.abort();
        }
    }

    // Clients that come at once do not wait until the server has accepted those before them.
    #[tokio::test]
    async fn a_thousand_connections_wait_to_be_accepted() {
        let setting = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("the system's setting");
        let most: usize = setting.trim().parse().expect("a number");
        let number = 1000.min(most.saturating_sub(10));
        let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(20)).map(drop);
        (0..number).try_for_each(connect).expect("each connects");
    }

    #[test]
    fn no_more_connections_are_accepted_at_the_end_than_a_number() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let clients: Vec<_> = (0..6).map(|_| std::net::TcpStream::connect(address).expect("a connection")).collect();
        // As clients that connect faster than they are accepted.
        let accepted: Vec<_> = waiting(&listener, 4).map(|(stream, _)| stream).collect();
        let addresses = |streams: &[std::net::TcpStream], of: fn(&std::net::TcpStream) -> io::Result<SocketAddr>| {
            streams.iter().map(|stream| of(stream).expect("an address")).collect::<Vec<_>>()
        };
        assert_eq!(
            addresses(&accepted, std::net::TcpStream::peer_addr),
            addresses(&clients[..4], std::net::TcpStream::local_addr)
        );
        assert_eq!(waiting(&listener, 4).count(), 2, "and it does not wait for more");
    }
}
