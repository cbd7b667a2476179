//! The database's row ids of models, versions and logged models, looked up by name and number, and
//! the versions that aliases point to.

use crate::database::{Connection, Outcome, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::names::{CHAMPION, shortened};
use crate::registry::tracking_error::TrackingError;

/// Returns the row id of the model of this name, if there is one.
pub(super) fn find_model(connection: &mut Connection, name: &str) -> Outcome<Option<i64>> {
    let row = connection.first("SELECT id FROM registered_models WHERE name = ?1", values![name])?;
    Ok(row.map(|row| row.get(0)).transpose()?)
}

/// As [`find_model`], with whether clients register its versions.
pub(super) fn find_model_and_kind(connection: &mut Connection, name: &str) -> Outcome<Option<(i64, bool)>> {
    let row = connection.first("SELECT id, is_foreign FROM registered_models WHERE name = ?1", values![name])?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Returns the row id of the model of this name, or [`StoreError::NoModel`].
pub(super) fn model(connection: &mut Connection, name: &str) -> Outcome<i64> {
    Ok(find_model(connection, name)?.ok_or_else(|| StoreError::NoModel { model: shortened(name) })?)
}

/// Returns the row id of the model of this name, or [`StoreError::NoModel`]. The model is neither
/// deleted nor renamed until this transaction ends.
///
/// Transactions that add to a model without [`Scope::Models`](crate::database::Scope::Models) use
/// it before they change anything, so that none of them and a deletion wait for each other.
pub(super) fn kept_model(connection: &mut Connection, name: &str) -> Outcome<i64> {
    locked_model(connection, name, "FOR KEY SHARE", "pg_advisory_xact_lock_shared")
}

/// Returns the row id of the model of this name, or [`StoreError::NoModel`], for a transaction that
/// deletes it. Waits until no other transaction keeps it.
pub(super) fn model_to_delete(connection: &mut Connection, name: &str) -> Outcome<i64> {
    locked_model(connection, name, "FOR UPDATE", "pg_advisory_xact_lock")
}

fn locked_model(connection: &mut Connection, name: &str, lock: &str, line: &str) -> Outcome<i64> {
    // SQLite has one writer at a time.
    let lock = if connection.is_sqlite() { "" } else { lock };
    if !connection.is_sqlite() {
        wait_in_line(connection, name, line)?;
    }
    let row = connection.first(&format!("SELECT id FROM registered_models WHERE name = ?1 {lock}"), values![name])?;
    let row = row.ok_or_else(|| StoreError::NoModel { model: shortened(name) })?;
    Ok(row.get(0)?)
}

/// Takes an advisory lock of a model by the function `line`, until this transaction ends.
/// PostgreSQL grants locks of rows that are shared to whoever comes, so that a deletion would wait
/// for as long as others go on adding to the model. It grants advisory locks in the order of
/// asking.
fn wait_in_line(connection: &mut Connection, name: &str, line: &str) -> Outcome<()> {
    let digest = Digest::of(format!("model {name}").as_bytes()).to_hex();
    // Names that share a key wait for each other, which does no harm.
    let key = i64::from_str_radix(&digest[..15], 16).unwrap_or_default();
    Ok(connection.batch(&format!("SELECT {line}({key})"))?)
}

/// Returns the row id of a version, or [`StoreError::NoModel`] or [`StoreError::NoVersion`].
pub(super) fn version(connection: &mut Connection, name: &str, version: u32) -> Outcome<i64> {
    Ok(version_and_kind(connection, name, version)?.0)
}

/// As [`version`], with whether a client registered it.
pub(super) fn version_and_kind(connection: &mut Connection, name: &str, version: u32) -> Outcome<(i64, bool)> {
    let query = "SELECT versions.id, versions.is_foreign FROM versions
        JOIN registered_models ON registered_models.id = versions.model WHERE name = ?1 AND version = ?2";
    if let Some(row) = connection.first(query, values![name, version])? {
        return Ok((row.get(0)?, row.get(1)?));
    }
    model(connection, name)?;
    Err(StoreError::NoVersion { model: shortened(name), version }.into())
}

/// As [`version`], of a version that its pipeline registered; [`TrackingError::Foreign`] if a
/// client did, so that it can be neither run, judged, deployed nor promoted.
pub(super) fn own_version(connection: &mut Connection, name: &str, version: u32) -> Outcome<i64> {
    match version_and_kind(connection, name, version)? {
        (id, false) => Ok(id),
        _ => Err(StoreError::from(TrackingError::Foreign { model: name.to_owned(), version }).into()),
    }
}

/// Returns the row id of a logged model, or [`TrackingError::NoLoggedModel`].
pub(super) fn logged_model(connection: &mut Connection, model_id: &str) -> Outcome<i64> {
    let query = "SELECT id FROM logged_models WHERE model_id = ?1 AND deleted_ms IS NULL";
    match connection.first(query, values![model_id])? {
        Some(row) => Ok(row.get(0)?),
        None => Err(StoreError::from(TrackingError::NoLoggedModel { model_id: shortened(model_id) }).into()),
    }
}

/// Returns the row id and the number of the champion, if there is one. Versions of clients in
/// production are none.
pub(super) fn champion(connection: &mut Connection, model: &str) -> Outcome<Option<(i64, u32)>> {
    let query =
        "SELECT versions.id, version FROM versions JOIN registered_models ON registered_models.id = versions.model
        WHERE name = ?1 AND stage = 'production' AND versions.is_foreign = 0";
    let row = connection.first(query, values![model])?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Returns the version that an alias points to; `None` if there is no such model or alias.
pub(super) fn alias(connection: &mut Connection, model: &str, alias: &str) -> Outcome<Option<u32>> {
    if alias == CHAMPION
        && let Some((_, version)) = champion(connection, model)?
    {
        return Ok(Some(version));
    }
    let query = "SELECT versions.version FROM version_aliases
        JOIN versions ON versions.id = version_aliases.version
        JOIN registered_models ON registered_models.id = version_aliases.model WHERE name = ?1 AND alias = ?2";
    Ok(connection.first(query, values![model, alias])?.map(|row| row.get(0)).transpose()?)
}
