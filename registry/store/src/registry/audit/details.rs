//! The details of an entry of the audit: the state of its subject after the change, part by part.
//!
//! A part is a short text (`stage`, `verdict`, `aliases`) or the SHA-256 of rows, in the form that
//! docs/formats/audit.md describes. Each entry has all parts of its model and of its version, so
//! that the tables can be compared with the last entry about a version ([`super::verification`]).
//! The exception is the rows that a version was trained on, which take long to read: only entries
//! that change them have that part.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::database::{Connection, Outcome, Value, values};
use crate::digest::Digest;
use crate::registry::judgement::{Verdict, audit_text};

/// Parts, by name.
pub(super) type Parts = BTreeMap<String, String>;

/// The most bytes in the text of a part. A longer text is replaced by its digest.
const LONGEST: usize = 256;

/// The state of the subject of an entry.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Details {
    /// The model; `None` if no model has this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<Parts>,
    /// The version; `None` if the entry is about none, or it does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Parts>,
    /// Verdicts about the version that are new in this entry, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) verdicts: Vec<Parts>,
    /// The deployment that the entry is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment: Option<Parts>,
}

/// Returns the state that an entry with this action records, after the change that it is about.
pub(super) fn of(
    connection: &mut Connection,
    action: &str,
    model: &str,
    (version, deployment): (Option<u32>, Option<u32>),
) -> Outcome<Details> {
    let found = connection.first("SELECT id FROM registered_models WHERE name = ?1", values![model])?;
    let Some(found) = found else { return Ok(Details::default()) };
    let id: i64 = found.get(0)?;
    let mut details = Details { model: Some(of_model(connection, id)?), ..Details::default() };
    details.deployment = deployment.map(|number| of_deployment(connection, id, number)).transpose()?;
    let query = "SELECT id FROM versions WHERE model = ?1 AND version = ?2";
    let found = match version {
        Some(version) => connection.first(query, values![id, version])?,
        None => None,
    };
    if let Some(found) = found {
        let id: i64 = found.get(0)?;
        let is_new = matches!(action, "version.registered" | "version.recorded");
        // A migration to format 4 records versions before there is a table of clients' versions.
        let mut parts = of_version(connection, id, action != "version.recorded")?;
        if is_new || action == "version.rows-added" {
            parts.insert("rows".to_owned(), rows_of(connection, id)?);
        }
        details.version = Some(parts);
        details.verdicts = match action {
            "version.recorded" => of_verdicts(connection, id)?,
            "version.judged" | "version.judged-by-person" => of_verdicts(connection, id)?.pop().into_iter().collect(),
            _ => Vec::new(),
        };
    }
    Ok(details)
}

/// Returns the parts of the model with this row id.
pub(super) fn of_model(connection: &mut Connection, id: i64) -> Outcome<Parts> {
    let aliases =
        "SELECT alias, versions.version FROM version_aliases JOIN versions ON versions.id = version_aliases.version
        WHERE version_aliases.model = ?1 ORDER BY alias";
    let mut named: Vec<String> = Vec::new();
    for row in connection.query(aliases, values![id])? {
        named.push(format!("{} -> {}", row.get::<String>(0)?, row.get::<u32>(1)?));
    }
    let row = "SELECT created_ms, last_version, description FROM registered_models WHERE id = ?1";
    let row = connection.one(row, values![id])?;
    let tags = "SELECT name, value FROM registered_model_tags WHERE model = ?1 ORDER BY name";
    Ok(Parts::from([
        ("aliases".to_owned(), short(named.join(", "))),
        ("record".to_owned(), digest_of(&[plain(&row.values()[..2])])),
        ("description".to_owned(), digest_of(&[plain(&row.values()[2..])])),
        ("tags".to_owned(), digest(connection, tags, id)?),
    ]))
}

/// Returns the parts of the version with this row id, without its rows. `has_sources` says whether
/// the database has the table of clients' versions.
pub(super) fn of_version(connection: &mut Connection, id: i64, has_sources: bool) -> Outcome<Parts> {
    // One query for all that is in one row: each query is a round trip to a server.
    const COLUMNS: &str =
        "SELECT stage, verdict, judged_against, semantic_version, run_id, created_ms, actor, contents,
        parts, published, description, reason, judged_ms, stage_ms, withdrawn, followed";
    let row = if has_sources {
        &format!(
            "{COLUMNS}, source, location, run_link, model_id, foreign_versions.digest, is_foreign FROM versions
             LEFT JOIN foreign_versions ON foreign_versions.id = versions.id WHERE versions.id = ?1"
        )
    } else {
        &format!("{COLUMNS} FROM versions WHERE id = ?1")
    };
    let row = connection.one(row, values![id])?;
    let verdict = match row.get::<Option<String>>(1)? {
        None => "not judged".to_owned(),
        Some(verdict) => verdict_text(&verdict, row.get(2)?),
    };
    let mut parts = Parts::from([("stage".to_owned(), row.get(0)?), ("verdict".to_owned(), verdict)]);
    for (part, columns) in [("record", 3..10), ("description", 10..11), ("judgement", 11..13), ("life", 13..16)] {
        parts.insert(part.to_owned(), digest_of(&[plain(&row.values()[columns])]));
    }
    // Only a client's version has this part: its source and location, and the digest of its files.
    if has_sources && row.get(21)? {
        parts.insert("source".to_owned(), digest_of(&[plain(&row.values()[16..21])]));
    }
    for (part, query) in [
        (
            "artifacts",
            "SELECT role, kind, digest, bytes, needed FROM version_artifacts WHERE version = ?1 ORDER BY role",
        ),
        ("metrics", "SELECT name, value FROM version_metrics WHERE version = ?1 ORDER BY name"),
        ("published-metrics", "SELECT name, value FROM published_metrics WHERE version = ?1 ORDER BY name"),
        ("parameters", "SELECT name, value FROM version_parameters WHERE version = ?1 ORDER BY name"),
        ("tags", "SELECT name, value FROM version_tags WHERE version = ?1 ORDER BY name"),
        (
            "promotions",
            "SELECT id, rollback, retirement, destination, actor, reason, began_ms FROM promotions WHERE version = ?1 ORDER BY id",
        ),
    ] {
        parts.insert(part.to_owned(), digest(connection, query, id)?);
    }
    Ok(parts)
}

/// Returns the parts of each verdict about a version, oldest first.
pub(super) fn of_verdicts(connection: &mut Connection, version: i64) -> Outcome<Vec<Parts>> {
    let mut verdicts = Vec::new();
    let query = "SELECT id, verdict, judged_against FROM verdicts WHERE version = ?1 ORDER BY id";
    for row in connection.query(query, values![version])? {
        let id: i64 = row.get(0)?;
        let mut parts = Parts::from([("verdict".to_owned(), verdict_text(&row.get::<String>(1)?, row.get(2)?))]);
        for (part, query) in [
            (
                "record",
                "SELECT policy, is_override, reason, reasons, evaluation, run_id, actor, at_ms FROM verdicts WHERE id = ?1",
            ),
            ("metrics", "SELECT name, value FROM verdict_metrics WHERE verdict = ?1 ORDER BY name"),
            ("artifacts", "SELECT role, kind, digest, bytes FROM verdict_artifacts WHERE verdict = ?1 ORDER BY role"),
        ] {
            parts.insert(part.to_owned(), digest(connection, query, id)?);
        }
        verdicts.push(parts);
    }
    Ok(verdicts)
}

/// Returns the parts of the deployment of this number of the model with this row id: all but what a
/// server keeps to carry it out.
pub(super) fn of_deployment(connection: &mut Connection, model: i64, number: u32) -> Outcome<Parts> {
    let row = "SELECT status, number, strategy, configuration, reason, started_ms, started_by, step, since_ms, arms,
            ended_ms, ended_by, end_reason FROM deployments WHERE model = ?1 AND number = ?2";
    let row = connection.one(row, values![model, number])?;
    let mut parts = Parts::from([("number".to_owned(), number.to_string()), ("status".to_owned(), row.get(0)?)]);
    for (part, columns) in [("record", 1..7), ("step", 7..10), ("end", 10..13)] {
        parts.insert(part.to_owned(), digest_of(&[plain(&row.values()[columns])]));
    }
    Ok(parts)
}

/// Returns the digest of the rows that a version was trained on and of the key of their hashes;
/// `unknown` if they are unknown.
pub(super) fn rows_of(connection: &mut Connection, version: i64) -> Outcome<String> {
    let known = connection.first("SELECT key_columns FROM row_memories WHERE version = ?1", values![version])?;
    let Some(known) = known else { return Ok("unknown".to_owned()) };
    let key = connection.one("SELECT hash_key FROM row_hash_key", &[])?;
    let mut pieces = vec![json!([key.get::<String>(0)?, known.get::<String>(0)?])];
    let places = "SELECT kind, chunk FROM row_memory_chunks WHERE version = ?1 ORDER BY kind, chunk";
    let piece = "SELECT hashes FROM row_memory_chunks WHERE version = ?1 AND kind = ?2 AND chunk = ?3";
    // One chunk at a time: a version may have more rows than fit in memory twice.
    for place in connection.query(places, values![version])? {
        let (kind, chunk): (String, i64) = (place.get(0)?, place.get(1)?);
        let bytes: Vec<u8> = connection.one(piece, values![version, &kind, chunk])?.get(0)?;
        pieces.push(json!([kind, chunk, Digest::of(&bytes).to_hex()]));
    }
    Ok(digest_of(&pieces))
}

/// Returns the text of a verdict: `approved against version 3`.
fn verdict_text(verdict: &str, against: Option<u32>) -> String {
    // A text that is not a verdict is returned as it is, so that it differs from whatever was
    // recorded.
    verdict.parse::<Verdict>().map_or_else(|_| verdict.to_owned(), |verdict| audit_text(verdict, against))
}

fn short(text: String) -> String {
    if text.len() > LONGEST { format!("sha256:{}", Digest::of(text.as_bytes()).to_hex()) } else { text }
}

/// Returns the digest of a query's rows, for a row id.
fn digest(connection: &mut Connection, query: &str, id: i64) -> Outcome<String> {
    let rows: Vec<serde_json::Value> =
        connection.query(query, values![id])?.iter().map(|row| plain(row.values())).collect();
    Ok(digest_of(&rows))
}

fn digest_of(rows: &[serde_json::Value]) -> String {
    Digest::of(json!(rows).to_string().as_bytes()).to_hex()
}

/// Converts the values of a row to a list of JSON. A float becomes its 64 bits in hex, because
/// programs print floats in different ways.
fn plain(values: &[Value]) -> serde_json::Value {
    let value = |value: &Value| match value {
        Value::Null => json!(null),
        Value::Integer(integer) => json!(integer),
        Value::Real(real) => json!(format!("{:016x}", real.to_bits())),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(Digest::of(bytes).to_hex()),
    };
    values.iter().map(value).collect()
}
