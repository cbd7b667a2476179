//! A bucket, and the attempts of a request to it.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use bytes::Bytes;
use tokio::runtime::{Handle, Runtime};

use super::client;
use super::fault::{Fault, Kind};

use crate::error::{PromotionError, io_error};
use crate::settings::{Settings, TransferLimits};
use crate::store::check_key;

/// The least bytes that an attempt must carry in a second: a slow line of 2 Mbit/s.
const BYTES_PER_SECOND: u64 = 256 << 10;

/// A bucket and a prefix in it.
pub struct S3 {
    pub(super) uri: String,
    pub(super) bucket: String,
    /// Empty, or with a `/` at its end.
    pub(super) prefix: String,
    pub(super) region: String,
    /// For messages: an address, or AWS and a region.
    pub(super) endpoint: String,
    pub(super) client: Client,
    pub(super) limits: TransferLimits,
    pub(super) handle: Handle,
    /// Some until this is dropped.
    pub(super) runtime: Option<Runtime>,
}

/// How often a request was attempted.
pub(super) type Attempts = u32;

impl S3 {
    /// Creates a client for `bucket`. Makes no request.
    ///
    /// # Errors
    /// [`PromotionError::NoCredentials`], [`PromotionError::BadUri`].
    pub fn new(bucket: &str, prefix: &str, settings: &Settings) -> Result<Self, PromotionError> {
        let (prefix, query) = (prefix.trim_matches('/'), settings.query());
        let separator = if prefix.is_empty() { "" } else { "/" };
        let uri = format!("s3://{bucket}{separator}{prefix}{query}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("stagewright-s3")
            .enable_all()
            .build()
            .map_err(|source| PromotionError::Io { action: "start a thread for", path: (&uri).into(), source })?;
        let client::Connection { client, region, endpoint } = runtime.block_on(client::connect(&uri, settings))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (bucket, limits, handle) = (bucket.to_owned(), settings.limits, runtime.handle().clone());
        Ok(Self { uri, bucket, prefix, region, endpoint, client, limits, handle, runtime: Some(runtime) })
    }

    pub(super) fn full(&self, key: &str) -> Result<String, PromotionError> {
        Ok(format!("{}{}", self.prefix, check_key(key)?))
    }

    /// Returns the time limit of an attempt that carries this many bytes.
    fn attempt_limit(&self, bytes: u64) -> Duration {
        self.limits.attempt + Duration::from_secs(bytes / BYTES_PER_SECOND)
    }

    /// Runs one attempt within its time limit.
    pub(super) async fn once<T>(
        &self,
        bytes: u64,
        attempt: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let limit = self.attempt_limit(bytes);
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(Fault::timed_out(limit)))
    }

    /// Repeats a request until it succeeds, meets a permanent fault, or reaches the limits.
    pub(super) fn run<T>(
        &self,
        bytes: u64,
        attempt: impl AsyncFn() -> Result<T, Fault>,
    ) -> Result<T, (Fault, Attempts)> {
        let begun = Instant::now();
        self.handle.block_on(async {
            let mut attempts = 0;
            loop {
                attempts += 1;
                match self.once(bytes, attempt()).await {
                    Ok(value) => return Ok(value),
                    Err(fault) if !self.goes_on(&fault, attempts, begun) => return Err((fault, attempts)),
                    Err(_) => self.pause(attempts).await,
                }
            }
        })
    }

    pub(super) fn goes_on(&self, fault: &Fault, attempts: Attempts, begun: Instant) -> bool {
        fault.passes() && attempts < self.limits.attempts && begun.elapsed() < self.limits.overall
    }

    /// Pauses. Each pause is twice the previous one, with jitter, so that clients do not retry all
    /// at once.
    pub(super) async fn pause(&self, attempts: Attempts) {
        let pause = self.limits.pause * 2_u32.pow(attempts.saturating_sub(1).min(6));
        let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        tokio::time::sleep(pause.mul_f64(0.75 + f64::from(nanoseconds % 1000) / 2000.0)).await;
    }

    pub(super) fn error(
        &self,
        action: &'static str,
        key: &str,
    ) -> impl FnOnce((Fault, Attempts)) -> PromotionError + '_ {
        let key = key.to_owned();
        move |(fault, attempts)| self.explain(action, key, fault, attempts)
    }

    pub(super) fn explain(
        &self,
        action: &'static str,
        key: String,
        fault: Fault,
        attempts: Attempts,
    ) -> PromotionError {
        let (uri, problem) = (self.uri.clone(), fault.problem);
        match fault.kind {
            Kind::Passing => PromotionError::Unanswered { uri, action, key, problem, attempts },
            Kind::NotConnected => PromotionError::Unreachable { endpoint: self.endpoint.clone(), problem },
            Kind::NoBucket => PromotionError::NoBucket { bucket: self.bucket.clone(), endpoint: self.endpoint.clone() },
            Kind::Denied => PromotionError::AccessDenied { uri, action, key, code: problem },
            Kind::Credentials => PromotionError::BadCredentials { uri, code: problem },
            Kind::Region(actual) => {
                PromotionError::WrongRegion { bucket: self.bucket.clone(), region: self.region.clone(), actual }
            }
            Kind::NotImplemented => {
                PromotionError::NoConditionalWrites { uri, problem: "it answers that they are not implemented" }
            }
            Kind::Missing | Kind::Condition | Kind::Other => PromotionError::Refused { uri, action, key, problem },
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A hanging name lookup must not delay the end of the program.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uri, endpoint, region, .. } = self;
        f.debug_struct("S3")
            .field("uri", uri)
            .field("endpoint", endpoint)
            .field("region", region)
            .finish_non_exhaustive()
    }
}

/// Returns `None` if the key does not exist.
pub(super) fn present<T>(result: Result<T, (Fault, Attempts)>) -> Result<Option<T>, (Fault, Attempts)> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err((Fault { kind: Kind::Missing, .. }, _)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Returns the time that a store reports, or now if it reports none, so that nothing of it is ever
/// old enough to be garbage.
pub(super) fn time(time: Option<DateTime>) -> SystemTime {
    time.and_then(|time| SystemTime::try_from(time).ok()).unwrap_or_else(SystemTime::now)
}

/// Reads a range of a file into memory, so that it can be sent more than once.
pub(super) fn read_part(path: &Path, range: Range<u64>) -> Result<Bytes, PromotionError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start).map_err(io_error("read", path))?;
    Ok(bytes.into())
}
