//! Telling one webhook what is in its queue, in order.
//!
//! Take the webhook, so that no other server tells it meanwhile; send the first event; record what
//! became of it, which holds the webhook for longer; go on. A server that dies on the way leaves
//! the event in the queue, and the next one sends it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stagewright_outgoing::{Poster, pause};
use stagewright_store::{HeldWebhook, QueuedEvent, Registry, StoreError, WebhookAttempt, WebhookOutcome};

use crate::message::message;
use crate::policy::WebhookPolicy;

/// How much longer than its timeout an attempt may take before another server takes the webhook.
const ALLOWANCE: Duration = Duration::from_secs(10);

/// The events that are read at once.
const AT_ONCE: usize = 64;

/// The events that a webhook is told of before others have their turn.
const MOST_IN_TURN: usize = 512;

/// The age from which an event is given up: three days.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Tells a webhook of the events of its queue, until one is not taken, its turn is over, or `stop`.
pub(crate) fn deliver(
    registry: &Registry,
    number: i64,
    policy: &WebhookPolicy,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let Some(held) = registry.hold_webhook(number, hold_until(policy))? else { return Ok(()) };
    let told = tell(registry, &held, policy, stop);
    registry.release_webhook(held)?;
    told
}

fn tell(registry: &Registry, held: &HeldWebhook, policy: &WebhookPolicy, stop: &AtomicBool) -> Result<(), StoreError> {
    let poster = policy.poster();
    let mut told = 0;
    while told < MOST_IN_TURN {
        let events = registry.events_of_webhook(held, AT_ONCE)?;
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            // Those of the first event. What comes after it was never tried.
            let failures = if told == 0 { held.webhook.failures } else { 0 };
            if !attempt(registry, held, (&event, failures), policy, &poster)? {
                return Ok(());
            }
            told += 1;
        }
    }
    Ok(())
}

/// Sends an event and records what became of it. Returns whether to go on with the next one.
fn attempt(
    registry: &Registry,
    held: &HeldWebhook,
    (event, failures): (&QueuedEvent, u32),
    policy: &WebhookPolicy,
    poster: &Poster,
) -> Result<bool, StoreError> {
    let begun = Instant::now();
    let sent = match policy.check_url(&held.webhook.url) {
        // The operator's settings may have changed since it was made.
        Err(reason) => Sent::failed(reason),
        Ok(()) => send(held, event, poster),
    };
    let name = &held.webhook.name;
    let now = now_ms();
    let is_too_old = now.saturating_sub(event.at_ms) > millis(GIVEN_UP_AFTER);
    let outcome = match &sent.reason {
        None => WebhookOutcome::Delivered,
        Some(reason) if is_too_old => {
            tracing::error!(
                "webhook `{name}` is not told of `{}`, which is three days old: {reason}",
                event.event_name
            );
            WebhookOutcome::Dropped
        }
        Some(reason) => {
            if failures == 0 {
                tracing::warn!("webhook `{name}` did not take `{}`, and is told again: {reason}", event.event_name);
            }
            WebhookOutcome::Failed
        }
    };
    let pause = pause(failures).max(sent.after.unwrap_or_default());
    let attempt = WebhookAttempt {
        outcome,
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        status: sent.status,
        reason: sent.reason.as_deref(),
        next_ms: now.saturating_add(millis(pause)),
        until_ms: hold_until(policy),
    };
    let is_held = registry.record_webhook_attempt(held, event, &attempt)?;
    Ok(is_held && outcome != WebhookOutcome::Failed)
}

/// The result of a request.
struct Sent {
    status: Option<u16>,
    /// Why the receiver did not take the event.
    reason: Option<String>,
    /// The time that it asks to be left alone.
    after: Option<Duration>,
}

impl Sent {
    fn failed(reason: String) -> Self {
        Self { status: None, reason: Some(reason), after: None }
    }
}

fn send(held: &HeldWebhook, event: &QueuedEvent, poster: &Poster) -> Sent {
    let message = message(event, held.secret.as_ref());
    match poster.post(&held.webhook.url, &message.headers, &message.body) {
        Ok(answer) => Sent {
            status: Some(answer.status),
            reason: (!answer.is_success()).then(|| answer.refusal()),
            after: answer.after,
        },
        Err(error) => Sent::failed(error.to_string()),
    }
}

fn hold_until(policy: &WebhookPolicy) -> i64 {
    now_ms().saturating_add(millis(policy.timeout + ALLOWANCE))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
