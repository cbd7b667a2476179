//! Downloads files over HTTP, from granted servers only.
//!
//! Access is denied by default, by name and by address. The host of a URL must be granted. Every
//! address that it resolves to must be public or granted itself, and the connection goes to the
//! address that was checked, so that the name cannot be pointed elsewhere in between (DNS
//! rebinding). A redirect is a new request under the same rules, and never leads from `https` to
//! `http`. No proxy is used, since it would choose the address. Headers, body and time are limited.
//! The trusted certificate authorities are compiled in (Mozilla's list), so that trust does not
//! depend on the machine. [`json_pages`] reads APIs that answer JSON.

mod json_pages;

use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::CertificateError;
use ureq::http::header::{AUTHORIZATION, LOCATION};
use ureq::http::{HeaderMap, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::error::{DataError, shown};
use crate::interrupt::Interrupt;
use crate::source::host_grant::{HostGrant, address_of};

pub use json_pages::{FetchedPage, JsonPages, NextPage, fetch_json};

/// The most requests of a download, redirects included.
const MAX_REQUESTS: usize = 6;
/// The most bytes of a response's status line and headers.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// The longest time for connecting, and the longest silence of a peer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are read between two checks of the interrupt.
const PIECE: usize = 64 << 10;

/// A download, and its limits.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// An `http` or `https` URL without user and password.
    pub url: String,
    /// The servers that may be contacted.
    pub grants: Vec<HostGrant>,
    /// Sent as `Authorization: Bearer ...` to the URL's own host, over `https` or to this machine.
    pub bearer_token: Option<String>,
    /// Further headers, each with its secret value. They are sent as the token is.
    pub headers: Vec<(String, String)>,
    /// The longest body, in bytes.
    pub max_bytes: u64,
    /// The time by which the download must end.
    pub deadline: Instant,
}

/// Downloads the body of a URL into a writer and returns its length in bytes.
///
/// # Errors
/// [`DataError::Denied`] for a host, an address or a redirect that is not granted;
/// [`DataError::TooLarge`] for a longer body; [`DataError::Unreachable`] if the network or the
/// server fails; [`DataError::Interrupted`] if interrupted or past the deadline.
pub fn fetch(request: &HttpRequest, interrupt: &Interrupt, into: &mut dyn Write) -> Result<u64, DataError> {
    fetch_trusting(&RootCerts::WebPki, request, interrupt, into)
}

/// As [`fetch`], with these certificate authorities.
fn fetch_trusting(
    roots: &RootCerts,
    request: &HttpRequest,
    interrupt: &Interrupt,
    into: &mut dyn Write,
) -> Result<u64, DataError> {
    let url = parse(&request.url)?;
    let first = origin(&url);
    match request.answered(roots, url.clone(), &first, interrupt, into)? {
        Answer::Body { bytes, .. } => Ok(bytes),
        Answer::Status { status, .. } => Err(refused(&url, status)),
    }
}

/// The answer of a server that is no redirect.
enum Answer {
    /// Status 200. The body was written.
    Body { headers: HeaderMap, bytes: u64 },
    /// Another status.
    Status { status: u16, headers: HeaderMap },
}

/// Scheme, host and port.
type Origin = (String, String, u16);

/// Returns the error for a status.
fn refused(url: &Uri, status: u16) -> DataError {
    let hint = match status {
        401 | 403 => "give a token: `token-env = \"STAGEWRIGHT_TOKEN_...\"` names the variable that holds it",
        404 | 410 => "check the path of the URL",
        _ => "",
    };
    let status = ureq::http::StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |it| it.to_string());
    unreachable(url, format!("the server answers with status {status}"), hint)
}

/// Checks that the host of a URL is granted by name.
///
/// # Errors
/// [`DataError::Denied`]; [`DataError::Uri`] for a text that is no URL.
pub fn check_granted(url: &str, grants: &[HostGrant]) -> Result<(), DataError> {
    admit(&parse(url)?, grants)
}

/// Returns the addresses of a host's name, if all of them are public or granted.
///
/// # Errors
/// The name is not known, or an address is neither.
pub fn granted_addresses(host: &str, grants: &[HostGrant]) -> std::io::Result<Vec<IpAddr>> {
    let found: Vec<SocketAddr> = (host, 0).to_socket_addrs()?.take(16).collect();
    match found.iter().find(|address| !HostGrant::reach(grants, **address, 0)) {
        Some(address) => {
            let address = address.ip();
            let reason = format!("`{host}` resolves to `{address}`, which is not public and not granted by `http`");
            Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason))
        }
        None => Ok(found.into_iter().map(|address| address.ip()).collect()),
    }
}

fn admit(url: &Uri, grants: &[HostGrant]) -> Result<(), DataError> {
    let (host, port) = (url.host().unwrap_or_default().to_ascii_lowercase(), url.port_u16());
    let default = default_port(url);
    if grants.iter().any(|grant| grant.names(&host, port.unwrap_or(default), default)) {
        return Ok(());
    }
    let name = match port {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host,
    };
    Err(DataError::Denied { what: format!("the host `{}`", shown(&name)), grant: name })
}

impl HttpRequest {
    /// Requests a URL and follows redirects. The token goes to the server `own` alone.
    fn answered(
        &self,
        roots: &RootCerts,
        mut url: Uri,
        own: &Origin,
        interrupt: &Interrupt,
        into: &mut dyn Write,
    ) -> Result<Answer, DataError> {
        for _ in 0..MAX_REQUESTS {
            if interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            admit(&url, &self.grants)?;
            let mut response = self.send(&url, origin(&url) == *own, roots)?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status.is_redirection() {
                let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
                url = redirected(&url, location)?;
                continue;
            }
            if status.as_u16() != 200 {
                return Ok(Answer::Status { status: status.as_u16(), headers });
            }
            let bytes = self.receive(&url, response.body_mut().as_reader(), interrupt, into)?;
            return Ok(Answer::Body { headers, bytes });
        }
        Err(unreachable(&url, format!("more than {} redirects", MAX_REQUESTS - 1), "give the URL that they lead to"))
    }

    fn send(
        &self,
        url: &Uri,
        own_host: bool,
        roots: &RootCerts,
    ) -> Result<ureq::http::Response<ureq::Body>, DataError> {
        let refused = Arc::new(Mutex::new(None));
        let resolver = Checked { grants: self.grants.clone(), refused: refused.clone() };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(DataError::Interrupted);
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
            .max_response_header_size(MAX_HEADER_BYTES)
            .timeout_global(Some(left))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
        let mut call = agent.get(url);
        let has_secret = self.bearer_token.is_some() || !self.headers.is_empty();
        if has_secret && own_host {
            let here = url.host().and_then(address_of).is_some_and(|address| address.is_loopback());
            if url.scheme_str() != Some("https") && !here {
                let hint = "use an `https` URL, or remove `token-env` and `headers`";
                return Err(unreachable(url, "a token is not sent over plain http".into(), hint));
            }
            for (name, value) in &self.headers {
                call = call.header(name, value);
            }
            if let Some(token) = &self.bearer_token {
                call = call.header(AUTHORIZATION, format!("Bearer {token}"));
            }
        }
        call.call().map_err(|error| match refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(address) => DataError::Denied {
                what: format!(
                    "the address `{address}`, which the host `{}` resolves to and which is not public",
                    url.host().unwrap_or_default()
                ),
                grant: format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
            },
            None => self.failed(url, &error),
        })
    }

    fn receive(
        &self,
        url: &Uri,
        mut body: impl Read,
        interrupt: &Interrupt,
        into: &mut dyn Write,
    ) -> Result<u64, DataError> {
        let mut piece = vec![0; PIECE];
        let mut received = 0;
        loop {
            if interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            let read = body.read(&mut piece).map_err(|error| self.failed(url, &ureq::Error::from(error)))?;
            if read == 0 {
                return Ok(received);
            }
            received += read as u64;
            if received > self.max_bytes {
                return Err(DataError::TooLarge { used: received, allowed: self.max_bytes });
            }
            into.write_all(&piece[..read])
                .map_err(|error| unreachable(url, format!("its body cannot be kept: {error}"), ""))?;
        }
    }

    fn failed(&self, url: &Uri, error: &ureq::Error) -> DataError {
        if Instant::now() >= self.deadline {
            return DataError::Interrupted;
        }
        if let Some(wrong) = certificate_error(error) {
            let (reason, hint) = distrust(wrong);
            return unreachable(url, format!("the server's certificate is not trusted: {}", shown(&reason)), hint);
        }
        let hint = match error {
            ureq::Error::HostNotFound => "check the host's name",
            ureq::Error::ConnectionFailed | ureq::Error::Io(_) => "is the server up, and its port right?",
            _ => "",
        };
        unreachable(url, shown(&error.to_string()), hint)
    }
}

/// Returns the certificate error behind an error, if there is one.
fn certificate_error(error: &ureq::Error) -> Option<&CertificateError> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        // A handshake consists of reads and writes, so its errors come wrapped in I/O errors.
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(wrong) => Some(wrong),
        _ => None,
    }
}

/// Returns the reason for which a certificate is not trusted, and a hint.
fn distrust(wrong: &CertificateError) -> (String, &'static str) {
    match wrong {
        CertificateError::UnknownIssuer => (
            "none of the authorities that stagewright knows vouches for it".to_owned(),
            "Mozilla's authorities are compiled in, and there are no others: fetch the file by other means, and name it as `csv:FILE`",
        ),
        CertificateError::NotValidForNameContext { .. } => {
            (wrong.to_string(), "use a name that the certificate is for")
        }
        CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. } => {
            (wrong.to_string(), "is this machine's clock right?")
        }
        _ => (wrong.to_string(), ""),
    }
}

fn unreachable(url: &Uri, message: String, hint: &str) -> DataError {
    DataError::Unreachable { url: named(&url.to_string()), message, hint: hint.to_owned() }
}

/// Returns a URL for errors, without its query: errors are recorded, and a query may hold a key.
fn named(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((place, _)) => format!("{}?…", shown(place)),
        None => shown(url),
    }
}

/// Parses a URL that may be requested.
fn parse(text: &str) -> Result<Uri, DataError> {
    let wrong =
        |message: &str, hint: &str| DataError::Uri { uri: named(text), message: message.into(), hint: hint.into() };
    let url: Uri = text.parse().map_err(|_| wrong("it is not a URL", "write `https://HOST/PATH`"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(wrong("it is not an http URL", "write `https://HOST/PATH`"));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        let hint = "put a token into a variable, and its name into `token-env`";
        return Err(DataError::Uri {
            uri: format!("{}://...@{}", url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default()),
            message: "it carries a user or a password, which would be recorded with every run".into(),
            hint: hint.into(),
        });
    }
    Ok(url)
}

/// Resolves the target of a redirect.
fn redirected(from: &Uri, location: &str) -> Result<Uri, DataError> {
    follow(from, location, "it redirects to")
}

/// Resolves a reference; `leads` says what leads there.
fn follow(from: &Uri, location: &str, leads: &str) -> Result<Uri, DataError> {
    let to = if location.starts_with('/') && !location.starts_with("//") {
        format!(
            "{}://{}{location}",
            from.scheme_str().unwrap_or_default(),
            from.authority().map_or("", |it| it.as_str())
        )
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", from.scheme_str().unwrap_or_default())
    } else if location.starts_with('?') {
        format!("{}{location}", base(from, from.path()))
    } else if location.contains("://") {
        location.to_owned()
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{}/{location}", base(from, folder))
    };
    let to = parse(&to).map_err(|_| unreachable(from, format!("{leads} `{}`", named(location)), ""))?;
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(unreachable(
            from,
            format!("{leads} `{}`, which is not https any more", named(location)),
            "use its https URL",
        ));
    }
    Ok(to)
}

/// Returns a path at the server of a URL.
fn base(url: &Uri, path: &str) -> String {
    let authority = url.authority().map_or("", |it| it.as_str());
    format!("{}://{authority}{path}", url.scheme_str().unwrap_or_default())
}

fn default_port(url: &Uri) -> u16 {
    if url.scheme_str() == Some("https") { 443 } else { 80 }
}

/// Returns scheme, host and port: the recipient of a token.
fn origin(url: &Uri) -> Origin {
    let text = |part: Option<&str>| part.unwrap_or_default().to_ascii_lowercase();
    (text(url.scheme_str()), text(url.host()), url.port_u16().unwrap_or_else(|| default_port(url)))
}

/// Resolves names and refuses addresses that are neither public nor granted.
struct Checked {
    grants: Vec<HostGrant>,
    /// The refused address, for the error message. The errors of ureq cannot carry it.
    refused: Arc<Mutex<Option<IpAddr>>>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("grants", &self.grants).finish_non_exhaustive()
    }
}

impl Resolver for Checked {
    fn resolve(&self, url: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or_else(|| default_port(url));
        let found: Vec<SocketAddr> = match address_of(host) {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => (host, port).to_socket_addrs().map_err(|_| ureq::Error::HostNotFound)?.collect(),
        };
        let mut allowed = self.empty();
        // A name with one private address is refused as a whole: it is not a public name.
        for address in found.into_iter().take(16) {
            if !HostGrant::reach(&self.grants, address, default_port(url)) {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.ip());
                return Err(ureq::Error::HostNotFound);
            }
            allowed.push(address);
        }
        if allowed.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(allowed) }
    }
}

#[cfg(test)]
mod tests;
