//! Faults between a client and the store, at the level of HTTP, at a request of a given number.
//!
//! Only requests signed with [`ACCESS_KEY`] are numbered. An observer with the
//! other key sees the store as it is.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use s3s::Body;
use s3s::service::S3Service;

use super::options::{ACCESS_KEY, Options, REGION, lock};

/// How long a slow request is delayed.
const SLOW: Duration = Duration::from_millis(100);
/// The largest body that the server reads into memory.
pub(super) const MAX_BODY: usize = 1 << 30;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Status 500, before anything is done.
    Error500,
    /// Status 500, after everything is done.
    Error500After,
    /// Status 503 with the code `SlowDown`, before anything is done.
    SlowDown,
    /// No reply, and nothing is done.
    TimeOut,
    /// The connection is cut before anything is done.
    Cut,
    /// The connection is cut after everything is done.
    CutAfter,
    /// The reply is delayed.
    Slow,
    /// A write stores other bytes than it was given and reports the checksum of those that it was
    /// given; a read returns other bytes than are stored.
    LyingChecksum,
    /// The connection is cut in the middle of the body of a reply.
    CutBody,
}

impl Fault {
    /// The faults that any request may meet.
    pub const ALL: [Self; 8] = [
        Self::Error500,
        Self::Error500After,
        Self::SlowDown,
        Self::TimeOut,
        Self::Cut,
        Self::CutAfter,
        Self::Slow,
        Self::LyingChecksum,
    ];
}

/// The requests that meet a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// None.
    #[default]
    Faultless,
    /// The one with this number, from 1.
    At(u64, Fault),
    /// The one with this number and all that follow: the network or the client is gone.
    From(u64, Fault),
}

/// A request in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1; 0 for an observer.
    pub number: u64,
    /// `PUT`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The condition of a write: `if-match` or `if-none-match`.
    pub condition: Option<String>,
    /// The fault that it met.
    pub fault: Option<Fault>,
}

/// Marks a request whose bytes are to be stored wrongly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lie;

/// The connection is to be cut.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

/// A layer between the network and the store that injects the faults.
#[derive(Debug)]
pub(super) struct Layer {
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    requests: u64,
    log: Vec<Entry>,
}

impl Layer {
    pub(super) fn new(options: Options) -> Self {
        Self { options, state: Mutex::default() }
    }

    pub(super) fn restart(&self, plan: Plan) {
        *lock(&self.state) = State { plan, ..State::default() };
    }

    pub(super) fn log(&self) -> Vec<Entry> {
        lock(&self.state).log.clone()
    }

    /// Answers a request, or injects the planned fault.
    pub(super) async fn answer(&self, service: &S3Service, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let fault = self.number(&request);
        if let Some(refusal) = self.refuse(&request) {
            return Ok(refusal);
        }
        let mut request = request.map(Body::from);
        match fault {
            Some(Fault::Error500) => return Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "")),
            Some(Fault::SlowDown) => return Ok(error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "")),
            Some(Fault::TimeOut) => return std::future::pending().await,
            Some(Fault::Cut) => return Err(Cut),
            Some(Fault::Slow) => tokio::time::sleep(SLOW).await,
            Some(Fault::LyingChecksum) => drop(request.extensions_mut().insert(Lie)),
            Some(Fault::Error500After | Fault::CutAfter | Fault::CutBody) | None => {}
        }
        let is_get = request.method() == Method::GET;
        let response = service.call(request).await.map_err(|_| Cut)?;
        match fault {
            Some(Fault::Error500After) => Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "")),
            Some(Fault::CutAfter) => Err(Cut),
            Some(Fault::LyingChecksum) if is_get => flip_body(response).await,
            Some(Fault::CutBody) if is_get => half_body(response).await,
            _ => Ok(response),
        }
    }

    /// Logs the request. Returns its fault.
    fn number(&self, request: &Request<Incoming>) -> Option<Fault> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let ours = header("authorization").is_some_and(|value| value.contains(ACCESS_KEY));
        let mut state = lock(&self.state);
        state.requests += u64::from(ours);
        let number = if ours { state.requests } else { 0 };
        let fault = match state.plan {
            Plan::At(at, fault) if ours && at == number => Some(fault),
            Plan::From(from, fault) if ours && number >= from => Some(fault),
            _ => None,
        };
        let condition = ["if-match", "if-none-match"].into_iter().find(|name| header(name).is_some());
        let (method, target) = (request.method().to_string(), request.uri().to_string());
        state.log.push(Entry { number, method, target, condition: condition.map(str::to_owned), fault });
        fault
    }

    /// Refuses what the store refuses before anything else: another region, or a write to a
    /// read-only store.
    fn refuse(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let authorization = request.headers().get("authorization")?.to_str().ok()?;
        // Credential=<key>/<date>/<region>/s3/aws4_request
        let region = authorization.split('/').nth(2)?;
        if region != REGION {
            let details = format!("<Region>{REGION}</Region>");
            return Some(error(StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed", &details));
        }
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        (self.options.read_only && writes).then(|| error(StatusCode::FORBIDDEN, "AccessDenied", ""))
    }
}

fn error(status: StatusCode, code: &str, details: &str) -> Response<Body> {
    let text = format!("<Error><Code>{code}</Code><Message>injected</Message>{details}</Error>");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// Sends half of a body whose whole length was announced, which cuts the connection.
async fn half_body(response: Response<Body>) -> Result<Response<Body>, Cut> {
    let (mut parts, mut body) = response.into_parts();
    let bytes = body.store_all_limited(MAX_BODY).await.map_err(|_| Cut)?;
    parts.headers.insert("content-length", bytes.len().into());
    Ok(Response::from_parts(parts, Body::from(bytes.slice(..bytes.len() / 2))))
}

/// Changes a byte in the middle of an object that is read. Listings stay as they are: they are not
/// content.
async fn flip_body(response: Response<Body>) -> Result<Response<Body>, Cut> {
    let (parts, mut body) = response.into_parts();
    let bytes = body.store_all_limited(MAX_BODY).await.map_err(|_| Cut)?;
    let is_content = parts.headers.contains_key("etag");
    Ok(Response::from_parts(parts, Body::from(if is_content { flip(&bytes) } else { bytes })))
}

/// Returns the bytes with one of them changed.
pub(super) fn flip(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    Bytes::from(bytes)
}
