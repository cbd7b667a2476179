//! Events on their way to a webhook, and the ends of attempts.

use serde::Serialize;
use serde_json::Value;

use super::event::WebhookEvent;
use crate::error::StoreError;
use crate::registry::handle::now_ms;
use crate::registry::names::random_id;

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookOutcome {
    /// The receiver took the event.
    Delivered,
    /// The receiver did not take it, and will be told of it again.
    Failed,
    /// The receiver did not take it, and will not be told of it again.
    Dropped,
}

impl WebhookOutcome {
    /// Returns the name: `delivered`, `failed` or `dropped`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Delivered, Self::Failed, Self::Dropped].into_iter().find(|outcome| outcome.name() == name)
    }
}

/// An event that a webhook is to be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedEvent {
    pub(super) number: i64,
    /// The identifier of the delivery: the same for every attempt.
    pub delivery_id: String,
    /// The kind; `None` for one that only a newer program knows.
    pub event: Option<WebhookEvent>,
    /// The name of the kind.
    pub event_name: String,
    /// The event's own members, a JSON object.
    pub data: Value,
    /// When it happened, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// The end of an attempt to tell a webhook of the first event of its queue.
#[derive(Clone, Debug)]
pub struct WebhookAttempt<'a> {
    /// The outcome. An event that was delivered or dropped leaves the queue.
    pub outcome: WebhookOutcome,
    /// The time that it took, in milliseconds.
    pub took_ms: u64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed, without secrets.
    pub reason: Option<&'a str>,
    /// When the next attempt is due if it failed, in milliseconds since the epoch.
    pub next_ms: i64,
    /// Until when the webhook is held for the next event.
    pub until_ms: i64,
}

impl QueuedEvent {
    /// Creates an event that is in no queue, to try a webhook.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn to_try(event: WebhookEvent, data: Value) -> Result<Self, StoreError> {
        let (delivery_id, at_ms) = (random_id()?, now_ms());
        Ok(Self { number: 0, delivery_id, event: Some(event), event_name: event.to_string(), data, at_ms })
    }
}
