//! One POST: its time, and what is read of the answer, are bounded.

use std::io::Read as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stagewright_text::Untrusted;
use ureq::http::HeaderMap;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;

use crate::allowed::{AllowedAddresses, Checked};
use crate::pauses::LONGEST_PAUSE;

/// The most bytes of an answer that are read, and the most that messages show.
const MOST_READ: u64 = 4 << 10;
const MOST_SHOWN: usize = 200;

/// The most bytes of an answer's status line and headers.
const MOST_HEADER_BYTES: usize = 16 << 10;

/// Certificate authorities that vouch for servers, in place of Mozilla's.
#[derive(Clone, Debug)]
pub struct Authorities(RootCerts);

impl Authorities {
    /// Reads the certificates of a PEM file; `None` if it has none.
    pub fn of_pem(pem: &[u8]) -> Option<Self> {
        let certificates: Vec<_> = parse_pem(pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        (!certificates.is_empty()).then(|| Self(RootCerts::new_with_certs(&certificates)))
    }
}

/// The settings of a [`Poster`].
#[derive(Debug)]
pub struct PosterOptions {
    /// The time of a request, from looking up the name to the end of the answer.
    pub timeout: Duration,
    /// The certificate authorities; `None`: Mozilla's.
    pub authorities: Option<Authorities>,
    /// The addresses that may be connected to; `None`: all, because the operator chose the URL.
    pub addresses: Option<AllowedAddresses>,
}

/// Sends POSTs. Redirects are not followed and no proxy is used: a body goes to the server of its
/// URL, and to no other. Connections are kept for the next request.
#[derive(Debug)]
pub struct Poster {
    agent: ureq::Agent,
    refused: Arc<Mutex<Option<IpAddr>>>,
}

/// The answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The beginning of the body, 4 KiB at most. It is untrusted text.
    pub text: String,
    /// The time that the server asks to be left alone (`Retry-After`), ten minutes at most.
    pub after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The server's name leads to an address that may not be reached.
    #[error("its server has the address {address}, which is not allowed")]
    Refused {
        /// The address.
        address: IpAddr,
    },
    /// The server cannot be reached, or does not answer in time. The text is safe to show.
    #[error("{0}")]
    Unanswered(String),
}

impl Poster {
    /// Creates a poster.
    pub fn new(options: PosterOptions) -> Self {
        let PosterOptions { timeout, authorities, addresses } = options;
        let tls =
            TlsConfig::builder().root_certs(authorities.map_or(RootCerts::WebPki, |authorities| authorities.0)).build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MOST_HEADER_BYTES)
            .proxy(None)
            .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .build();
        let refused = Arc::new(Mutex::new(None));
        let agent = match addresses {
            None => ureq::Agent::new_with_config(config),
            Some(allowed) => {
                let checked = Checked { allowed, refused: refused.clone() };
                ureq::Agent::with_parts(config, DefaultConnector::default(), checked)
            }
        };
        Self { agent, refused }
    }

    /// Sends a body.
    ///
    /// # Errors
    /// [`PostError`] if no answer came, whatever it says.
    pub fn post(&self, url: &str, headers: &[(&str, String)], body: &[u8]) -> Result<Answer, PostError> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut answer = request.send(body).map_err(|error| self.fault(&error))?;
        let (status, after) = (answer.status().as_u16(), pause(answer.headers()));
        // The status says whether the body was taken. What breaks after it changes nothing.
        let mut text = Vec::new();
        let _ = answer.body_mut().as_reader().take(MOST_READ).read_to_end(&mut text);
        Ok(Answer { status, text: String::from_utf8_lossy(&text).into_owned(), after })
    }

    fn fault(&self, error: &ureq::Error) -> PostError {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (error, refused) {
            (ureq::Error::HostNotFound, Some(address)) => PostError::Refused { address },
            _ => PostError::Unanswered(shown(&error.to_string())),
        }
    }
}

impl Answer {
    /// Returns whether the server took the body.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns why the server did not take the body, in words that are safe to show.
    pub fn refusal(&self) -> String {
        let mut reason = format!("the server answers with {}", self.status);
        if (300..400).contains(&self.status) {
            reason.push_str(", and redirects are not followed");
        }
        let text = shown(self.text.trim());
        if !text.is_empty() {
            reason.push_str(": ");
            reason.push_str(&text);
        }
        reason
    }
}

fn shown(text: &str) -> String {
    Untrusted::new(text).cut(MOST_SHOWN).to_string()
}

/// Returns the pause that a server asks for, in seconds. Dates are ignored.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("Retry-After")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}
