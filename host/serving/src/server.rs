//! The HTTP server: listens, limits and drains.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use stagewright_http::{
    AnswerTime, Answers, ConnectionLimits, ListenError, Listener, Reloaded, SecretFileError, TlsError, TlsFiles,
    read_secret,
};

use crate::access_log::AccessLog;
use crate::authentication::{Tokens, TokensError};
use crate::body::BodyReader;
use crate::front::Front;
use crate::routes;
use crate::service::Service;

/// The least memory for the bodies of all requests, in bytes.
const LEAST_BODY_MEMORY: usize = 256 << 20;

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
            Self::File(file) => (read_secret(file)?, file.display().to_string()),
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

impl From<ListenError> for ServerError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Listen { address, reason } => Self::Listen { address, reason },
            ListenError::Tls(error) => error.into(),
        }
    }
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
    listener: Listener,
    front: Arc<Front>,
    options: Arc<ServerOptions>,
}

/// Reads certificate, key and tokens again.
#[derive(Clone)]
pub struct Reload {
    tls: Arc<dyn Fn() -> Result<Reloaded, TlsError> + Send + Sync>,
    front: Arc<Front>,
    options: Arc<ServerOptions>,
}

impl Reload {
    /// Reads the files again, those that there are. If one of them cannot be used, all are left as
    /// they were: a certificate and tokens that were changed together belong together.
    ///
    /// # Errors
    /// Those of [`Server::bind`] about files.
    pub fn reload(&self) -> Result<(), ServerError> {
        let tls = (self.tls)()?;
        let tokens = self.options.tokens.as_ref().map(TokenSource::load).transpose()?;
        tls.apply();
        if let Some(tokens) = tokens {
            self.front.tokens.store(Some(Arc::new(tokens)));
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
    pub async fn bind(service: Arc<Service>, options: ServerOptions) -> Result<Self, ServerError> {
        let address = options.address;
        if !address.ip().is_loopback() && options.tokens.is_none() && !options.is_insecure {
            return Err(ServerError::Open { address });
        }
        let tokens = options.tokens.as_ref().map(TokenSource::load).transpose()?.map(Arc::new);
        if options.tls.is_none() && tokens.is_some() && !address.ip().is_loopback() {
            tracing::warn!("tokens travel in the clear: set a certificate, or let a proxy in front speak TLS");
        }
        let limits = &options.limits;
        let of_connections = ConnectionLimits {
            header_bytes: limits.header_bytes,
            head: limits.header_time,
            answer: AnswerTime::Whole(limits.body_time),
            idle: limits.idle_time,
            connections: limits.connections,
            descriptors_each: 1,
        };
        let listener = Listener::bind(address, options.tls.clone(), of_connections)?;
        let dropped = service.metrics().unlogged().clone();
        let log = options.access_log.then(|| AccessLog::start(io::stdout(), dropped)).transpose();
        let front = Arc::new(Front {
            router: routes::routes(service.clone()),
            bodies: BodyReader::new(limits.body_bytes, limits.body_time, LEAST_BODY_MEMORY.max(4 * limits.body_bytes)),
            tokens: ArcSwapOption::new(tokens),
            log: log.map_err(ServerError::Failed)?,
            service,
        });
        Ok(Self { listener, front, options: Arc::new(options) })
    }

    /// Returns the address; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Returns the scheme of the server's URL.
    pub fn scheme(&self) -> &'static str {
        self.listener.scheme()
    }

    /// Returns a handle that reads certificate, key and tokens again.
    pub fn reload(&self) -> Reload {
        Reload { tls: Arc::new(self.listener.reader()), front: self.front.clone(), options: self.options.clone() }
    }

    /// Answers requests until `stop` completes. Then no connection is accepted, a request that
    /// comes over a kept one is refused, and those that have come are answered, within
    /// [`ServerOptions::drain`]. Returns how many connections were cut off at its end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> usize {
        self.listener.run(self.front, stop, self.options.drain).await
    }
}

impl Answers for Front {
    type Body = Body;

    fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> impl Future<Output = Response<Body>> + Send {
        Front::answer(self, request)
    }

    fn begin_end(&self) {
        self.service.begin_drain();
    }

    fn evicted(&self, connections: usize) {
        self.service.metrics().count_evicted(connections as u64);
    }
}
