//! Telling a server: a signed POST.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stagewright_manifest::HookRequest;
use stagewright_text::Untrusted;
use ureq::http::HeaderMap;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::event::Event;
use crate::failure::Failure;
use crate::secret::{Secret, Variables};
use crate::signature::signature;

/// The most bytes of an answer that are read, and the most that are shown.
const MOST_READ: u64 = 4 << 10;
const MOST_SHOWN: usize = 200;

/// The longest pause that a server may ask for with `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Sends an event. An answer with a code of 200 to 299 says that it was taken. Redirects are not
/// followed and no proxy is used: the event goes to the server that the operator wrote, and to no
/// other.
pub(crate) fn send(
    target: &HookRequest,
    event: &Event,
    body: &[u8],
    timeout: Duration,
    variables: &Variables,
) -> Result<(), Failure> {
    let secret = Secret::read(&target.secret, variables).map_err(Failure::NotHere)?;
    let token = target.token.as_ref().map(|token| Secret::read(token, variables));
    let token = token.transpose().map_err(Failure::NotHere)?;
    let tls = TlsConfig::builder().root_certs(authorities(target).map_err(Failure::NotHere)?).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
        .build();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut request = ureq::Agent::new_with_config(config)
        .post(&target.url)
        .header("Content-Type", "application/json")
        .header("X-Stagewright-Event", event.event.name())
        .header("X-Stagewright-Event-Id", &event.id)
        .header("X-Stagewright-Timestamp", seconds.to_string())
        .header("X-Stagewright-Signature", signature(secret.bytes(), seconds, body));
    if let Some(token) = &token {
        request = request.header("Authorization", format!("Bearer {}", token.text()));
    }
    let mut answer = request.send(body).map_err(|error| Failure::refused(shown(&error.to_string())))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = pause(answer.headers());
    let text = answer.body_mut().with_config().limit(MOST_READ).read_to_vec().unwrap_or_default();
    let text = shown(String::from_utf8_lossy(&text).trim());
    let mut reason = format!("the server answers with {}", status.as_u16());
    if status.is_redirection() {
        reason.push_str(", and redirects are not followed");
    }
    if !text.is_empty() {
        reason.push_str(": ");
        reason.push_str(&text);
    }
    Err(Failure::Refused { reason, after })
}

fn shown(text: &str) -> String {
    Untrusted::new(text).cut(MOST_SHOWN).to_string()
}

/// Returns the pause that a server asks for, in seconds. Dates are ignored.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("Retry-After")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// Returns the certificate authorities: those of the operator's file, else Mozilla's.
fn authorities(target: &HookRequest) -> Result<RootCerts, String> {
    let Some(file) = &target.authorities else { return Ok(RootCerts::WebPki) };
    let place = file.display();
    let text = stagewright_store::read_regular_text(file, 1 << 20);
    let text = text.map_err(|error| format!("its authorities cannot be read from {place}: {error}"))?;
    let certificates: Vec<_> = parse_pem(text.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(format!("{place} holds no certificate of its authorities"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
