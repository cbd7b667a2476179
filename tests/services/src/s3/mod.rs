//! An S3 server in this process.
//!
//! The crate `s3s` implements the protocol: signatures (version 4), XML, paging, checksums. The
//! storage behind it is in memory. Why not `s3s-fs`? It compares an `If-Match` and writes in two
//! steps, so that two writers can both succeed.

mod bucket;
mod fault;
mod operations;
mod options;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use bucket::Buckets;
use fault::Layer;
pub use fault::{Entry, Fault, Plan};
use options::lock;
pub use options::{ACCESS_KEY, ConditionalWrites, OBSERVER_KEY, Options, REGION, SECRET_KEY};

/// A running server with one empty bucket. Dropping it closes every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    buckets: Arc<Mutex<Buckets>>,
    layer: Arc<Layer>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a server on a free port of this machine.
    ///
    /// # Panics
    /// If the machine has no port or thread left.
    pub fn start(bucket: &str, options: Options) -> Self {
        let buckets = Arc::new(Mutex::new(Buckets::new(bucket)));
        let mut builder = S3ServiceBuilder::new(operations::Operations { buckets: Arc::clone(&buckets), options });
        builder.set_auth(Keys);
        let service = builder.build();
        let layer = Arc::new(Layer::new(options));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("s3-server")
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        runtime.spawn(accept(listener, service, Arc::clone(&layer)));
        Self { address, buckets, layer, runtime: Some(runtime) }
    }

    /// Returns where it listens: `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns environment variables for the client whose requests meet faults.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables_of(ACCESS_KEY)
    }

    /// Returns environment variables for an observer.
    pub fn observer_variables(&self) -> Vec<(String, String)> {
        self.variables_of(OBSERVER_KEY)
    }

    fn variables_of(&self, access_key: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", access_key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Sets the faults from now on, numbers requests from 1 again, and empties the log.
    pub fn plan(&self, plan: Plan) {
        self.layer.restart(plan);
    }

    /// Returns the requests since the last [`Server::plan`], in order of their arrival.
    pub fn log(&self) -> Vec<Entry> {
        self.layer.log()
    }

    /// Returns all keys of the bucket, in order.
    pub fn keys(&self) -> Vec<String> {
        self.buckets().keys()
    }

    /// Returns the stored bytes of a key.
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.buckets().bytes(key)
    }

    /// Stores bytes past all conditions, as another client's doing.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        self.buckets().write(key, bytes);
    }

    /// Removes a key, as another client's doing.
    pub fn remove(&self, key: &str) {
        self.buckets().objects.remove(key);
    }

    /// Returns the keys of multipart uploads that were neither completed nor aborted.
    pub fn unfinished(&self) -> Vec<String> {
        self.buckets().unfinished()
    }

    /// Makes everything in the store older.
    pub fn age(&self, by: Duration) {
        self.buckets().age(by);
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        lock(&self.buckets)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, service: S3Service, layer: Arc<Layer>) -> Infallible {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it, a connection is only slower.
        let _ = stream.set_nodelay(true);
        let (service, layer) = (service.clone(), Arc::clone(&layer));
        let answer = hyper::service::service_fn(move |request| {
            let (service, layer) = (service.clone(), Arc::clone(&layer));
            async move { layer.answer(&service, request).await }
        });
        tokio::spawn(async move {
            // It ends in an error whenever a fault cuts it.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// The two keys of the server.
struct Keys;

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == ACCESS_KEY || access_key == OBSERVER_KEY {
            return Ok(SecretKey::from(SECRET_KEY));
        }
        Err(s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records."))
    }
}
