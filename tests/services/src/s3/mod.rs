//! An S3 server in this process.
//!
//! The protocol is that of the crate `s3s`: signatures (version 4), XML, paging, checksums. The store behind it is ours,
//! in memory. Why not `s3s-fs`? It compares an `If-Match` and writes in two steps, so that of two writers both can win.

mod bucket;
mod fault;
mod operations;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// The access key whose requests are numbered and suffer the faults.
pub const ACCESS_KEY: &str = "AKIASUBJECT";
/// The access key of whoever looks on: its requests are neither numbered nor disturbed.
pub const OBSERVER_KEY: &str = "AKIAOBSERVER";
/// The secret of both.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI-a-secret-that-nobody-may-print";
/// The region that the server says it is in.
pub const REGION: &str = "eu-central-1";

/// How the server treats `If-Match` and `If-None-Match` of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// Compares and writes in one step.
    #[default]
    Honoured,
    /// Writes whatever they say, as some older stores do.
    Ignored,
    /// Refuses them with `NotImplemented`.
    NotImplemented,
}

/// What kind of store this is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Conditional writes.
    pub conditional_writes: ConditionalWrites,
    /// Whether every write is answered with `AccessDenied`.
    pub read_only: bool,
    /// The most keys or uploads in one page of a listing.
    pub page: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { conditional_writes: ConditionalWrites::Honoured, read_only: false, page: 1000 }
    }
}

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

    /// Where it listens: `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables of an environment that lead here as the client whose requests suffer faults.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables_of(ACCESS_KEY)
    }

    /// The variables of an environment that lead here as one who looks on.
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

    /// Sets what goes wrong from now on, and numbers requests from 1 again. Empties the log.
    pub fn plan(&self, plan: Plan) {
        self.layer.restart(plan);
    }

    /// The requests since the last [`Server::plan`], in order of their arrival.
    pub fn log(&self) -> Vec<Entry> {
        self.layer.log()
    }

    /// All keys of the bucket, in order.
    pub fn keys(&self) -> Vec<String> {
        self.buckets().keys()
    }

    /// The stored bytes of a key.
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.buckets().bytes(key)
    }

    /// Stores bytes past all conditions: what someone else does.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        self.buckets().write(key, bytes);
    }

    /// Removes a key: what someone else does.
    pub fn remove(&self, key: &str) {
        self.buckets().objects.remove(key);
    }

    /// The keys of multipart uploads that were neither completed nor aborted.
    pub fn unfinished(&self) -> Vec<String> {
        self.buckets().unfinished()
    }

    /// Makes everything that is stored older.
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
        // A connection that cannot have it is only slower.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
