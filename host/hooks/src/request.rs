//! Telling a server: a signed POST.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stagewright_manifest::HookRequest;
use stagewright_outgoing::{Authorities, Poster, PosterOptions};

use crate::event::Event;
use crate::failure::Failure;
use crate::secret::{Secret, Variables};
use crate::signature::signature;

/// The largest file of certificate authorities, in bytes.
const MAX_AUTHORITIES: u64 = 1 << 20;

/// Sends an event. An answer with a code of 200 to 299 says that it was taken. Every address is
/// reached: the operator wrote the URL.
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
    let authorities = authorities(target).map_err(Failure::NotHere)?;
    let poster = Poster::new(PosterOptions { timeout, authorities, addresses: None });
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Stagewright-Event", event.event.name().to_owned()),
        ("X-Stagewright-Event-Id", event.id.clone()),
        ("X-Stagewright-Timestamp", seconds.to_string()),
        ("X-Stagewright-Signature", signature(secret.bytes(), seconds, body)),
    ];
    if let Some(token) = &token {
        headers.push(("Authorization", format!("Bearer {}", token.text())));
    }
    let answer = poster.post(&target.url, &headers, body).map_err(|error| Failure::refused(error.to_string()))?;
    if answer.is_success() {
        return Ok(());
    }
    Err(Failure::Refused { reason: answer.refusal(), after: answer.after })
}

/// Returns the certificate authorities of the operator's file; `None`: Mozilla's.
fn authorities(target: &HookRequest) -> Result<Option<Authorities>, String> {
    let Some(file) = &target.authorities else { return Ok(None) };
    let place = file.display();
    let text = stagewright_store::read_regular_text(file, MAX_AUTHORITIES);
    let text = text.map_err(|error| format!("its authorities cannot be read from {place}: {error}"))?;
    let found = Authorities::of_pem(text.as_bytes());
    found.map(Some).ok_or_else(|| format!("{place} holds no certificate of its authorities"))
}
