//! Listening: connections within bounds, and their end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use stagewright_http::{AnswerTime, Answers, ConnectionLimits, ListenError, Listener, Reloaded, TlsError, TlsFiles};
use stagewright_pages::Pipelines;
use stagewright_store::{ArtifactStore, PARTS_LIFETIME, Registry, StoreError};
use stagewright_webhooks::{WebhookFollower, WebhookPolicy};
use tower::Service as _;

use crate::app::{App, HttpLimits};
use crate::operation::Peer;
use crate::origin::Origins;
use crate::router::router;
use crate::{page, unread};

/// Descriptors of a connection: its socket, and a file on its way.
const CONNECTION_DESCRIPTORS: usize = 2;

/// Whose pages may show an answer as a part of theirs.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The time between two collections of abandoned uploads.
const COLLECTION: Duration = Duration::from_secs(60 * 60);

/// The settings of a server.
pub struct ServerOptions {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Whether a server without accounts may listen on an address that other machines reach, so
    /// that everybody is admitted.
    pub is_insecure: bool,
    /// Certificate and key. `None` speaks without TLS.
    pub tls: Option<TlsFiles>,
    /// Further names of this server, such as that of a proxy in front of it. A request for another
    /// name is refused, unless that is `localhost` or an address.
    pub hosts: Vec<String>,
    /// Bounds on what a client may take from the server.
    pub limits: HttpLimits,
    /// The time for requests to end after the server was told to stop.
    pub drain: Duration,
    /// The work on models of pipelines, such as promotions; `None`: none is done.
    pub pipelines: Option<Arc<dyn Pipelines>>,
    /// Where events of webhooks may go.
    pub webhooks: WebhookPolicy,
}

impl ServerOptions {
    /// Returns the defaults for an address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            is_insecure: false,
            tls: None,
            hosts: Vec::new(),
            limits: HttpLimits::default(),
            drain: Duration::from_secs(30),
            pipelines: None,
            webhooks: WebhookPolicy::default(),
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
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(TlsError),
    /// The system failed.
    #[error("the server failed: {0}")]
    Failed(io::Error),
    /// The registry failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ListenError> for ServerError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Listen { address, reason } => Self::Listen { address, reason },
            ListenError::Tls(error) => Self::Tls(error),
        }
    }
}

/// A server that listens.
pub struct Server {
    listener: Listener,
    front: Arc<Front>,
    drain: Duration,
    /// Tells webhooks what happens, until the server ends.
    follower: WebhookFollower,
    /// The files, of which some come in parts.
    uploads: ArtifactStore,
}

/// The way of every request.
struct Front {
    app: Arc<App>,
    origins: Origins,
    router: Router,
}

/// Reads certificate and key again.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Result<Reloaded, TlsError> + Send + Sync>);

impl Reload {
    /// Reads the files again, and lets the next connections use them. If one of them cannot be
    /// used, both are left as they were.
    ///
    /// # Errors
    /// Those of [`Server::bind`] about files.
    pub fn reload(&self) -> Result<(), ServerError> {
        (self.0)().map_err(ServerError::Tls)?.apply();
        Ok(())
    }
}

impl Server {
    /// Reads certificate and key, listens on the address, and sees that the experiment `Default`
    /// exists. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError`]. An address that other machines reach needs a registry with users, or
    /// [`ServerOptions::is_insecure`].
    pub async fn bind(
        registry: Registry,
        artifacts: ArtifactStore,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let ServerOptions { address, is_insecure, tls, hosts, limits, drain, pipelines, webhooks } = options;
        let on = registry.clone();
        // On a thread of its own, as every call of the registry.
        let accounts = tokio::task::spawn_blocking(move || {
            on.ensure_default_experiment()?;
            on.accounts()
        });
        let accounts = accounts.await.map_err(|error| ServerError::Failed(io::Error::other(error)))??;
        let is_local = address.ip().is_loopback();
        if !is_local && !is_insecure && !accounts.is_required {
            return Err(ServerError::Open { address });
        }
        if tls.is_none() && accounts.is_required && !is_local {
            tracing::warn!("passwords travel in the clear: set a certificate, or let a proxy in front speak TLS");
        }
        let speaks_tls = tls.is_some();
        let of_connections = ConnectionLimits {
            header_bytes: limits.header_bytes,
            head: limits.idle_time,
            answer: AnswerTime::Piece(limits.body_time),
            idle: limits.idle_time,
            connections: limits.connections,
            descriptors_each: CONNECTION_DESCRIPTORS,
        };
        let listener = Listener::bind(address, tls, of_connections)?;
        let follower = WebhookFollower::start(registry.clone(), webhooks.clone()).map_err(ServerError::Failed)?;
        let uploads = artifacts.clone();
        let mut app = App::new(registry, artifacts, limits, pipelines).with_webhooks(webhooks);
        app.speaks_tls = speaks_tls;
        if accounts.is_required {
            app.authentication.require();
        }
        let app = Arc::new(app);
        let front = Arc::new(Front { router: router(&app), origins: Origins::new(&hosts), app });
        Ok(Self { listener, front, drain, follower, uploads })
    }

    /// Returns the address; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Returns the scheme of the server's URL.
    pub fn scheme(&self) -> &'static str {
        self.listener.scheme()
    }

    /// Returns a handle that reads certificate and key again.
    pub fn reload(&self) -> Reload {
        Reload(Arc::new(self.listener.reader()))
    }

    /// Answers requests until `stop` completes. Then no connection is accepted, and requests that
    /// have come are answered, within [`ServerOptions::drain`]. Returns whether all were.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let collecting = tokio::spawn(collect_uploads(self.uploads));
        let cut = self.listener.run(self.front, stop, self.drain).await;
        collecting.abort();
        // Waits for its threads.
        let _ = tokio::task::spawn_blocking(|| drop(self.follower)).await;
        cut == 0
    }
}

impl Answers for Front {
    type Body = Body;

    async fn answer(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        request.extensions_mut().insert(Peer(peer.ip()));
        let (request, unread) = unread::lend(request);
        let at = page::is_for_people(&request).then(|| request.uri().clone());
        let checked = self.origins.check(request.method(), request.uri().path(), request.headers());
        let mut response = match checked {
            Err(error) => {
                drop(request);
                error.into_response()
            }
            Ok(()) => match self.router.clone().call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        if let Some(at) = at {
            response = page::for_people(response, &at);
        }
        unread.discard(&self.app, response.status()).await;
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-site"));
        response
    }

    fn begin_end(&self) {
        self.app.stopping.send_replace(true);
    }
}

/// Removes uploads in parts that were abandoned, now and each hour.
async fn collect_uploads(artifacts: ArtifactStore) {
    loop {
        let on = artifacts.clone();
        let collected = tokio::task::spawn_blocking(move || on.collect_parts(PARTS_LIFETIME)).await;
        if let Ok(Err(error)) = collected {
            tracing::warn!("uploads in parts that were abandoned cannot be removed: {error}");
        }
        tokio::time::sleep(COLLECTION).await;
    }
}
