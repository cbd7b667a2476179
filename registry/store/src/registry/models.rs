//! Registered models.

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::ids;
use crate::registry::names::{CHAMPION, check_client_name, check_key, check_name, shortened};
use crate::registry::webhooks::occurrence;

/// A model: a name for a series of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// A description for people.
    pub description: String,
    /// When it was registered, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it, or one of its versions, last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Its newest version; 0 if it has none yet.
    pub latest_version: u32,
    /// The version in production.
    pub champion: Option<u32>,
    /// Its aliases and their versions, by name, including `champion`.
    pub aliases: Vec<(String, u32)>,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
    /// Whether clients register its versions, which Stagewright neither runs nor promotes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_foreign: bool,
}

/// The facts about a model that is registered before it has a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewModel {
    /// A description for people.
    pub description: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

const COLUMNS: &str = "registered_models.id, name, registered_models.description, registered_models.created_ms, \
     registered_models.updated_ms, last_version, champion.version, registered_models.is_foreign \
     FROM registered_models LEFT JOIN versions champion \
     ON champion.model = registered_models.id AND champion.stage = 'production' AND champion.is_foreign = 0";

impl Registry {
    /// Registers a model without versions.
    ///
    /// # Errors
    /// [`StoreError::ModelExists`], [`StoreError::BadName`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn create_model(&self, name: &str, model: &NewModel) -> Result<(), StoreError> {
        check_name("model", name)?;
        for (tag, value) in &model.tags {
            check_key("tag", tag, value)?;
        }
        self.write("register a model", Scope::Models, |connection| {
            insert_new(self, connection, name, model, false).map(drop)
        })
    }

    /// Returns all models, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn models(&self) -> Result<Vec<Model>, StoreError> {
        self.read("list models", |connection| {
            let rows = connection.query(&format!("SELECT {COLUMNS} ORDER BY name"), &[])?;
            rows.iter().map(|row| complete(connection, row)).collect()
        })
    }

    /// Returns one model.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn model(&self, name: &str) -> Result<Model, StoreError> {
        self.read("read a model", |connection| {
            let row = connection.first(&format!("SELECT {COLUMNS} WHERE name = ?1"), values![name])?;
            let row = row.ok_or_else(|| StoreError::NoModel { model: shortened(name) })?;
            complete(connection, &row)
        })
    }

    /// Replaces the description of a model.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn describe_model(&self, name: &str, description: &str) -> Result<(), StoreError> {
        self.write("describe a model", Scope::Models, |connection| {
            let id = ids::model(connection, name)?;
            let update = "UPDATE registered_models SET description = ?2, updated_ms = ?3 WHERE id = ?1";
            connection.execute(update, values![id, description, now_ms()])?;
            self.audit(connection, &NewEntry::about("model.described", name, None))
        })
    }

    /// Renames a model, with its versions. Earlier entries of the audit keep the old name.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::ModelExists`], [`StoreError::BadName`] or
    /// [`StoreError::Database`].
    pub fn rename_model(&self, name: &str, new: &str) -> Result<(), StoreError> {
        self.write("rename a model", Scope::Models, |connection| {
            let id = ids::model(connection, name)?;
            let is_foreign = "SELECT is_foreign FROM registered_models WHERE id = ?1";
            if connection.one(is_foreign, values![id])?.get(0)? {
                check_client_name(new)?;
            } else {
                check_name("model", new)?;
            }
            if name != new && ids::find_model(connection, new)?.is_some() {
                return Err(StoreError::ModelExists { model: new.to_owned() }.into());
            }
            connection.execute(
                "UPDATE registered_models SET name = ?2, updated_ms = ?3 WHERE id = ?1",
                values![id, new, now_ms()],
            )?;
            for (about, old, renamed) in [(name, None, Some(new)), (new, Some(name), None)] {
                let entry = NewEntry::about("model.renamed", about, None)
                    .states(old.map(str::to_owned), renamed.map(str::to_owned));
                self.audit(connection, &entry)?;
            }
            Ok(())
        })
    }

    /// Sets a tag of a model; `None` removes it.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoTag`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn tag_model(&self, name: &str, tag: &str, value: Option<&str>) -> Result<(), StoreError> {
        check_key("tag", tag, value.unwrap_or_default())?;
        self.write("tag a model", Scope::Models, |connection| {
            let id = ids::model(connection, name)?;
            let query = "SELECT value FROM registered_model_tags WHERE model = ?1 AND name = ?2";
            let old: Option<String> = connection.first(query, values![id, tag])?.map(|row| row.get(0)).transpose()?;
            match (value, &old) {
                (Some(value), _) => set_tag(connection, id, tag, value)?,
                (None, Some(_)) => {
                    let delete = "DELETE FROM registered_model_tags WHERE model = ?1 AND name = ?2";
                    connection.execute(delete, values![id, tag])?;
                }
                (None, None) => return Err(StoreError::NoTag { name: shortened(tag) }.into()),
            }
            touch(connection, id)?;
            let named = |value: &str| format!("{tag} = {value}");
            let entry = NewEntry::about("model.tagged", name, None).states(old.as_deref().map(named), value.map(named));
            self.audit(connection, &entry)
        })
    }
}

/// Returns the model with this row id.
pub(super) fn numbered(connection: &mut Connection, number: i64) -> Outcome<Model> {
    let row = connection.one(&format!("SELECT {COLUMNS} WHERE registered_models.id = ?1"), values![number])?;
    complete(connection, &row)
}

/// Registers a model that does not exist yet. Returns its row id.
pub(super) fn create(registry: &Registry, connection: &mut Connection, name: &str) -> Outcome<i64> {
    let id = insert(connection, name)?;
    registry.audit(connection, &NewEntry::about("model.registered", name, None))?;
    occurrence::model_created(connection, id)?;
    Ok(id)
}

/// Registers a model by hand. Returns its row id.
pub(super) fn insert_new(
    registry: &Registry,
    connection: &mut Connection,
    name: &str,
    model: &NewModel,
    is_foreign: bool,
) -> Outcome<i64> {
    if ids::find_model(connection, name)?.is_some() {
        return Err(StoreError::ModelExists { model: name.to_owned() }.into());
    }
    let id = insert(connection, name)?;
    let update = "UPDATE registered_models SET description = ?2, is_foreign = ?3 WHERE id = ?1";
    connection.execute(update, values![id, &model.description, is_foreign])?;
    for (tag, value) in &model.tags {
        set_tag(connection, id, tag, value)?;
    }
    registry.audit(connection, &NewEntry::about("model.registered", name, None))?;
    occurrence::model_created(connection, id)?;
    Ok(id)
}

fn insert(connection: &mut Connection, name: &str) -> Outcome<i64> {
    // The version numbers of a deleted model of this name are not used again: a production location
    // may still have them.
    let taken = "SELECT coalesce(max(version), 0) FROM audit WHERE model = ?1";
    let taken: u32 = connection.one(taken, values![name])?.get(0)?;
    let insert = "INSERT INTO registered_models (name, created_ms, updated_ms, last_version) VALUES (?1, ?2, ?2, ?3)
        RETURNING id";
    Ok(connection.one(insert, values![name, now_ms(), taken])?.get(0)?)
}

/// Sets the time of a model's last change to now.
pub(super) fn touch(connection: &mut Connection, model: i64) -> Outcome<()> {
    connection.execute("UPDATE registered_models SET updated_ms = ?2 WHERE id = ?1", values![model, now_ms()])?;
    Ok(())
}

fn set_tag(connection: &mut Connection, model: i64, name: &str, value: &str) -> Outcome<()> {
    let upsert = "INSERT INTO registered_model_tags (model, name, value) VALUES (?1, ?2, ?3)
        ON CONFLICT (model, name) DO UPDATE SET value = excluded.value";
    connection.execute(upsert, values![model, name, value])?;
    Ok(())
}

fn complete(connection: &mut Connection, row: &Row) -> Outcome<Model> {
    let (id, champion): (i64, Option<u32>) = (row.get(0)?, row.get(6)?);
    let free =
        "SELECT alias, versions.version FROM version_aliases JOIN versions ON versions.id = version_aliases.version
        WHERE version_aliases.model = ?1 ORDER BY alias";
    let mut aliases: Vec<(String, u32)> = Vec::new();
    for row in connection.query(free, values![id])? {
        aliases.push((row.get(0)?, row.get(1)?));
    }
    aliases.extend(champion.map(|version| (CHAMPION.to_owned(), version)));
    aliases.sort();
    let tags = "SELECT name, value FROM registered_model_tags WHERE model = ?1 ORDER BY name";
    let tags = connection.query(tags, values![id])?;
    Ok(Model {
        name: row.get(1)?,
        description: row.get(2)?,
        created_ms: row.get(3)?,
        updated_ms: row.get(4)?,
        latest_version: row.get(5)?,
        champion,
        aliases,
        tags: tags.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Outcome<_>>()?,
        is_foreign: row.get(7)?,
    })
}
