//! A bucket as a store, by the AWS SDK.
//!
//! Every request runs on a small runtime of this store's own, and its caller waits: the rest of Stagewright is
//! synchronous. Attempts are counted here and not by the SDK, for two reasons: an attempt of ours includes the body of a
//! reply, and the SDK would repeat a conditional write whose reply was lost, and report as refused what has happened.

mod client;
mod fault;
mod multipart;

use std::fmt;
use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::Bytes;
use tokio::runtime::{Handle, Runtime};

use crate::error::PromotionError;
use crate::settings::{Settings, TransferLimits};
use crate::store::{Condition, Etag, MAX_DOCUMENT, ObjectStore, Put, Sink, StoredObject, Unfinished, check_key};
use fault::{Fault, Kind};

/// What a second of an attempt must carry at least: a slow line of 2 Mbit/s.
const BYTES_PER_SECOND: u64 = 256 << 10;

/// A bucket and a prefix in it.
pub struct S3 {
    uri: String,
    bucket: String,
    /// Empty, or with a `/` at its end.
    prefix: String,
    region: String,
    /// For people: an address, or AWS and a region.
    endpoint: String,
    client: Client,
    limits: TransferLimits,
    handle: Handle,
    /// Some until this is dropped.
    runtime: Option<Runtime>,
}

/// A passing fault, and how often it was met.
type Attempts = u32;

impl S3 {
    /// Prepares to speak to `bucket`. No request is made.
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

    fn full(&self, key: &str) -> Result<String, PromotionError> {
        Ok(format!("{}{}", self.prefix, check_key(key)?))
    }

    /// How long an attempt may take that carries this many bytes.
    fn attempt_limit(&self, bytes: u64) -> Duration {
        self.limits.attempt + Duration::from_secs(bytes / BYTES_PER_SECOND)
    }

    /// One attempt, within its limit.
    async fn once<T>(&self, bytes: u64, attempt: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let limit = self.attempt_limit(bytes);
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(Fault::timed_out(limit)))
    }

    /// Attempts until one succeeds or meets a fault that does not pass, or the limits are reached.
    fn run<T>(&self, bytes: u64, attempt: impl AsyncFn() -> Result<T, Fault>) -> Result<T, (Fault, Attempts)> {
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

    fn goes_on(&self, fault: &Fault, attempts: Attempts, begun: Instant) -> bool {
        fault.passes() && attempts < self.limits.attempts && begun.elapsed() < self.limits.overall
    }

    /// Each pause is twice the one before, and a little more or less, so that clients do not come back all at once.
    async fn pause(&self, attempts: Attempts) {
        let pause = self.limits.pause * 2_u32.pow(attempts.saturating_sub(1).min(6));
        let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        tokio::time::sleep(pause.mul_f64(0.75 + f64::from(nanoseconds % 1000) / 2000.0)).await;
    }

    fn error(&self, action: &'static str, key: &str) -> impl FnOnce((Fault, Attempts)) -> PromotionError + '_ {
        let key = key.to_owned();
        move |(fault, attempts)| self.explain(action, key, fault, attempts)
    }

    fn explain(&self, action: &'static str, key: String, fault: Fault, attempts: Attempts) -> PromotionError {
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

    /// One attempt at a conditional write.
    async fn put_once(&self, key: &str, bytes: &Bytes, condition: &Condition) -> Result<Etag, Fault> {
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes.clone()));
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(etag) => request.if_match(&etag.0),
        };
        let reply = self.once(bytes.len() as u64, async { Ok(request.send().await?) }).await?;
        Ok(Etag(reply.e_tag.unwrap_or_default()))
    }
}

impl ObjectStore for S3 {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn put_file(&self, key: &str, file: &Path, size: u64, progress: &dyn Fn(u64)) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        if size > self.limits.multipart_from {
            return self.put_parts(key, &full, file, size, progress);
        }
        let bytes = multipart::read_part(file, 0..size)?;
        self.run(size, async || {
            let request = self.client.put_object().bucket(&self.bucket).key(&full);
            // The bytes are compared when they are there; a signature of them would be a third SHA-256.
            let request = request.body(ByteStream::from(bytes.clone())).customize().disable_payload_signing();
            Ok(request.send().await?)
        })
        .map_err(self.error("write", key))?;
        progress(size);
        Ok(())
    }

    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Put, PromotionError> {
        let full = self.full(key)?;
        let bytes = Bytes::copy_from_slice(bytes);
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let fault = match self.handle.block_on(self.put_once(&full, &bytes, condition)) {
                Ok(etag) => return Ok(Put::Written(etag)),
                Err(fault) => fault,
            };
            let refused = matches!(fault.kind, Kind::Condition | Kind::Missing);
            if !refused && !fault.passes() {
                return Err(self.explain("write", key.to_owned(), fault, attempts));
            }
            // It may have happened: this attempt's reply may be lost, and a refusal may be due to the attempt before.
            let there = self.get(key)?;
            let unchanged = match (condition, there) {
                (_, Some((content, etag))) if content == bytes => return Ok(Put::Written(etag)),
                (Condition::Absent, there) => there.is_none(),
                (Condition::Unchanged(etag), there) => there.is_some_and(|(_, it)| it == *etag),
            };
            if refused || !unchanged {
                return Ok(Put::Refused);
            }
            if !self.goes_on(&fault, attempts, begun) {
                return Err(self.explain("write", key.to_owned(), fault, attempts));
            }
            self.handle.block_on(self.pause(attempts));
        }
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, PromotionError> {
        let full = self.full(key)?;
        let got = self.run(0, async || {
            let reply = self.client.get_object().bucket(&self.bucket).key(&full).send().await?;
            let etag = Etag(reply.e_tag.unwrap_or_default());
            let (mut body, mut bytes) = (reply.body, Vec::new());
            while let Some(piece) = body.try_next().await.map_err(Fault::cut)? {
                if (bytes.len() + piece.len()) as u64 > MAX_DOCUMENT {
                    return Err(Fault::too_long(MAX_DOCUMENT));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok((bytes, etag))
        });
        present(got).map_err(self.error("read", key))
    }

    fn read(&self, key: &str, range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        let mut reading = Reading { next: range.start, end: range.end, etag: None };
        let (begun, mut attempts) = (Instant::now(), 0);
        while reading.next < reading.end {
            attempts += 1;
            let before = reading.next;
            let bytes = reading.end - reading.next;
            let read = self.handle.block_on(self.once(bytes, self.read_on(&full, &mut reading, sink)));
            match read {
                Ok(ControlFlow::Break(())) => return Ok(()),
                Ok(ControlFlow::Continue(())) => {}
                // One that got further is no attempt that failed.
                Err(fault) if fault.passes() && reading.next > before && begun.elapsed() < self.limits.overall => {
                    attempts = 0;
                }
                Err(fault) if !self.goes_on(&fault, attempts, begun) => {
                    return Err(self.explain("read", key.to_owned(), fault, attempts));
                }
                Err(_) => self.handle.block_on(self.pause(attempts)),
            }
        }
        Ok(())
    }

    fn head(&self, key: &str) -> Result<Option<StoredObject>, PromotionError> {
        let full = self.full(key)?;
        let reply = self.run(0, async || Ok(self.client.head_object().bucket(&self.bucket).key(&full).send().await?));
        let reply = present(reply).map_err(self.error("look at", key))?;
        Ok(reply.map(|reply| {
            let size = u64::try_from(reply.content_length.unwrap_or_default()).unwrap_or_default();
            StoredObject { key: key.to_owned(), size, modified: time(reply.last_modified) }
        }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PromotionError> {
        let full = format!("{}{prefix}", self.prefix);
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = self.run(0, async || {
                let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full);
                Ok(request.set_continuation_token(token.clone()).send().await?)
            });
            let page = page.map_err(self.error("list", prefix))?;
            for object in page.contents.unwrap_or_default() {
                let key = object.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix));
                let Some(key) = key.filter(|key| check_key(key).is_ok()) else { continue };
                let size = u64::try_from(object.size.unwrap_or_default()).unwrap_or_default();
                found.push(StoredObject { key: key.to_owned(), size, modified: time(object.last_modified) });
            }
            token = page.next_continuation_token;
            if token.is_none() || page.is_truncated != Some(true) {
                return Ok(found);
            }
        }
    }

    fn delete(&self, key: &str) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        self.run(0, async || Ok(self.client.delete_object().bucket(&self.bucket).key(&full).send().await?))
            .map(drop)
            .map_err(self.error("remove", key))
    }

    fn unfinished(&self) -> Result<Vec<Unfinished>, PromotionError> {
        self.list_uploads()
    }

    fn abort(&self, unfinished: &Unfinished) -> Result<(), PromotionError> {
        self.abort_upload(&unfinished.key, &unfinished.id)
    }
}

/// How far a range has been read, and of which content.
struct Reading {
    next: u64,
    end: u64,
    etag: Option<String>,
}

impl S3 {
    /// Reads on from where the last attempt stopped.
    async fn read_on(&self, key: &str, reading: &mut Reading, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, Fault> {
        let range = format!("bytes={}-{}", reading.next, reading.end - 1);
        let request = self.client.get_object().bucket(&self.bucket).key(key).range(range);
        let mut reply = request.set_if_match(reading.etag.clone()).send().await?;
        reading.etag = reading.etag.take().or(reply.e_tag.take());
        while let Some(piece) = reply.body.try_next().await.map_err(Fault::cut)? {
            let wanted = piece.len().min((reading.end - reading.next) as usize);
            reading.next += wanted as u64;
            if sink(&piece[..wanted]).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            // Whatever else the store would send is not waited for.
            if reading.next == reading.end {
                return Ok(ControlFlow::Continue(()));
            }
        }
        Err(Fault::ended(reading.next))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A look-up of a name that hangs may not hold up the program's end.
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

/// None if nothing is there.
fn present<T>(result: Result<T, (Fault, Attempts)>) -> Result<Option<T>, (Fault, Attempts)> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err((Fault { kind: Kind::Missing, .. }, _)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A store that does not say when counts as one that says now: nothing of it is ever old enough to be garbage.
fn time(time: Option<DateTime>) -> SystemTime {
    time.and_then(|time| SystemTime::try_from(time).ok()).unwrap_or_else(SystemTime::now)
}
