//! Versions that a server refused to serve: they did not load, or failed when they were tried.

use crate::database::{Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::Registry;
use crate::registry::ids;

/// The action of the audit's entry.
const REFUSED: &str = "version.refused-by-serving";

impl Registry {
    /// Records in the audit that a server refused to serve a version, and why. Writes nothing if
    /// the same actor gave the same reason before, and nothing but refusals happened to the version
    /// since: a server that tries again refuses again. Returns whether it wrote.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::ReadOnly`] or
    /// [`StoreError::Database`].
    pub fn record_refusal(&self, model: &str, version: u32, reason: &str) -> Result<bool, StoreError> {
        self.write("record a refusal", Scope::Models, |connection| {
            ids::version(connection, model, version)?;
            let told =
                "SELECT EXISTS (SELECT 1 FROM audit WHERE model = ?1 AND version = ?2 AND action = ?3 AND actor = ?4
                AND reason = ?5 AND seq > (SELECT coalesce(max(seq), 0) FROM audit
                    WHERE model = ?1 AND version = ?2 AND action <> ?3))";
            if connection.one(told, values![model, version, REFUSED, &*self.actor, reason])?.get(0)? {
                return Ok(false);
            }
            self.audit(connection, &NewEntry::about(REFUSED, model, Some(version)).because(reason))?;
            Ok(true)
        })
    }
}
