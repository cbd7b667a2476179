//! Deletion of models and versions, with all that belongs to them.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::Registry;
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::{deployments, ids, models, outcomes, row_memory};

impl Registry {
    /// Deletes a model with its versions. Their history stays in the audit; their artifacts become
    /// garbage.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::IsChampion`] while a version is in production,
    /// [`StoreError::PromotionRunning`], [`StoreError::Deployment`] while a deployment is active,
    /// or [`StoreError::Database`].
    pub fn delete_model(&self, name: &str, reason: &str) -> Result<(), StoreError> {
        self.write("delete a model", Scope::Models, |connection| {
            // Servers that post outcomes or counters meanwhile were faster, or find no model.
            let id = ids::model_to_delete(connection, name)?;
            let query = "SELECT version FROM versions WHERE model = ?1 AND stage = 'production' AND is_foreign = 0";
            if let Some(row) = connection.first(query, values![id])? {
                let (model, version) = (name.to_owned(), row.get(0)?);
                return Err(StoreError::IsChampion { model, version, action: "deleted" }.into());
            }
            deployments::check_not_deployed(connection, name, None)?;
            let rows = connection.query("SELECT id FROM versions WHERE model = ?1", values![id])?;
            for row in rows {
                remove_version(connection, row.get(0)?, name)?;
            }
            deployments::remove_all(connection, id)?;
            outcomes::remove_all(connection, id)?;
            connection.execute("DELETE FROM registered_model_tags WHERE model = ?1", values![id])?;
            connection.execute("DELETE FROM registered_models WHERE id = ?1", values![id])?;
            self.audit(connection, &NewEntry::about("model.deleted", name, None).because(reason))
        })
    }

    /// Deletes a version. Its number is not used again; its history stays in the audit, and the
    /// outcomes of its predictions until they are removed.
    ///
    /// # Errors
    /// [`StoreError::IsChampion`] while it is in production, [`StoreError::PromotionRunning`],
    /// [`StoreError::Deployment`] while it takes part in an active deployment,
    /// [`StoreError::NoVersion`], [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn delete_version(&self, model: &str, version: u32, reason: &str) -> Result<(), StoreError> {
        self.write("delete a model version", Scope::Models, |connection| {
            let (id, is_foreign) = ids::version_and_kind(connection, model, version)?;
            let stage: LifecycleStage =
                connection.one("SELECT stage FROM versions WHERE id = ?1", values![id])?.parsed(0)?;
            if stage == LifecycleStage::Production && !is_foreign {
                let model = model.to_owned();
                return Err(StoreError::IsChampion { model, version, action: "deleted" }.into());
            }
            deployments::check_not_deployed(connection, model, Some(version))?;
            let model_id: i64 = connection.one("SELECT model FROM versions WHERE id = ?1", values![id])?.get(0)?;
            remove_version(connection, id, model)?;
            models::touch(connection, model_id)?;
            let entry = NewEntry::about("version.deleted", model, Some(version));
            self.audit(connection, &entry.states(Some(stage.name().to_owned()), None).because(reason))
        })
    }
}

/// Removes a version with all that belongs to it. Refuses to while a promotion of it is in
/// progress, or while a destination still points to it after its retirement.
fn remove_version(connection: &mut Connection, id: i64, model: &str) -> Outcome<()> {
    let running = "SELECT id FROM promotions WHERE version = ?1 AND state = 'intended'";
    if let Some(row) = connection.first(running, values![id])? {
        return Err(StoreError::PromotionRunning { model: model.to_owned(), promotion: row.get(0)? }.into());
    }
    // Without this record, nothing would remove the pointer.
    let retiring =
        "SELECT versions.version, destination FROM promotions JOIN versions ON versions.id = promotions.version
        WHERE versions.id = ?1 AND state = 'current' AND retirement = 1";
    if let Some(row) = connection.first(retiring, values![id])? {
        let (model, version, destination) = (model.to_owned(), row.get(0)?, row.get(1)?);
        return Err(StoreError::RetirementUnfinished { model, version, destination }.into());
    }
    connection.execute("UPDATE promotions SET expected = NULL WHERE expected = ?1", values![id])?;
    remove_verdicts(connection, id)?;
    row_memory::remove(connection, id)?;
    for table in [
        "version_artifacts",
        "version_metrics",
        "published_metrics",
        "version_parameters",
        "version_tags",
        "version_aliases",
        "promotions",
    ] {
        connection.execute(&format!("DELETE FROM {table} WHERE version = ?1"), values![id])?;
    }
    connection.execute("DELETE FROM foreign_versions WHERE id = ?1", values![id])?;
    connection.execute("DELETE FROM versions WHERE id = ?1", values![id])?;
    Ok(())
}

/// Removes the verdicts about a version.
fn remove_verdicts(connection: &mut Connection, version: i64) -> Outcome<()> {
    for table in ["verdict_metrics", "verdict_artifacts"] {
        let delete = format!("DELETE FROM {table} WHERE verdict IN (SELECT id FROM verdicts WHERE version = ?1)");
        connection.execute(&delete, values![version])?;
    }
    connection.execute("DELETE FROM verdicts WHERE version = ?1", values![version])?;
    Ok(())
}
