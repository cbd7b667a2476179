//! A request: tried again where that helps, and answered within bounds.

use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use stagewright_text::Untrusted;
use ureq::http::{HeaderMap, Request, Response, StatusCode};
use ureq::{AsSendBody, Body};

use crate::address::Address;
use crate::error::ClientError;
use crate::settings::Settings;

/// The most bytes that are read of an answer that says what is wrong.
const MOST_ERROR: u64 = 64 << 10;
/// The most bytes of the server's words that a message cites.
const MOST_SHOWN: usize = 300;

/// Bounds on what a server may take and send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time to connect.
    pub connect: Duration,
    /// The time for a request with its answer; that of a file is longer by its size.
    pub request: Duration,
    /// How often a request is tried.
    pub attempts: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub pause: Duration,
    /// The most bytes of an answer in JSON.
    pub answer_bytes: u64,
    /// The most pages of a listing.
    pub pages: usize,
    /// The most bytes of a file whose size the server does not tell.
    pub file_bytes: u64,
    /// The most files of a run or a model.
    pub files: usize,
}

impl Limits {
    /// Bounds for somebody who waits for the answers: a command.
    pub const PATIENT: Self = Self {
        connect: Duration::from_secs(10),
        request: Duration::from_secs(120),
        attempts: 5,
        pause: Duration::from_millis(250),
        answer_bytes: 64 << 20,
        pages: 100_000,
        file_bytes: 64 << 30,
        files: 100_000,
    };

    /// Bounds for something that nobody should notice: logging beside a run.
    pub const BRIEF: Self =
        Self { connect: Duration::from_secs(3), request: Duration::from_secs(10), attempts: 2, ..Self::PATIENT };
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    address: Address,
    authorization: Option<Secret>,
    agent: ureq::Agent,
    limits: Limits,
}

/// A text that is not shown.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

/// A request for JSON.
pub(crate) struct Call<'a> {
    /// Its name in messages: `runs/search`.
    pub(crate) operation: &'static str,
    pub(crate) method: &'static str,
    /// From the root of the server on, encoded.
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a Value>,
    /// Whether a second request does no harm if the first one was carried out and its answer lost.
    pub(crate) is_repeatable: bool,
}

/// An attempt that failed.
struct Missed {
    error: ClientError,
    /// The server asks for this pause.
    after: Option<Duration>,
    /// Whether the server cannot have carried it out.
    is_undone: bool,
}

impl Missed {
    fn lasting(error: ClientError) -> Self {
        Self { error, after: None, is_undone: false }
    }
}

impl Server {
    /// Makes a client. No request is sent yet.
    pub fn new(address: Address, settings: Settings, limits: Limits) -> Self {
        let config = ureq::Agent::config_builder()
            .tls_config(settings.tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // As other clients here: what the user named is what is connected to.
            .proxy(None)
            .timeout_connect(Some(limits.connect))
            .timeout_resolve(Some(limits.connect))
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        Self { address, authorization: settings.authorization.map(Secret), agent, limits }
    }

    /// Returns the address, without credentials.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Makes a request until it is answered or that has no prospect. Returns the answer's JSON.
    pub(crate) fn ask<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ClientError> {
        let bytes = self.again(call.operation, call.is_repeatable, || {
            let body = call.body.map(Value::to_string).unwrap_or_default();
            let request = self.request(call.method, call.path, call.query);
            let request =
                if call.body.is_some() { request.header("content-type", "application/json") } else { request };
            let mut answer = self.send(call.operation, request, body.as_bytes(), self.limits.request)?;
            let limit = self.limits.answer_bytes;
            answer
                .body_mut()
                .with_config()
                .limit(limit)
                .read_to_vec()
                .map_err(|error| self.broken(call.operation, &error))
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.not_mlflow(call.operation, format!("no such JSON is expected ({error})")))
    }

    /// Calls `attempt` until it succeeds, cannot succeed, or was tried often enough.
    fn again<T>(
        &self,
        operation: &str,
        is_repeatable: bool,
        mut attempt: impl FnMut() -> Result<T, Missed>,
    ) -> Result<T, ClientError> {
        let mut pause = self.limits.pause;
        for left in (0..self.limits.attempts.max(1)).rev() {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Missed { error, after, is_undone }) => {
                    if left == 0 || !error.is_passing() || !(is_repeatable || is_undone) {
                        return Err(error);
                    }
                    tracing::debug!("`{operation}` is tried again: {error}");
                    // No server makes this one wait longer than a request may take.
                    thread::sleep(after.unwrap_or(pause).min(self.limits.request));
                    pause *= 2;
                }
            }
        }
        Err(self.not_mlflow(operation, "it was never asked".to_owned()))
    }

    /// Sends a request once and returns the answer, whose body is to be read.
    pub(crate) fn once(
        &self,
        operation: &str,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
        time: Duration,
    ) -> Result<Response<Body>, ClientError> {
        self.send(operation, request, body, time).map_err(|missed| missed.error)
    }

    /// As [`Server::once`], tried again.
    pub(crate) fn repeatedly<B: AsSendBody>(
        &self,
        operation: &str,
        time: Duration,
        mut make: impl FnMut() -> Result<(ureq::http::request::Builder, B), ClientError>,
    ) -> Result<Response<Body>, ClientError> {
        self.again(operation, true, || {
            let (request, body) = make().map_err(Missed::lasting)?;
            self.send(operation, request, body, time)
        })
    }

    /// Begins a request of a path below the server's address.
    pub(crate) fn request(&self, method: &str, path: &str, query: &[(&str, &str)]) -> ureq::http::request::Builder {
        let mut uri = format!("{}{path}", self.address.as_str());
        for (index, (name, value)) in query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(&format!("{name}={}", encoded(value)));
        }
        let request = Request::builder().method(method).uri(uri);
        match &self.authorization {
            Some(Secret(authorization)) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn send(
        &self,
        operation: &str,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
        time: Duration,
    ) -> Result<Response<Body>, Missed> {
        let request =
            request.body(body).map_err(|error| Missed::lasting(self.not_mlflow(operation, error.to_string())))?;
        let stall = self.limits.request;
        let config = self.agent.configure_request(request);
        let request =
            config.timeout_global(Some(time)).timeout_per_read(Some(stall)).timeout_per_write(Some(stall)).build();
        let answer = self.agent.run(request).map_err(|error| self.broken(operation, &error))?;
        self.checked(operation, answer)
    }

    /// Returns an answer that says that the request was carried out.
    fn checked(&self, operation: &str, mut answer: Response<Body>) -> Result<Response<Body>, Missed> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if status.is_redirection() {
            let problem = "it sends clients to another address, which are not followed".to_owned();
            return Err(Missed::lasting(self.not_mlflow(operation, problem)));
        }
        let after = pause(answer.headers());
        let text = answer.body_mut().with_config().limit(MOST_ERROR).read_to_vec().unwrap_or_default();
        let said: Value = serde_json::from_slice(&text).unwrap_or_default();
        let code = said["error_code"].as_str().map(|code| Untrusted::new(code).cut(100).to_string());
        let words = said["message"].as_str().map_or_else(|| String::from_utf8_lossy(&text), Into::into);
        let message = Untrusted::new(words.trim()).cut(MOST_SHOWN).to_string();
        let (address, operation) = (self.address.to_string(), operation.to_owned());
        let is_passing = status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED);
        let number = status.as_u16();
        if matches!(number, 401 | 403) {
            return Err(Missed::lasting(ClientError::Denied { address, status: number, message }));
        }
        if is_passing {
            let error = ClientError::Failed { address, operation, status: number, message };
            return Err(Missed { error, after, is_undone: matches!(number, 429 | 503) });
        }
        let code = code.unwrap_or_else(|| number.to_string());
        Err(Missed::lasting(ClientError::Refused { address, operation, code, message }))
    }

    /// Returns the error of a connection or of an answer that broke off.
    fn broken(&self, operation: &str, error: &ureq::Error) -> Missed {
        if let ureq::Error::BodyExceedsLimit(bytes) = error {
            return Missed::lasting(self.too_large(operation, *bytes));
        }
        let is_undone = match error {
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
            ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            _ => false,
        };
        Missed { error: self.unreachable(&error.to_string()), after: None, is_undone }
    }

    pub(crate) fn unreachable(&self, reason: &str) -> ClientError {
        let reason = Untrusted::new(reason).cut(MOST_SHOWN).to_string();
        ClientError::Unreachable { address: self.address.to_string(), reason }
    }

    pub(crate) fn too_large(&self, operation: &str, bytes: u64) -> ClientError {
        ClientError::TooLarge { address: self.address.to_string(), operation: operation.to_owned(), bytes }
    }

    pub(crate) fn not_mlflow(&self, operation: &str, problem: String) -> ClientError {
        let problem = Untrusted::new(&problem).cut(MOST_SHOWN).to_string();
        ClientError::NotMlflow { address: self.address.to_string(), operation: operation.to_owned(), problem }
    }
}

/// Returns the pause that a server asks for, in seconds. Dates are ignored.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Returns a text as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
