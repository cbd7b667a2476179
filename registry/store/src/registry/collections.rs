//! Reservations of destinations for garbage collections, during which no promotion begins there.

use crate::database::{Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::promotion_record::{COLUMNS, Promotion, promotion};

impl Registry {
    /// Reserves a destination for a garbage collection. No promotion begins there until
    /// [`Registry::end_collection`].
    ///
    /// # Errors
    /// [`StoreError::PromotionRunning`] or [`StoreError::RetirementUnfinished`] if a promotion
    /// there is not finished, [`StoreError::CollectionRunning`], [`StoreError::Database`].
    pub fn begin_collection(&self, destination: &str) -> Result<(), StoreError> {
        let owner = self.owner()?;
        self.write("begin to collect garbage", Scope::Models, |connection| {
            let busy = format!("SELECT {COLUMNS} WHERE destination = ?1 AND state IN ('intended', 'current') LIMIT 1");
            if let Some(row) = connection.first(&busy, values![destination])? {
                let Promotion { model, id, version, destination, retirement, .. } = promotion(&row)?;
                return Err(if retirement {
                    StoreError::RetirementUnfinished { model, version, destination }
                } else {
                    StoreError::PromotionRunning { model, promotion: id }
                }
                .into());
            }
            let insert =
                "INSERT INTO collections (destination, owner, began_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            if connection.execute(insert, values![destination, owner, now_ms()])? == 0 {
                return Err(StoreError::CollectionRunning { destination: destination.to_owned() }.into());
            }
            Ok(())
        })
    }

    /// Ends the reservation of a destination for a garbage collection.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn end_collection(&self, destination: &str) -> Result<(), StoreError> {
        let owner = self.owner()?;
        self.write("end a collection of garbage", Scope::Models, |connection| {
            // Another process may have reserved it, if this one was taken for dead.
            let ended = "DELETE FROM collections WHERE destination = ?1 AND owner = ?2";
            connection.execute(ended, values![destination, owner])?;
            Ok(())
        })
    }
}
