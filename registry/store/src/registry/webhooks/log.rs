//! The log of deliveries: what became of each attempt.

use serde::Serialize;

use super::attempt::{QueuedEvent, WebhookAttempt, WebhookOutcome};
use super::record;
use crate::database::{Connection, Outcome, Row, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};

/// The attempts of a webhook that are kept.
const KEPT: usize = 500;

/// The most characters of a reason that are kept.
const LONGEST_REASON: usize = 300;

/// An attempt to tell a webhook of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookDelivery {
    /// The identifier of the delivery: the same for every attempt.
    pub delivery_id: String,
    /// The kind of event: `model_version.created`.
    pub event: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it ended, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The time that it took, in milliseconds.
    pub took_ms: u64,
    /// Its outcome.
    pub outcome: WebhookOutcome,
    /// The status of the answer; `None`: there was none.
    pub status: Option<u32>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Registry {
    /// Returns the latest attempts to tell a webhook something, newest first. The last 500 are
    /// kept.
    ///
    /// # Errors
    /// [`TrackingError::NoWebhook`](crate::TrackingError::NoWebhook), [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn webhook_deliveries(&self, webhook_id: &str, limit: usize) -> Result<Vec<WebhookDelivery>, StoreError> {
        self.read("read deliveries of a webhook", |connection| {
            let id = record::number_of(connection, webhook_id)?;
            let query = "SELECT delivery_id, event, attempt, at_ms, took_ms, outcome, status, reason
                FROM webhook_deliveries WHERE webhook = ?1 ORDER BY id DESC LIMIT ?2";
            connection.query(query, values![id, limit])?.iter().map(delivery).collect()
        })
    }
}

/// Adds an attempt, and removes the oldest beyond those that are kept.
pub(super) fn add(
    connection: &mut Connection,
    webhook: i64,
    event: &QueuedEvent,
    attempt: &WebhookAttempt<'_>,
    number: u32,
) -> Outcome<()> {
    let insert = "INSERT INTO webhook_deliveries
        (webhook, delivery_id, event, attempt, at_ms, took_ms, outcome, status, reason)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let status = attempt.status.map(i64::from);
    let reason = attempt.reason.map(|text| text.chars().take(LONGEST_REASON).collect::<String>());
    let given = values![
        webhook,
        &event.delivery_id,
        &event.event_name,
        number,
        now_ms(),
        attempt.took_ms,
        attempt.outcome.name(),
        status,
        reason
    ];
    connection.execute(insert, given)?;
    let prune = "DELETE FROM webhook_deliveries WHERE webhook = ?1 AND id <= (SELECT id FROM webhook_deliveries
        WHERE webhook = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    connection.execute(prune, values![webhook, KEPT])?;
    Ok(())
}

fn delivery(row: &Row) -> Outcome<WebhookDelivery> {
    let name: String = row.get(5)?;
    let unknown = || crate::database::Failure::Record(format!("`{name}` is no outcome of a delivery"));
    Ok(WebhookDelivery {
        delivery_id: row.get(0)?,
        event: row.get(1)?,
        attempt: row.get(2)?,
        at_ms: row.get(3)?,
        took_ms: row.get(4)?,
        outcome: WebhookOutcome::named(&name).ok_or_else(unknown)?,
        status: row.get(6)?,
        reason: row.get(7)?,
    })
}
