//! Retirement: a champion leaves production without a successor.
//!
//! As in promotions, the database is the truth. It first records the retirement, and for each
//! destination that the champion was promoted to, that its pointer must be removed
//! ([`Registry::unfinished_promotions`]). If the process that retires the model dies, whoever next
//! works with that destination removes the pointer.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::names::random_id;
use crate::registry::promotion_record::Promotion;
use crate::registry::promotions;
use crate::registry::{ids, models};

impl Registry {
    /// Takes the champion of a model out of production and archives it. A rollback restores it.
    /// Returns the destinations whose pointers must be removed, as promotions that
    /// [`Registry::finish_promotion`] finishes; of a model that is already retired, those that
    /// remain. Atomic.
    ///
    /// # Errors
    /// [`StoreError::NothingToRetire`], [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn retire_model(&self, model: &str, reason: &str) -> Result<Vec<Promotion>, StoreError> {
        let owner = self.owner()?;
        self.write("retire a model", Scope::Models, |connection| {
            let id = ids::model(connection, model)?;
            if let Some((champion, version)) = ids::champion(connection, model)? {
                let stages = (LifecycleStage::Production, LifecycleStage::Archived);
                self.move_stage(connection, champion, (model, version), stages, false, reason)?;
                models::touch(connection, id)?;
                self.intend_removals(connection, champion, &owner, reason)?;
                let entry = NewEntry::about("model.retired", model, Some(version));
                self.audit(connection, &entry.because(reason))?;
                return promotions::retirements_of(connection, model);
            }
            let left = promotions::retirements_of(connection, model)?;
            if left.is_empty() { Err(StoreError::NothingToRetire { model: model.to_owned() }.into()) } else { Ok(left) }
        })
    }

    /// Records which pointers to a version must be removed.
    fn intend_removals(&self, connection: &mut Connection, version: i64, owner: &str, reason: &str) -> Outcome<()> {
        let promoted = "SELECT DISTINCT destination FROM promotions
            WHERE version = ?1 AND state IN ('current', 'finished') AND retirement = 0 AND destination <> '' ORDER BY destination";
        for row in connection.query(promoted, values![version])? {
            let destination: String = row.get(0)?;
            connection.execute(
                "INSERT INTO promotions (id, model, version, expected, rollback, retirement, destination, state, owner, actor,
                     reason, began_ms, completed)
                 VALUES (?1, (SELECT model FROM versions WHERE id = ?2), ?2, ?2, 0, 1, ?3, 'current', ?4, ?5, ?6, ?7,
                     (SELECT seq FROM audit_head))",
                values![random_id()?, version, destination, owner, &*self.actor, reason, now_ms()],
            )?;
        }
        Ok(())
    }
}
