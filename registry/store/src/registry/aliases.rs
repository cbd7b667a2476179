//! Aliases: names that each point to one version of a model, moved by compare-and-set.
//!
//! `champion` is not stored as an alias. It is the version in production, so that alias and
//! lifecycle stage cannot disagree, and it moves by promotion alone
//! ([`crate::registry::promotions`]). Of a model whose versions clients register, it is an alias
//! like others.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::Registry;
use crate::registry::names::{CHAMPION, check_name, shortened};
use crate::registry::webhooks::occurrence;
use crate::registry::{ids, models};

impl Registry {
    /// Moves an alias to version `new` (`None` removes it), if it still points to `expected`
    /// (`None`: it does not exist). Atomic.
    ///
    /// # Errors
    /// [`StoreError::AliasMoved`] if it points elsewhere, [`StoreError::ReservedAlias`] for
    /// `champion`, `latest` and `v1`, [`StoreError::NoAlias`] if there is nothing to remove,
    /// [`StoreError::BadName`], [`StoreError::NoModel`], [`StoreError::NoVersion`] or
    /// [`StoreError::Database`].
    pub fn set_alias(
        &self,
        model: &str,
        alias: &str,
        expected: Option<u32>,
        new: Option<u32>,
    ) -> Result<(), StoreError> {
        check_alias(alias)?;
        self.write("move an alias", Scope::Models, |connection| {
            let actual = pointed_to(connection, model, alias)?;
            if actual != expected {
                let (model, alias) = (model.to_owned(), alias.to_owned());
                return Err(StoreError::AliasMoved { model, alias, expected, actual }.into());
            }
            self.move_alias(connection, model, alias, actual, new)
        })
    }

    /// Moves an alias, whatever it points to now.
    ///
    /// # Errors
    /// As [`Registry::set_alias`].
    pub fn force_alias(&self, model: &str, alias: &str, new: Option<u32>) -> Result<(), StoreError> {
        check_alias(alias)?;
        self.write("move an alias", Scope::Models, |connection| {
            let actual = pointed_to(connection, model, alias)?;
            self.move_alias(connection, model, alias, actual, new)
        })
    }

    /// Returns the version that an alias points to; `None` if there is no such model or alias.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn alias(&self, model: &str, alias: &str) -> Result<Option<u32>, StoreError> {
        self.read("read an alias", |connection| ids::alias(connection, model, alias))
    }

    fn move_alias(
        &self,
        connection: &mut Connection,
        model: &str,
        alias: &str,
        actual: Option<u32>,
        new: Option<u32>,
    ) -> Outcome<()> {
        if actual.is_none() && new.is_none() {
            return Err(StoreError::NoAlias { model: model.to_owned(), alias: shortened(alias) }.into());
        }
        let id = ids::model(connection, model)?;
        if alias.eq_ignore_ascii_case(CHAMPION) {
            let is_foreign = "SELECT is_foreign FROM registered_models WHERE id = ?1";
            if !connection.one(is_foreign, values![id])?.get::<bool>(0)? {
                return Err(StoreError::ReservedAlias { alias: alias.to_owned() }.into());
            }
        }
        match new {
            Some(new) => {
                let version = ids::version(connection, model, new)?;
                let upsert = "INSERT INTO version_aliases (model, alias, version) VALUES (?1, ?2, ?3)
                    ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version";
                connection.execute(upsert, values![id, alias, version])?;
            }
            None => {
                let delete = "DELETE FROM version_aliases WHERE model = ?1 AND alias = ?2";
                connection.execute(delete, values![id, alias])?;
            }
        }
        models::touch(connection, id)?;
        let named = |version: u32| format!("{alias} -> {version}");
        let entry = NewEntry::about("alias.moved", model, new.or(actual));
        self.audit(connection, &entry.states(actual.map(named), new.map(named)))?;
        occurrence::alias_moved(connection, model, alias, new)
    }
}

fn pointed_to(connection: &mut Connection, model: &str, alias: &str) -> Outcome<Option<u32>> {
    ids::model(connection, model)?;
    ids::alias(connection, model, alias)
}

/// Checks the name of an alias. `latest` and `v1` mean versions to MLflow's clients.
fn check_alias(alias: &str) -> Result<(), StoreError> {
    check_name("alias", alias)?;
    let lower = alias.to_ascii_lowercase();
    let numbered =
        lower.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|it| it.is_ascii_digit()));
    if lower == "latest" || numbered {
        return Err(StoreError::ReservedAlias { alias: alias.to_owned() });
    }
    Ok(())
}
