//! Listening: connections within bounds, and their end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use stagewright_store::{ArtifactStore, Registry, StoreError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service as _;

use crate::app::{App, HttpLimits, Promote};
use crate::origin::Origins;
use crate::router::router;

/// The least buffer for a head that hyper takes.
const LEAST_HEADER_BYTES: usize = 8 << 10;

/// Descriptors that are left for everything but connections and their files: the registry.
const OTHER_DESCRIPTORS: usize = 256;

/// Descriptors of a connection: its socket, and a file on its way.
const CONNECTION_DESCRIPTORS: usize = 2;

/// Whose pages may show an answer as a part of theirs.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// How long nothing is accepted after the system refused.
const PAUSE: Duration = Duration::from_millis(20);

/// The settings of a server.
pub struct ServerOptions {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Whether everybody is admitted on an address that other machines reach.
    pub is_insecure: bool,
    /// Further names of this server, such as that of a proxy in front of it. A request for another
    /// name is refused, unless that is `localhost` or an address.
    pub hosts: Vec<String>,
    /// Bounds on what a client may take from the server.
    pub limits: HttpLimits,
    /// The time for requests to end after the server was told to stop.
    pub drain: Duration,
    /// Promotes versions of pipelines' models. `None` promotes nothing.
    pub promote: Option<Box<Promote>>,
}

impl ServerOptions {
    /// Returns the defaults for an address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            is_insecure: false,
            hosts: Vec::new(),
            limits: HttpLimits::default(),
            drain: Duration::from_secs(30),
            promote: None,
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
    /// Other machines reach the address, and everybody could change everything.
    #[error("other machines reach {address}, and the server asks nobody who they are")]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The system failed.
    #[error("the server failed: {0}")]
    Failed(io::Error),
    /// The registry failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    front: Arc<Front>,
    slots: Arc<Semaphore>,
    limits: HttpLimits,
    drain: Duration,
}

/// The way of every request.
struct Front {
    origins: Origins,
    router: Router,
}

impl Server {
    /// Listens on the address, and sees that the experiment `Default` exists. Connections wait
    /// until [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError`]. An address that other machines reach needs [`ServerOptions::is_insecure`].
    pub async fn bind(
        registry: Registry,
        artifacts: ArtifactStore,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let ServerOptions { address, is_insecure, hosts, limits, drain, promote } = options;
        if !address.ip().is_loopback() && !is_insecure {
            return Err(ServerError::Open { address });
        }
        let failed = |reason| ServerError::Listen { address, reason };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let on = registry.clone();
        // On a thread of its own, as every call of the registry.
        tokio::task::spawn_blocking(move || on.ensure_default_experiment())
            .await
            .map_err(|error| ServerError::Failed(io::Error::other(error)))??;
        let app = Arc::new(App::new(registry, artifacts, limits, promote));
        let front = Arc::new(Front { origins: Origins::new(&hosts), router: router(app) });
        let connections = descriptors_for(limits.connections);
        let slots = Arc::new(Semaphore::new(connections.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self { listener, address, front, slots, limits, drain })
    }

    /// Returns the address; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` completes. Then no connection is accepted, and requests that
    /// have come are answered, within [`ServerOptions::drain`]. Returns whether all were.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let graceful = GracefulShutdown::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.accept() => match accepted {
                    Ok((stream, slot)) => self.spawn(stream, slot, &graceful),
                    Err(error) => {
                        // Out of descriptors or memory, or the client has gone.
                        tracing::warn!("a connection cannot be accepted: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        tokio::time::timeout(self.drain, graceful.shutdown()).await.is_ok()
    }

    /// Waits for room for a connection, and for the connection.
    async fn accept(&self) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, slot))
    }

    fn spawn(&self, stream: TcpStream, slot: OwnedSemaphorePermit, graceful: &GracefulShutdown) {
        // Answers are short; they do not wait for more to send.
        let _ = stream.set_nodelay(true);
        let front = self.front.clone();
        let service = service_fn(move |request| {
            let front = front.clone();
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle_time)
            .max_buf_size(self.limits.header_bytes.max(LEAST_HEADER_BYTES))
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!("a connection failed: {error}");
            }
        });
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let checked = self.origins.check(request.method(), request.uri().path(), request.headers());
        let mut response = match checked {
            Err(error) => error.into_response(),
            Ok(()) => match self.router.clone().call(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-site"));
        response
    }
}

/// Returns how many connections the process has descriptors for, at most as many as are asked for.
/// Raises the process's limit as far as it may be.
fn descriptors_for(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = connections.saturating_mul(CONNECTION_DESCRIPTORS).saturating_add(OTHER_DESCRIPTORS) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        if setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_ok() {
            limit.current = current;
        }
    }
    let left = |current: u64| current.saturating_sub(OTHER_DESCRIPTORS as u64) / CONNECTION_DESCRIPTORS as u64;
    let allowed = limit.current.map_or(u64::MAX, |current| left(current).max(1));
    usize::try_from(allowed).unwrap_or(usize::MAX).min(connections)
}
