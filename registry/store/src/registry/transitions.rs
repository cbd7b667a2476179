//! Transitions of a version between the stages of its lifecycle: none, staging, production,
//! archived.
//!
//! Production is the champion. The database allows one version of a model there, and a version
//! comes there by promotion alone ([`crate::registry::promotions`]), which archives the previous
//! one in the same transaction.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::ids;
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::webhooks::occurrence;

impl Registry {
    /// Moves a version to a stage other than production. A client's version may be in production
    /// before.
    ///
    /// # Errors
    /// [`StoreError::IsChampion`] if it is in production, where another version must replace it;
    /// [`StoreError::NeedsPromotion`] if `to` is production; [`StoreError::NoModel`],
    /// [`StoreError::NoVersion`] or [`StoreError::Database`].
    pub fn transition(&self, model: &str, version: u32, to: LifecycleStage, reason: &str) -> Result<(), StoreError> {
        if to == LifecycleStage::Production {
            return Err(StoreError::NeedsPromotion { model: model.to_owned(), version });
        }
        self.write("move a version to another stage", Scope::Models, |connection| {
            let (id, is_foreign) = ids::version_and_kind(connection, model, version)?;
            if is_foreign {
                return self.move_foreign(connection, id, (model, version), to, reason);
            }
            let from = stage_of(connection, id)?;
            if from == LifecycleStage::Production {
                let action = if to == LifecycleStage::Archived { "archived" } else { "moved" };
                return Err(StoreError::IsChampion { model: model.to_owned(), version, action }.into());
            }
            if from == to {
                return Ok(());
            }
            // Unchanged by archiving or unarchiving: a rollback still went away from it.
            let withdrawn = connection.one("SELECT withdrawn FROM versions WHERE id = ?1", values![id])?.get(0)?;
            self.move_stage(connection, id, (model, version), (from, to), withdrawn, reason)
        })
    }

    /// Returns the version that a rollback would restore: of the former champions that were
    /// succeeded by another, the one that was archived last. Excludes versions that a rollback went
    /// away from, so that one rollback after another leads further back.
    ///
    /// # Errors
    /// [`StoreError::NoArchivedVersion`], [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn rollback_target(&self, model: &str) -> Result<u32, StoreError> {
        self.read("look for an archived version", |connection| rollback_target(connection, model))
    }

    /// Moves a version from one stage to another. The transaction must keep one version at most in
    /// production.
    pub(super) fn move_stage(
        &self,
        connection: &mut Connection,
        id: i64,
        (model, version): (&str, u32),
        (from, to): (LifecycleStage, LifecycleStage),
        withdrawn: bool,
        reason: &str,
    ) -> Outcome<()> {
        let update = "UPDATE versions SET stage = ?2, stage_ms = ?3, updated_ms = ?3, withdrawn = ?4 WHERE id = ?1";
        connection.execute(update, values![id, to.name(), now_ms(), withdrawn])?;
        if from == LifecycleStage::Production {
            // Not the time: two versions may be archived within a millisecond, or by hosts whose
            // clocks differ.
            let update = "UPDATE versions SET followed = (SELECT seq + 1 FROM audit_head) WHERE id = ?1";
            connection.execute(update, values![id])?;
        }
        let entry = NewEntry::about("version.transitioned", model, Some(version));
        let entry = entry.states(Some(from.name().to_owned()), Some(to.name().to_owned()));
        self.audit(connection, &entry.because(reason))?;
        occurrence::version_moved(connection, (model, version, false), (from, to), (&self.actor, reason))
    }
}

pub(super) fn stage_of(connection: &mut Connection, id: i64) -> Outcome<LifecycleStage> {
    Ok(connection.one("SELECT stage FROM versions WHERE id = ?1", values![id])?.parsed(0)?)
}

pub(super) fn rollback_target(connection: &mut Connection, model: &str) -> Outcome<u32> {
    let id = ids::model(connection, model)?;
    let latest = "SELECT version FROM versions
        WHERE model = ?1 AND stage = 'archived' AND withdrawn = 0 AND verdict = 'approved' AND followed IS NOT NULL
        ORDER BY followed DESC LIMIT 1";
    let row = connection.first(latest, values![id])?;
    Ok(row.ok_or_else(|| StoreError::NoArchivedVersion { model: model.to_owned() })?.get(0)?)
}
