//! The HTTP server: listens, limits and drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::routes;
use crate::service::Service;

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address to listen on.
    pub address: SocketAddr,
    /// The most bytes of a body.
    pub most_body_bytes: usize,
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
    /// The system failed.
    #[error("the server failed: {0}")]
    Failed(io::Error),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    service: Arc<Service>,
    options: ServerOptions,
}

impl Server {
    /// Listens on the address. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError::Listen`].
    pub async fn bind(service: Arc<Service>, options: ServerOptions) -> Result<Self, ServerError> {
        let address = options.address;
        let failed = |reason| ServerError::Listen { address, reason };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, service, options })
    }

    /// Returns the address; the port is the one that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` completes, and then the requests that have arrived.
    ///
    /// # Errors
    /// [`ServerError::Failed`].
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServerError> {
        let routes = routes::routes(self.service, self.options.most_body_bytes);
        axum::serve(self.listener, routes).with_graceful_shutdown(stop).await.map_err(ServerError::Failed)
    }
}
