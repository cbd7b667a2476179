//! Webhooks: creating, reading, changing and deleting them.

use serde::Serialize;

use super::event::WebhookEvent;
use super::secret::WebhookSecret;
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::{random_id, shortened};
use crate::registry::tracking_error::TrackingError;

/// The most webhooks of a registry.
const MOST_WEBHOOKS: u64 = 100;

/// The most characters of a name: MLflow's limit.
const LONGEST_NAME: usize = 63;

/// The most bytes of a URL and of a description.
const LONGEST_URL: usize = 500;
const LONGEST_DESCRIPTION: usize = 1000;

/// An address that is told of events. Its secret is not part of what is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// The identifier.
    pub webhook_id: String,
    /// A name for people. Several webhooks may have the same.
    pub name: String,
    /// A text for people.
    pub description: String,
    /// Where events are sent.
    pub url: String,
    /// The events that it is told of, in the order of their names.
    pub events: Vec<WebhookEvent>,
    /// Whether events are signed.
    pub is_signed: bool,
    /// Whether it is told of events.
    pub is_active: bool,
    /// Who made it.
    pub actor: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// The events that it is still to be told of.
    pub queued: u64,
    /// The failed attempts at the first of them.
    pub failures: u32,
    /// When the next attempt is due, in milliseconds since the epoch; 0: now.
    pub next_ms: i64,
    /// The events that it will never be told of: the queue was full, or they were given up.
    pub dropped: u64,
}

/// A webhook to be made.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// The name: letters, digits, dots, underscores and hyphens.
    pub name: String,
    /// A text for people.
    pub description: String,
    /// Where events are sent. Whoever calls has checked that it may be reached.
    pub url: String,
    /// The events that it is told of: at least one.
    pub events: Vec<WebhookEvent>,
    /// The key of the signature.
    pub secret: Option<WebhookSecret>,
    /// Whether it is told of events.
    pub is_active: bool,
}

/// Changes of a webhook. `None` changes nothing.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// The name.
    pub name: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// Where events are sent.
    pub url: Option<String>,
    /// The events.
    pub events: Option<Vec<WebhookEvent>>,
    /// The secret; `Some(None)` removes it.
    pub secret: Option<Option<WebhookSecret>>,
    /// Whether it is told of events.
    pub is_active: Option<bool>,
}

const COLUMNS: &str = "id, webhook_id, name, description, url, secret IS NOT NULL, is_active, actor, created_ms,
    updated_ms, failures, next_ms, dropped, (SELECT count(*) FROM webhook_queue WHERE webhook = webhooks.id)
    FROM webhooks";

impl Registry {
    /// Makes a webhook.
    ///
    /// # Errors
    /// [`TrackingError::BadWebhook`], [`StoreError::Random`] or [`StoreError::Database`].
    pub fn create_webhook(&self, new: &NewWebhook) -> Result<Webhook, StoreError> {
        check(Some(&new.name), Some(&new.url), Some(&new.description), Some(&new.events))?;
        let webhook_id = random_id()?;
        self.write("make a webhook", Scope::Runs, |connection| {
            if connection.one("SELECT count(*) FROM webhooks", &[])?.get::<u64>(0)? >= MOST_WEBHOOKS {
                return Err(bad(format!("a registry has at most {MOST_WEBHOOKS} webhooks")).into());
            }
            let now = now_ms();
            let secret = new.secret.as_ref().map(WebhookSecret::text);
            let insert = "INSERT INTO webhooks (webhook_id, name, description, url, secret, is_active, actor, created_ms,
                updated_ms, failures, next_ms, dropped) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 0, 0, 0) RETURNING id";
            let given =
                values![&webhook_id, &new.name, &new.description, &new.url, secret, new.is_active, &*self.actor, now];
            let id: i64 = connection.one(insert, given)?.get(0)?;
            insert_events(connection, id, &new.events)?;
            with_id(connection, &webhook_id)
        })
    }

    /// Returns a webhook.
    ///
    /// # Errors
    /// [`TrackingError::NoWebhook`] or [`StoreError::Database`].
    pub fn webhook(&self, webhook_id: &str) -> Result<Webhook, StoreError> {
        self.read("read a webhook", |connection| with_id(connection, webhook_id))
    }

    /// Returns all webhooks, oldest first. There are at most a hundred.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.read("read webhooks", |connection| {
            let rows = connection.query(&format!("SELECT {COLUMNS} ORDER BY id"), &[])?;
            rows.iter().map(|row| webhook(connection, row)).collect()
        })
    }

    /// Changes a webhook. Another URL is tried at once.
    ///
    /// # Errors
    /// [`TrackingError::NoWebhook`], [`TrackingError::BadWebhook`] or [`StoreError::Database`].
    pub fn update_webhook(&self, webhook_id: &str, change: &WebhookChange) -> Result<Webhook, StoreError> {
        let WebhookChange { name, description, url, events, secret, is_active } = change;
        check(name.as_deref(), url.as_deref(), description.as_deref(), events.as_deref())?;
        self.write("change a webhook", Scope::Runs, |connection| {
            let id = number_of(connection, webhook_id)?;
            let update = "UPDATE webhooks SET name = coalesce(?2, name), description = coalesce(?3, description),
                url = coalesce(?4, url), is_active = coalesce(CAST(?5 AS BIGINT), is_active), updated_ms = ?6
                WHERE id = ?1";
            let is_active = is_active.map(i64::from);
            let given = values![id, name.as_ref(), description.as_ref(), url.as_ref(), is_active, now_ms()];
            connection.execute(update, given)?;
            if url.is_some() {
                connection.execute("UPDATE webhooks SET failures = 0, next_ms = 0 WHERE id = ?1", values![id])?;
            }
            if let Some(secret) = secret {
                let secret = secret.as_ref().map(WebhookSecret::text);
                connection.execute("UPDATE webhooks SET secret = ?2 WHERE id = ?1", values![id, secret])?;
            }
            if let Some(events) = events {
                connection.execute("DELETE FROM webhook_events WHERE webhook = ?1", values![id])?;
                insert_events(connection, id, events)?;
            }
            with_id(connection, webhook_id)
        })
    }

    /// Deletes a webhook, what it was to be told, and its log.
    ///
    /// # Errors
    /// [`TrackingError::NoWebhook`] or [`StoreError::Database`].
    pub fn delete_webhook(&self, webhook_id: &str) -> Result<(), StoreError> {
        self.write("delete a webhook", Scope::Runs, |connection| {
            let id = number_of(connection, webhook_id)?;
            for table in ["webhook_events", "webhook_queue", "webhook_deliveries"] {
                connection.execute(&format!("DELETE FROM {table} WHERE webhook = ?1"), values![id])?;
            }
            connection.execute("DELETE FROM webhooks WHERE id = ?1", values![id])?;
            Ok(())
        })
    }

    /// Returns the key of a webhook's signature, for a request that is sent at once.
    ///
    /// # Errors
    /// [`TrackingError::NoWebhook`] or [`StoreError::Database`].
    pub fn webhook_secret(&self, webhook_id: &str) -> Result<Option<WebhookSecret>, StoreError> {
        self.read("read a webhook", |connection| {
            let id = number_of(connection, webhook_id)?;
            secret_of(connection, id)
        })
    }
}

fn bad(problem: String) -> StoreError {
    TrackingError::BadWebhook { problem }.into()
}

/// Checks what is given.
fn check(
    name: Option<&str>,
    url: Option<&str>,
    description: Option<&str>,
    events: Option<&[WebhookEvent]>,
) -> Result<(), StoreError> {
    if let Some(name) = name {
        check_name(name)?;
    }
    if url.is_some_and(|url| url.is_empty() || url.len() > LONGEST_URL || url.contains(char::is_control)) {
        return Err(bad(format!("the URL of a webhook has 1 to {LONGEST_URL} bytes without control characters")));
    }
    if description.is_some_and(|text| text.len() > LONGEST_DESCRIPTION || text.contains('\0')) {
        return Err(bad(format!("the description of a webhook has at most {LONGEST_DESCRIPTION} bytes")));
    }
    if events.is_some_and(<[_]>::is_empty) {
        return Err(bad("a webhook is told of at least one kind of event".to_owned()));
    }
    Ok(())
}

/// Checks a name by MLflow's rule.
fn check_name(name: &str) -> Result<(), StoreError> {
    let bytes = name.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let has_ends = bytes.first().zip(bytes.last()).is_some_and(|ends| {
        let (first, last) = ends;
        first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric()
    });
    if !has_ends || bytes.len() > LONGEST_NAME || !bytes.iter().all(is_inner) {
        let shown = shortened(name);
        return Err(bad(format!(
            "Webhook name '{shown}' is invalid. It must start and end with a letter or digit, be less than 63 characters \
             long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )));
    }
    Ok(())
}

fn insert_events(connection: &mut Connection, id: i64, events: &[WebhookEvent]) -> Outcome<()> {
    let insert = "INSERT INTO webhook_events (webhook, event) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    for event in events {
        connection.execute(insert, values![id, event.to_string()])?;
    }
    Ok(())
}

/// Returns the row id of a webhook.
pub(super) fn number_of(connection: &mut Connection, webhook_id: &str) -> Outcome<i64> {
    let row = connection.first("SELECT id FROM webhooks WHERE webhook_id = ?1", values![webhook_id])?;
    let row = row.ok_or_else(|| StoreError::from(TrackingError::NoWebhook { id: shortened(webhook_id) }))?;
    Ok(row.get(0)?)
}

fn with_id(connection: &mut Connection, webhook_id: &str) -> Outcome<Webhook> {
    let id = number_of(connection, webhook_id)?;
    numbered(connection, id)?
        .ok_or_else(|| StoreError::from(TrackingError::NoWebhook { id: shortened(webhook_id) }).into())
}

/// Returns the webhook with this row id, if there is one.
pub(super) fn numbered(connection: &mut Connection, id: i64) -> Outcome<Option<Webhook>> {
    let row = connection.first(&format!("SELECT {COLUMNS} WHERE id = ?1"), values![id])?;
    row.map(|row| webhook(connection, &row)).transpose()
}

/// Returns the key of the webhook with this row id.
pub(super) fn secret_of(connection: &mut Connection, id: i64) -> Outcome<Option<WebhookSecret>> {
    let row = connection.first("SELECT secret FROM webhooks WHERE id = ?1", values![id])?;
    let text: Option<String> = row.map(|row| row.get(0)).transpose()?.flatten();
    Ok(text.map(WebhookSecret::stored))
}

fn webhook(connection: &mut Connection, row: &Row) -> Outcome<Webhook> {
    let id: i64 = row.get(0)?;
    let query = "SELECT event FROM webhook_events WHERE webhook = ?1 ORDER BY event";
    let mut events = Vec::new();
    for row in connection.query(query, values![id])? {
        // A newer program may know further events.
        events.extend(row.get::<String>(0)?.parse::<WebhookEvent>().ok());
    }
    Ok(Webhook {
        webhook_id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        url: row.get(4)?,
        events,
        is_signed: row.get(5)?,
        is_active: row.get(6)?,
        actor: row.get(7)?,
        created_ms: row.get(8)?,
        updated_ms: row.get(9)?,
        failures: row.get(10)?,
        next_ms: row.get(11)?,
        dropped: row.get(12)?,
        queued: row.get(13)?,
    })
}
