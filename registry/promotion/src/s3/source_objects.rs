//! Objects that others wrote, as sources of data: listed and read, whatever their keys.
//!
//! An object is read under the ETag that its listing told, and under its version where the bucket
//! has versions. So an object that changes in between is an error and never a mix of two contents.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::bucket::{Attempts, S3};
use super::fault::{Fault, Kind};
use crate::settings::Settings;
use crate::source_objects::{ObjectPart, ObjectReceiver, SourceObject, SourceObjectError, SourceObjects, Stop};

/// Objects of at most this many bytes are read as a whole, several at once.
const SMALL: u64 = 1 << 20;
/// The most small objects in transit at once.
const AT_ONCE: usize = 8;
/// The most pages of a listing. A page has a thousand keys, or fewer if the store wants.
const MAX_PAGES: usize = 10_000;
/// The time between two looks at whether the caller still waits.
const LOOK: Duration = Duration::from_millis(50);

/// A bucket whose objects are read as a source.
#[derive(Clone, Debug)]
pub(crate) struct Bucket(Arc<S3>);

/// A failure before it is put in words.
enum Failure {
    Stopped,
    Met(Fault, Attempts),
    Receiver(String),
}

impl Bucket {
    pub(crate) fn new(bucket: &str, settings: &Settings) -> Result<Self, SourceObjectError> {
        Ok(Self(Arc::new(S3::new(bucket, "", settings)?)))
    }
}

impl SourceObjects for Bucket {
    fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    fn look_up(&self, key: &str, stop: Stop<'_>) -> Result<SourceObject, SourceObjectError> {
        let store = &self.0;
        let reply =
            self.tried(stop, async || Ok(store.client.head_object().bucket(&store.bucket).key(key).send().await?));
        let reply = reply.map_err(|failure| match failure {
            Failure::Met(Fault { kind: Kind::Missing, .. }, _) => self.refusal(
                key,
                "there is no such object".to_owned(),
                "keys are compared byte for byte; a source of all objects below a prefix ends in `/`",
            ),
            failure => self.explain("look at", key, failure),
        })?;
        let etag = reply.e_tag.filter(|etag| !etag.is_empty()).ok_or_else(|| self.without_etag(key))?;
        Ok(SourceObject {
            key: key.to_owned(),
            size: u64::try_from(reply.content_length.unwrap_or_default()).unwrap_or_default(),
            etag,
            version: version(reply.version_id),
            modified: reply.last_modified.and_then(|time| time.to_millis().ok()),
        })
    }

    fn list(&self, prefix: &str, most: usize, stop: Stop<'_>) -> Result<Vec<SourceObject>, SourceObjectError> {
        let store = &self.0;
        let (mut found, mut token) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let page = self.tried(stop, async || {
                let request = store.client.list_objects_v2().bucket(&store.bucket).prefix(prefix);
                Ok(request.set_continuation_token(token.clone()).send().await?)
            });
            let page = page.map_err(|failure| self.explain("list", prefix, failure))?;
            for object in page.contents.unwrap_or_default() {
                let key = object.key.unwrap_or_default();
                if !key.starts_with(prefix) {
                    let message = "the store lists an object that is not below the prefix".to_owned();
                    return Err(self.refusal(prefix, message, "see that the endpoint is a store of S3"));
                }
                let etag = object.e_tag.filter(|etag| !etag.is_empty()).ok_or_else(|| self.without_etag(&key))?;
                let size = u64::try_from(object.size.unwrap_or_default()).unwrap_or_default();
                let modified = object.last_modified.and_then(|time| time.to_millis().ok());
                found.push(SourceObject { key, size, etag, version: None, modified });
                if found.len() > most {
                    return Err(SourceObjectError::TooMany { most });
                }
            }
            let next = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
            if next.is_none() {
                // Directory buckets list in another order.
                found.sort_by(|one, other| one.key.cmp(&other.key));
                if let Some(pair) = found.windows(2).find(|pair| pair[0].key == pair[1].key) {
                    let message = "the store lists it twice".to_owned();
                    return Err(self.refusal(&pair[0].key, message, "try again: the listing is not in order"));
                }
                return Ok(found);
            }
            if next == token {
                break;
            }
            token = next;
        }
        Err(self.refusal(prefix, "the listing does not end".to_owned(), "see that the endpoint is a store of S3"))
    }

    fn read(
        &self,
        objects: &[SourceObject],
        stop: Stop<'_>,
        receive: &mut ObjectReceiver<'_>,
    ) -> Result<(), SourceObjectError> {
        let mut ahead: VecDeque<JoinHandle<Whole>> = VecDeque::new();
        let mut next = 0;
        let mut result = Ok(());
        for (at, object) in objects.iter().enumerate() {
            if object.size > SMALL {
                next = next.max(at + 1);
                result = self.read_large(object, stop, receive);
            } else {
                next = next.max(at);
                // Only small ones are read ahead, and none past a large one.
                while ahead.len() < AT_ONCE && objects.get(next).is_some_and(|object| object.size <= SMALL) {
                    ahead.push_back(self.begin(objects[next].clone()));
                    next += 1;
                }
                let Some(begun) = ahead.pop_front() else { continue };
                result = self.take(begun, object, stop, receive);
            }
            if result.is_err() {
                break;
            }
        }
        ahead.iter().for_each(JoinHandle::abort);
        result
    }
}

impl Bucket {
    /// Begins to read a small object.
    fn begin(&self, object: SourceObject) -> JoinHandle<Whole> {
        let store = Arc::clone(&self.0);
        self.0.handle.spawn(async move {
            let (begun, mut attempts) = (Instant::now(), 0);
            loop {
                attempts += 1;
                match store.once(object.size, whole(&store, &object)).await {
                    Ok(found) => return Ok(found),
                    Err(fault) if !store.goes_on(&fault, attempts, begun) => return Err((fault, attempts)),
                    Err(_) => store.pause(attempts).await,
                }
            }
        })
    }

    /// Waits for a small object, and passes it on.
    fn take(
        &self,
        begun: JoinHandle<Whole>,
        object: &SourceObject,
        stop: Stop<'_>,
        receive: &mut ObjectReceiver<'_>,
    ) -> Result<(), SourceObjectError> {
        let joined = self
            .0
            .handle
            .block_on(unless(stop, begun))
            .map_err(|failure| self.explain("read", &object.key, failure))?;
        let (bytes, version) = match joined {
            Ok(Ok(found)) => found,
            Ok(Err((fault, attempts))) => return Err(self.explain("read", &object.key, Failure::Met(fault, attempts))),
            Err(_) => return Err(SourceObjectError::Receiver("a thread that reads objects has died".to_owned())),
        };
        let object = SourceObject { version: version.or_else(|| object.version.clone()), ..object.clone() };
        let parts = [ObjectPart::Begin(&object), ObjectPart::Bytes(&bytes), ObjectPart::End(&object)];
        parts.into_iter().try_for_each(receive).map_err(SourceObjectError::Receiver)
    }

    /// Reads an object piece by piece. An attempt goes on where the last one ended.
    fn read_large(
        &self,
        object: &SourceObject,
        stop: Stop<'_>,
        receive: &mut ObjectReceiver<'_>,
    ) -> Result<(), SourceObjectError> {
        let store = &self.0;
        let mut object = object.clone();
        receive(ObjectPart::Begin(&object)).map_err(SourceObjectError::Receiver)?;
        let (begun, mut attempts, mut next) = (Instant::now(), 0, 0);
        while next < object.size {
            attempts += 1;
            let before = next;
            let read = store.handle.block_on(self.read_on(&mut object, &mut next, stop, receive));
            match read {
                Ok(()) => {}
                Err(Failure::Met(fault, _)) if fault.passes() && begun.elapsed() < store.limits.overall => {
                    // An attempt that made progress does not count as failed.
                    attempts = if next > before { 0 } else { attempts };
                    if !store.goes_on(&fault, attempts, begun) {
                        return Err(self.explain("read", &object.key, Failure::Met(fault, attempts)));
                    }
                    let paused = store.handle.block_on(unless(stop, pin!(store.pause(attempts))));
                    paused.map_err(|failure| self.explain("read", &object.key, failure))?;
                }
                Err(failure) => return Err(self.explain("read", &object.key, failure)),
            }
        }
        receive(ObjectPart::End(&object)).map_err(SourceObjectError::Receiver)
    }

    async fn read_on(
        &self,
        object: &mut SourceObject,
        next: &mut u64,
        stop: Stop<'_>,
        receive: &mut ObjectReceiver<'_>,
    ) -> Result<(), Failure> {
        let store = &self.0;
        let met = |fault| Failure::Met(fault, 1);
        let reply = unless(stop, pin!(store.once(0, opened(store, object, *next)))).await?.map_err(met)?;
        let (mut body, version) = reply;
        object.version = version.or_else(|| object.version.take());
        while *next < object.size {
            let piece = unless(stop, pin!(store.once(0, async { body.try_next().await.map_err(Fault::cut) }))).await?;
            let Some(piece) = piece.map_err(met)? else { return Err(met(Fault::ended(*next))) };
            let wanted = piece.len().min(usize::try_from(object.size - *next).unwrap_or(usize::MAX));
            receive(ObjectPart::Bytes(&piece[..wanted])).map_err(Failure::Receiver)?;
            *next += wanted as u64;
        }
        Ok(())
    }

    /// Repeats a request until it succeeds, meets a permanent fault, or reaches the limits.
    fn tried<T>(&self, stop: Stop<'_>, attempt: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Failure> {
        let (store, begun) = (&self.0, Instant::now());
        store.handle.block_on(async {
            let mut attempts = 0;
            loop {
                attempts += 1;
                match unless(stop, pin!(store.once(0, attempt()))).await? {
                    Ok(value) => return Ok(value),
                    Err(fault) if !store.goes_on(&fault, attempts, begun) => return Err(Failure::Met(fault, attempts)),
                    Err(_) => unless(stop, pin!(store.pause(attempts))).await?,
                }
            }
        })
    }

    fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.0.bucket)
    }

    fn refusal(&self, key: &str, message: String, hint: &str) -> SourceObjectError {
        SourceObjectError::Store { uri: self.uri(key), message, hint: hint.to_owned() }
    }

    fn without_etag(&self, key: &str) -> SourceObjectError {
        let message = "the store tells no ETag of it, so that a change would not be noticed".to_owned();
        self.refusal(key, message, "fetch the object by other means, and name the file instead")
    }

    fn explain(&self, action: &'static str, key: &str, failure: Failure) -> SourceObjectError {
        let (fault, attempts) = match failure {
            Failure::Stopped => return SourceObjectError::Stopped,
            Failure::Receiver(reason) => return SourceObjectError::Receiver(reason),
            Failure::Met(fault, attempts) => (fault, attempts),
        };
        let (endpoint, bucket, problem) = (&self.0.endpoint, &self.0.bucket, fault.problem);
        let (message, hint) = match fault.kind {
            Kind::Passing => {
                let times = if attempts == 1 { "attempt" } else { "attempts" };
                (format!("it could not be read in {attempts} {times}: {problem}"), "try again when the store answers")
            }
            Kind::NotConnected => (
                format!("cannot reach {endpoint}: {problem}"),
                "see that the address is right (AWS_ENDPOINT_URL_S3, or `endpoint` of the source, for a store that is not AWS) and that this machine may connect to it",
            ),
            Kind::NoBucket => {
                (format!("no bucket `{bucket}` at {endpoint}"), "correct the bucket's name, or the endpoint")
            }
            Kind::Denied => (
                format!("not allowed to {action} it: {problem}"),
                "a source needs s3:GetObject for its objects, and s3:ListBucket for the bucket; without the latter, a store also refuses keys that do not exist",
            ),
            Kind::Credentials => (
                format!("the credentials are refused: {problem}"),
                "see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together and to this endpoint, and that AWS_SESSION_TOKEN has not expired",
            ),
            Kind::Region(actual) => {
                let actual = actual.map_or_else(String::new, |actual| format!(" but in `{actual}`"));
                (
                    format!("bucket `{bucket}` is not in region `{}`{actual}", self.0.region),
                    "set AWS_REGION, or `region` of the source, to the bucket's region",
                )
            }
            Kind::Missing => (
                "it is gone: it was removed after it was listed".to_owned(),
                "run again when nobody writes below the prefix",
            ),
            Kind::Condition => (
                "it has changed since it was listed: its ETag is another one".to_owned(),
                "run again when nobody writes to it",
            ),
            Kind::NotImplemented | Kind::Other => {
                (format!("the store refuses to {action} it: {problem}"), "see that the endpoint is a store of S3")
            }
        };
        self.refusal(key, message, hint)
    }
}

/// The bytes of a small object and its version, if the store tells one.
type Whole = Result<(Bytes, Option<String>), (Fault, Attempts)>;

async fn whole(store: &S3, object: &SourceObject) -> Result<(Bytes, Option<String>), Fault> {
    let (mut body, version) = opened(store, object, 0).await?;
    let mut bytes = Vec::with_capacity(usize::try_from(object.size.min(SMALL)).unwrap_or_default());
    while let Some(piece) = body.try_next().await.map_err(Fault::cut)? {
        if (bytes.len() + piece.len()) as u64 > object.size {
            return Err(changed());
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() as u64 == object.size { Ok((bytes.into(), version)) } else { Err(Fault::ended(bytes.len() as u64)) }
}

/// Requests an object from a byte on, and checks that it is the one that was listed. Some stores
/// ignore the condition.
async fn opened(
    store: &S3,
    object: &SourceObject,
    from: u64,
) -> Result<(aws_sdk_s3::primitives::ByteStream, Option<String>), Fault> {
    let request = store.client.get_object().bucket(&store.bucket).key(&object.key).if_match(&object.etag);
    let request = request.set_version_id(object.version.clone());
    let request = request.set_range((from > 0).then(|| format!("bytes={from}-")));
    let reply = request.send().await?;
    let length = reply.content_length.and_then(|length| u64::try_from(length).ok());
    let is_same = reply.e_tag.as_deref() == Some(&object.etag) && length.is_none_or(|it| it == object.size - from);
    if !is_same {
        return Err(changed());
    }
    Ok((reply.body, version(reply.version_id)))
}

fn changed() -> Fault {
    Fault { kind: Kind::Condition, problem: "another ETag or length".to_owned() }
}

/// Buckets without versions answer `null`, or nothing.
fn version(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && id != "null")
}

/// Waits for a future while the caller wants it.
async fn unless<F: Future + Unpin>(stop: Stop<'_>, mut future: F) -> Result<F::Output, Failure> {
    loop {
        if stop() {
            return Err(Failure::Stopped);
        }
        if let Ok(value) = tokio::time::timeout(LOOK, &mut future).await {
            return Ok(value);
        }
    }
}
