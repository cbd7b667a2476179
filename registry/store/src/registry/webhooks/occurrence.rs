//! Adding events to the queues of webhooks, in the transaction of the change that they are about.

use serde_json::{Map, Value, json};

use super::event::WebhookEvent;
use crate::database::{Connection, Outcome, values};
use crate::registry::client_files::RESERVED;
use crate::registry::handle::now_ms;
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::names::random_id;

/// The most events that a webhook may still have to be told of. Further ones are dropped, and
/// counted: a receiver that is away for long does not fill the database.
const MOST_QUEUED: i64 = 20_000;

/// The most bytes of a text in an event, such as the value of a tag, and the most tags.
const LONGEST_TEXT: usize = 4096;
const MOST_TAGS: usize = 100;

/// Adds an event to the queues of the webhooks that want it. `data` returns the event's own
/// members; it is called if there is such a webhook.
fn add(
    connection: &mut Connection,
    event: WebhookEvent,
    data: impl FnOnce(&mut Connection) -> Outcome<Value>,
) -> Outcome<()> {
    let query = "SELECT webhooks.id FROM webhook_events JOIN webhooks ON webhooks.id = webhook_events.webhook
        WHERE webhook_events.event = ?1 AND webhooks.is_active = 1 ORDER BY webhooks.id";
    let wanting = connection.query(query, values![event.to_string()])?;
    if wanting.is_empty() {
        return Ok(());
    }
    let data = data(connection)?.to_string();
    for row in wanting {
        let webhook: i64 = row.get(0)?;
        let full = "SELECT id FROM webhook_queue WHERE webhook = ?1 ORDER BY id LIMIT 1 OFFSET ?2";
        if connection.first(full, values![webhook, MOST_QUEUED - 1])?.is_some() {
            connection.execute("UPDATE webhooks SET dropped = dropped + 1 WHERE id = ?1", values![webhook])?;
            continue;
        }
        let insert = "INSERT INTO webhook_queue (webhook, delivery_id, event, data, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.execute(insert, values![webhook, random_id()?, event.to_string(), &data, now_ms()])?;
    }
    Ok(())
}

/// A model was registered.
pub(in crate::registry) fn model_created(connection: &mut Connection, id: i64) -> Outcome<()> {
    add(connection, WebhookEvent::MODEL_CREATED, |connection| {
        let row = connection.one("SELECT name, description FROM registered_models WHERE id = ?1", values![id])?;
        let (name, description): (String, String) = (row.get(0)?, row.get(1)?);
        let tags = tags_of(connection, "SELECT name, value FROM registered_model_tags WHERE model = ?1", id)?;
        Ok(json!({ "name": name, "tags": tags, "description": cut(&description) }))
    })
}

/// A version was registered, by its row id.
pub(in crate::registry) fn version_created(connection: &mut Connection, id: i64) -> Outcome<()> {
    add(connection, WebhookEvent::VERSION_CREATED, |connection| {
        let query = "SELECT registered_models.name, versions.version, versions.run_id, versions.description,
                foreign_versions.source FROM versions JOIN registered_models ON registered_models.id = versions.model
            LEFT JOIN foreign_versions ON foreign_versions.id = versions.id WHERE versions.id = ?1";
        let row = connection.one(query, values![id])?;
        let (name, version): (String, u32) = (row.get(0)?, row.get(1)?);
        let (run, description): (Option<String>, String) = (row.get(2)?, row.get(3)?);
        let own = || format!("mlflow-artifacts:/{RESERVED}/models/{name}/{version}");
        let source = row.get::<Option<String>>(4)?.unwrap_or_else(own);
        let tags = tags_of(connection, "SELECT name, value FROM version_tags WHERE version = ?1", id)?;
        let description = Some(cut(&description)).filter(|text| !text.is_empty());
        Ok(json!({
            "name": name, "version": version.to_string(), "source": cut(&source), "run_id": run, "tags": tags,
            "description": description,
        }))
    })
}

/// A version got a tag; `None`: the tag was removed.
pub(in crate::registry) fn version_tagged(
    connection: &mut Connection,
    (model, version): (&str, u32),
    tag: &str,
    value: Option<&str>,
) -> Outcome<()> {
    match value {
        Some(value) => add(connection, WebhookEvent::TAG_SET, |_| {
            Ok(json!({ "name": model, "version": version.to_string(), "key": tag, "value": cut(value) }))
        }),
        None => add(connection, WebhookEvent::TAG_DELETED, |_| {
            Ok(json!({ "name": model, "version": version.to_string(), "key": tag }))
        }),
    }
}

/// An alias points to a version; `None`: it was removed.
pub(in crate::registry) fn alias_moved(
    connection: &mut Connection,
    model: &str,
    alias: &str,
    version: Option<u32>,
) -> Outcome<()> {
    match version {
        Some(version) => add(connection, WebhookEvent::ALIAS_CREATED, |_| {
            Ok(json!({ "name": model, "alias": alias, "version": version.to_string() }))
        }),
        None => add(connection, WebhookEvent::ALIAS_DELETED, |_| Ok(json!({ "name": model, "alias": alias }))),
    }
}

/// A version moved to another stage. Of a version of a pipeline, a move to production is a
/// promotion.
pub(in crate::registry) fn version_moved(
    connection: &mut Connection,
    (model, version, is_foreign): (&str, u32, bool),
    (from, to): (LifecycleStage, LifecycleStage),
    (actor, reason): (&str, &str),
) -> Outcome<()> {
    let data = json!({
        "name": model, "version": version.to_string(), "from": from.name(), "to": to.name(), "actor": actor,
        "reason": cut(reason),
    });
    if to == LifecycleStage::Production && !is_foreign {
        add(connection, WebhookEvent::PROMOTED, |_| Ok(data.clone()))?;
    }
    add(connection, WebhookEvent::TRANSITIONED, |_| Ok(data))
}

/// A run ended, by its row id and the name of its status.
pub(in crate::registry) fn run_ended(connection: &mut Connection, id: i64, status: &str) -> Outcome<()> {
    let event = match status {
        "running" => return Ok(()),
        "finished" => WebhookEvent::RUN_FINISHED,
        _ => WebhookEvent::RUN_FAILED,
    };
    add(connection, event, |connection| {
        let query =
            "SELECT run_id, name, experiment, pipeline, actor, status, started_ms, ended_ms FROM runs WHERE id = ?1";
        let row = connection.one(query, values![id])?;
        let (run_id, name): (String, String) = (row.get(0)?, row.get(1)?);
        let (experiment, pipeline, actor): (i64, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let (status, started_ms, ended_ms): (String, i64, Option<i64>) = (row.get(5)?, row.get(6)?, row.get(7)?);
        Ok(json!({
            "run_id": run_id, "run_name": cut(&name), "experiment_id": experiment.to_string(),
            "pipeline": Some(pipeline).filter(|name| !name.is_empty()), "user_id": actor,
            "status": status.to_ascii_uppercase(), "start_time": started_ms, "end_time": ended_ms,
        }))
    })
}

fn tags_of(connection: &mut Connection, query: &str, id: i64) -> Outcome<Map<String, Value>> {
    let rows = connection.query(&format!("{query} ORDER BY name LIMIT {MOST_TAGS}"), values![id])?;
    rows.iter().map(|row| Ok((row.get(0)?, Value::String(cut(&row.get::<String>(1)?))))).collect()
}

/// Returns the beginning of a long text.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_TEXT);
    if end < text.len() { format!("{}…", &text[..end]) } else { text.to_owned() }
}
