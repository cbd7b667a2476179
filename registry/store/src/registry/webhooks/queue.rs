//! Taking a webhook, to send the events of its queue in order.
//!
//! A process holds a webhook until a time, so that one that died holds it for less than a minute.
//! A process whose hold has passed to another records nothing more.

use super::attempt::{QueuedEvent, WebhookAttempt, WebhookOutcome};
use super::log;
use super::record::{self, Webhook};
use super::secret::WebhookSecret;
use crate::database::{Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::random_id;

/// The longest time for which a webhook is held, in milliseconds. A hold that ends later was set by
/// a clock that was wrong, and does not count.
const LONGEST_HOLD_MS: i64 = 10 * 60_000;

/// The longest time until an attempt, in milliseconds: pauses end at ten minutes. One that is later
/// was set by a clock that was wrong.
const LONGEST_PAUSE_MS: i64 = 11 * 60_000;

/// A webhook that this process holds.
#[derive(Debug)]
pub struct HeldWebhook {
    number: i64,
    holder: String,
    /// The webhook, as it was when it was taken.
    pub webhook: Webhook,
    /// The key of its signature.
    pub secret: Option<WebhookSecret>,
}

impl Registry {
    /// Returns the numbers of webhooks that are due: active ones with events, which no process
    /// holds and whose next attempt is not later.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn due_webhooks(&self) -> Result<Vec<i64>, StoreError> {
        self.read("look for events of webhooks", |connection| {
            let now = now_ms();
            let query = "SELECT id FROM webhooks WHERE is_active = 1
                AND (held_until_ms IS NULL OR held_until_ms < ?1 OR held_until_ms > ?2)
                AND (next_ms <= ?1 OR next_ms > ?3)
                AND EXISTS (SELECT 1 FROM webhook_queue WHERE webhook = webhooks.id) ORDER BY next_ms, id";
            let rows = connection.query(query, values![now, now + LONGEST_HOLD_MS, now + LONGEST_PAUSE_MS])?;
            rows.iter().map(|row| Ok(row.get(0)?)).collect()
        })
    }

    /// Takes a webhook until a time, in milliseconds since the epoch, for ten minutes at most.
    /// `None` if another process holds it, or it is gone.
    ///
    /// # Errors
    /// [`StoreError::Random`] or [`StoreError::Database`].
    pub fn hold_webhook(&self, number: i64, until_ms: i64) -> Result<Option<HeldWebhook>, StoreError> {
        let holder = random_id()?;
        self.write("take a webhook", Scope::Runs, |connection| {
            let now = now_ms();
            let longest = now + LONGEST_HOLD_MS;
            let update = "UPDATE webhooks SET holder = ?2, held_until_ms = ?3 WHERE id = ?1 AND is_active = 1
                AND (held_until_ms IS NULL OR held_until_ms < ?4 OR held_until_ms > ?5)";
            if connection.execute(update, values![number, &holder, until_ms.min(longest), now, longest])? == 0 {
                return Ok(None);
            }
            let Some(webhook) = record::numbered(connection, number)? else { return Ok(None) };
            Ok(Some(HeldWebhook { number, holder, webhook, secret: record::secret_of(connection, number)? }))
        })
    }

    /// Returns the first events of a webhook's queue, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn events_of_webhook(&self, held: &HeldWebhook, limit: usize) -> Result<Vec<QueuedEvent>, StoreError> {
        self.read("read events of a webhook", |connection| {
            let query = "SELECT id, delivery_id, event, data, at_ms FROM webhook_queue WHERE webhook = ?1
                ORDER BY id LIMIT ?2";
            let rows = connection.query(query, values![held.number, limit])?;
            rows.iter()
                .map(|row| {
                    let event_name: String = row.get(2)?;
                    Ok(QueuedEvent {
                        number: row.get(0)?,
                        delivery_id: row.get(1)?,
                        event: event_name.parse().ok(),
                        event_name,
                        data: row.json(3)?,
                        at_ms: row.get(4)?,
                    })
                })
                .collect()
        })
    }

    /// Records an attempt to tell a webhook of the first event of its queue, and holds the webhook
    /// for longer. Returns false if another process holds it by now, or it is gone or changed;
    /// whoever calls then tells it nothing more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn record_webhook_attempt(
        &self,
        held: &HeldWebhook,
        event: &QueuedEvent,
        attempt: &WebhookAttempt<'_>,
    ) -> Result<bool, StoreError> {
        let is_over = attempt.outcome != WebhookOutcome::Failed;
        self.write("record an attempt of a webhook", Scope::Runs, |connection| {
            let failures = "SELECT failures, updated_ms FROM webhooks WHERE id = ?1 AND holder = ?2";
            let Some(row) = connection.first(failures, values![held.number, &held.holder])? else {
                // What was taken was taken, whoever holds the webhook now.
                if is_over {
                    remove(connection, held.number, event)?;
                }
                return Ok(false);
            };
            let (failures, updated_ms): (u32, i64) = (row.get(0)?, row.get(1)?);
            let update = "UPDATE webhooks SET failures = ?3, next_ms = ?4, held_until_ms = ?5, dropped = dropped + ?6
                WHERE id = ?1 AND holder = ?2";
            let (failed, next_ms) = if is_over { (0, 0) } else { (failures.saturating_add(1), attempt.next_ms) };
            let dropped = i64::from(attempt.outcome == WebhookOutcome::Dropped);
            let given = values![held.number, &held.holder, failed, next_ms, attempt.until_ms, dropped];
            connection.execute(update, given)?;
            log::add(connection, held.number, event, attempt, failures.saturating_add(1))?;
            if is_over {
                remove(connection, held.number, event)?;
            }
            Ok(updated_ms == held.webhook.updated_ms)
        })
    }

    /// Lets another process take a webhook.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn release_webhook(&self, held: HeldWebhook) -> Result<(), StoreError> {
        let update = "UPDATE webhooks SET holder = NULL, held_until_ms = NULL WHERE id = ?1 AND holder = ?2";
        self.write("let go of a webhook", Scope::Runs, |connection| {
            connection.execute(update, values![held.number, held.holder])?;
            Ok(())
        })
    }

    /// Removes events of webhooks that were deleted while their events were added.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn collect_webhook_events(&self) -> Result<(), StoreError> {
        self.write("remove events of deleted webhooks", Scope::Runs, |connection| {
            for table in ["webhook_queue", "webhook_deliveries"] {
                connection.execute(
                    &format!("DELETE FROM {table} WHERE webhook NOT IN (SELECT id FROM webhooks)"),
                    values![],
                )?;
            }
            Ok(())
        })
    }
}

/// Removes an event from a queue. By its delivery too, since SQLite gives numbers again.
fn remove(connection: &mut crate::database::Connection, webhook: i64, event: &QueuedEvent) -> Outcome<()> {
    let delete = "DELETE FROM webhook_queue WHERE id = ?1 AND webhook = ?2 AND delivery_id = ?3";
    connection.execute(delete, values![event.number, webhook, &event.delivery_id])?;
    Ok(())
}
