//! The HTTP server: listens, limits and drains.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::access_log::AccessLog;
use crate::authentication::{Tokens, TokensError};
use crate::body::BodyReader;
use crate::connection::{Activity, Connections, Phase, PhaseLimits, Watched};
use crate::front::Front;
use crate::routes;
use crate::secret_file::{self, SecretFileError};
use crate::service::Service;
use crate::tls::{Tls, TlsError, TlsFiles};

/// The least buffer for a head that hyper takes.
const LEAST_HEADER_BYTES: usize = 8 << 10;

/// Descriptors that are left for everything but connections.
const OTHER_DESCRIPTORS: usize = 256;

/// The least memory for the bodies of all requests, in bytes.
const LEAST_BODY_MEMORY: usize = 256 << 20;

/// How long kept connections may bring requests that were sent before the end began.
const LAST_CALL: Duration = Duration::from_millis(50);

/// The most connections that the system keeps until they are accepted. A client beyond them tries
/// again after a second. No more are accepted after the end began: clients that go on connecting
/// must not keep it from coming.
const MOST_WAITING: u32 = 4096;

/// How often the end of requests and connections is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// Bounds on what a client may take from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The most bytes of a body.
    pub body_bytes: usize,
    /// The most bytes of a head; at least 8 KiB.
    pub header_bytes: usize,
    /// The time for the head of a request, from its first byte, and for the handshake of TLS.
    pub header_time: Duration,
    /// The time for the body of a request, and for sending its answer.
    pub body_time: Duration,
    /// The time that a connection may be without a request.
    pub idle_time: Duration,
    /// The most connections at once.
    pub connections: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            header_bytes: 16 << 10,
            header_time: Duration::from_secs(5),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            connections: 10_000,
        }
    }
}

/// Where the tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// A file; see [`Tokens::parse`].
    File(PathBuf),
    /// The text of such a file, and the name of what has it, for messages.
    Text(String, &'static str),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Text(_, name) => f.debug_tuple("Text").field(name).finish(),
        }
    }
}

impl TokenSource {
    fn load(&self) -> Result<Tokens, ServerError> {
        let (text, place) = match self {
            Self::File(file) => (secret_file::read(file)?, file.display().to_string()),
            Self::Text(text, name) => (text.clone(), (*name).to_owned()),
        };
        Tokens::parse(&text).map_err(|reason| ServerError::Tokens { place, reason })
    }
}

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Bounds on what a client may take from the server.
    pub limits: HttpLimits,
    /// The time for requests to end after the server was told to stop.
    pub drain: Duration,
    /// Who may ask. `None` admits everybody.
    pub tokens: Option<TokenSource>,
    /// Whether everybody is admitted on an address that other machines reach.
    pub is_insecure: bool,
    /// Certificate and key. `None` speaks without TLS.
    pub tls: Option<TlsFiles>,
    /// Whether each request is logged on standard output.
    pub access_log: bool,
}

impl ServerOptions {
    /// Returns the defaults for an address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            limits: HttpLimits::default(),
            drain: Duration::from_secs(30),
            tokens: None,
            is_insecure: false,
            tls: None,
            access_log: false,
        }
    }
}

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// Other machines reach the address, and nobody needs a token.
    #[error("other machines reach {address}, and nobody would need a token")]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// A file of secrets is not used.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// The list of tokens is wrong.
    #[error("the tokens in `{place}` cannot be used: {reason}")]
    Tokens {
        /// Where they are.
        place: String,
        /// The reason.
        reason: TokensError,
    },
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(TlsError),
    /// The system failed.
    #[error("the server failed: {0}")]
    Failed(io::Error),
}

impl From<TlsError> for ServerError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::File(error) => Self::SecretFile(error),
            error => Self::Tls(error),
        }
    }
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    front: Front,
    tls: Option<Tls>,
    connections: Arc<Connections>,
    slots: Arc<Semaphore>,
    options: ServerOptions,
}

/// Reads certificate, key and tokens again.
#[derive(Clone)]
pub struct Reload(Arc<Shared>);

impl Reload {
    /// Reads the files again, those that there are. If one of them cannot be used, all are left as
    /// they were: a certificate and tokens that were changed together belong together.
    ///
    /// # Errors
    /// Those of [`Server::bind`] about files.
    pub fn reload(&self) -> Result<(), ServerError> {
        let Shared { front, tls, options, .. } = &*self.0;
        let config = tls.as_ref().map(Tls::read_again).transpose()?;
        let tokens = options.tokens.as_ref().map(TokenSource::load).transpose()?;
        if let (Some(tls), Some(config)) = (tls, config) {
            tls.replace(config);
        }
        if let Some(tokens) = tokens {
            front.tokens.store(Some(Arc::new(tokens)));
        }
        Ok(())
    }
}

impl Server {
    /// Reads tokens, certificate and key, and listens on the address. Connections wait until
    /// [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError`]. An address that other machines reach needs tokens, or
    /// [`ServerOptions::is_insecure`].
    pub async fn bind(service: Arc<Service>, mut options: ServerOptions) -> Result<Self, ServerError> {
        let address = options.address;
        if !address.ip().is_loopback() && options.tokens.is_none() && !options.is_insecure {
            return Err(ServerError::Open { address });
        }
        let tokens = options.tokens.as_ref().map(TokenSource::load).transpose()?.map(Arc::new);
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        if tls.is_none() && tokens.is_some() && !address.ip().is_loopback() {
            tracing::warn!("tokens travel in the clear: set a certificate, or let a proxy in front speak TLS");
        }
        let failed = |reason| ServerError::Listen { address, reason };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = &mut options.limits;
        limits.connections = descriptors_for(limits.connections).clamp(1, Semaphore::MAX_PERMITS);
        let dropped = service.metrics().unlogged().clone();
        let log = options.access_log.then(|| AccessLog::start(io::stdout(), dropped)).transpose();
        let front = Front {
            router: routes::routes(service.clone()),
            bodies: BodyReader::new(limits.body_bytes, limits.body_time, LEAST_BODY_MEMORY.max(4 * limits.body_bytes)),
            tokens: ArcSwapOption::new(tokens),
            log: log.map_err(ServerError::Failed)?,
            service,
        };
        let slots = Arc::new(Semaphore::new(limits.connections));
        let shared = Arc::new(Shared { front, tls, connections: Arc::default(), slots, options });
        Ok(Self { listener, address, shared })
    }

    /// Returns the address; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the scheme of the server's URL.
    pub fn scheme(&self) -> &'static str {
        if self.shared.tls.is_some() { "https" } else { "http" }
    }

    /// Returns a handle that reads certificate, key and tokens again.
    pub fn reload(&self) -> Reload {
        Reload(self.shared.clone())
    }

    /// Answers requests until `stop` completes. Then no connection is accepted, a request that
    /// comes over a kept one is refused, and those that have come are answered, within
    /// [`ServerOptions::drain`]. Returns how many connections were cut off at its end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> usize {
        let Self { listener, shared, .. } = self;
        let limits = &shared.options.limits;
        let phases = PhaseLimits { idle: limits.idle_time, head: limits.header_time, answer: limits.body_time };
        let connections = shared.connections.clone();
        let watch = tokio::spawn(async move {
            loop {
                sleep(phases.look()).await;
                connections.close_overdue(&phases);
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
        shared.front.service.begin_drain();
        shared.accept_waiting(listener);
        let cut = shared.drain().await;
        watch.abort();
        cut
    }
}

impl Shared {
    /// Accepts connections, for ever.
    async fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let slot = self.slot().await;
                    self.spawn(stream, slot);
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
        for stream in waiting(&listener, MOST_WAITING as usize) {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Ok(slot)) = (stream, self.slots.clone().try_acquire_owned()) {
                self.spawn(stream, slot);
            }
        }
    }

    /// Waits for room for a connection. The longest idle ones make room.
    async fn slot(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(slot) = self.slots.clone().try_acquire_owned() {
                return slot;
            }
            self.front.service.metrics().count_evicted(self.connections.evict_idle() as u64);
            if let Ok(Ok(slot)) = tokio::time::timeout(LOOK, self.slots.clone().acquire_owned()).await {
                return slot;
            }
        }
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let shared = self.clone();
        self.connections.spawn(|activity| async move {
            let _slot = slot;
            // Answers are short; they do not wait for more to send.
            let _ = stream.set_nodelay(true);
            match &shared.tls {
                None => shared.clone().serve(stream, activity).await,
                Some(tls) => {
                    activity.enter(Phase::Head);
                    match tls.acceptor().accept(stream).await {
                        Ok(stream) => {
                            activity.enter(Phase::Idle);
                            shared.clone().serve(stream, activity).await;
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
        activity: Arc<Activity>,
    ) {
        let limits = self.options.limits;
        let stream = TokioIo::new(Watched { stream, activity: activity.clone() });
        let service = service_fn(move |request| {
            activity.enter(Phase::Request);
            let (shared, activity) = (self.clone(), activity.clone());
            async move {
                let response = shared.front.answer(request).await;
                activity.enter(Phase::Answer);
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
    async fn drain(&self) -> usize {
        let end = Instant::now() + self.options.drain;
        sleep(LAST_CALL.min(self.options.drain)).await;
        while self.front.service.metrics().in_flight() > 0 && Instant::now() < end {
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

/// Listens on an address, and lets [`MOST_WAITING`] connections wait there.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that was just stopped may be started again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(MOST_WAITING)
}

/// Accepts connections that wait at a listener which does not block, at most this many.
fn waiting(listener: &std::net::TcpListener, most: usize) -> impl Iterator<Item = std::net::TcpStream> {
    std::iter::from_fn(|| listener.accept().ok()).map(|(stream, _)| stream).take(most)
}

/// Returns how many connections the process has descriptors for, at most as many as are asked for.
/// Raises the process's limit as far as it may be.
fn descriptors_for(connections: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = connections.saturating_add(OTHER_DESCRIPTORS) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        if setrlimit(Resource::Nofile, rustix::process::Rlimit { current, ..limit }).is_ok() {
            limit.current = current;
        }
    }
    let allowed = limit.current.map_or(u64::MAX, |current| current.saturating_sub(OTHER_DESCRIPTORS as u64).max(1));
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    if allowed < connections {
        tracing::warn!("the process may have {allowed} connections and not {connections}: raise `ulimit -n`");
    }
    allowed.min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let accepted: Vec<_> = waiting(&listener, 4).collect();
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
