//! Permissions of users on experiments and registered models.
//!
//! A permission is on the row, not on the name: it stays when an experiment or a model is renamed,
//! and goes when it is gone.

use serde::Serialize;

use super::{Permission, User, users};
use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::client_files::proxied_path;
use crate::registry::handle::Registry;
use crate::registry::names::shortened;
use crate::registry::run_id::RunId;
use crate::registry::tracking_error::TrackingError;
use crate::registry::{audit, ids};

/// Something that a user has a permission on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// The experiment of this number.
    Experiment(i64),
    /// The registered model of this name.
    Model(String),
}

/// A permission of a user on something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The user's name.
    pub user: String,
    /// The thing that the permission is on.
    pub resource: Resource,
    /// The name of the experiment or of the model.
    pub name: String,
    /// The permission.
    pub permission: Permission,
}

impl Registry {
    /// Gives a user a permission, in place of the one before.
    ///
    /// # Errors
    /// [`AccountError::NoUser`](super::AccountError::NoUser), [`StoreError::NoExperiment`],
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn grant(&self, user: &str, resource: &Resource, permission: Permission) -> Result<(), StoreError> {
        self.write("grant a permission", Scope::Models, |connection| {
            let user = users::named(connection, user)?;
            let before = explicit(connection, user.id, resource)?;
            set(connection, user.id, resource, permission)?;
            self.note(connection, resource, &user, before, Some(permission))
        })
    }

    /// Takes back what was granted, so that the default permission holds.
    ///
    /// # Errors
    /// As [`Registry::grant`].
    pub fn revoke(&self, user: &str, resource: &Resource) -> Result<(), StoreError> {
        self.write("revoke a permission", Scope::Models, |connection| {
            let user = users::named(connection, user)?;
            let before = explicit(connection, user.id, resource)?;
            match resource {
                Resource::Experiment(number) => {
                    let delete = "DELETE FROM experiment_permissions WHERE user_id = ?1 AND experiment = ?2";
                    connection.execute(delete, values![user.id, *number])?
                }
                Resource::Model(name) => {
                    let model = ids::model(connection, name)?;
                    let delete = "DELETE FROM model_permissions WHERE user_id = ?1 AND model = ?2";
                    connection.execute(delete, values![user.id, model])?
                }
            };
            self.note(connection, resource, &user, before, None)
        })
    }

    /// Adds the change of a permission on a model to the audit of the model.
    fn note(
        &self,
        connection: &mut Connection,
        resource: &Resource,
        user: &User,
        before: Option<Permission>,
        after: Option<Permission>,
    ) -> Outcome<()> {
        let Resource::Model(name) = resource else { return Ok(()) };
        let state = |permission: Permission| format!("{} {permission}", user.name);
        let entry = audit::NewEntry::about("permission.changed", name, None);
        self.audit(connection, &entry.states(before.map(state), after.map(state)))
    }

    /// Returns the permissions that were granted: of a user, or of all users.
    ///
    /// # Errors
    /// [`AccountError::NoUser`](super::AccountError::NoUser) or [`StoreError::Database`].
    pub fn grants(&self, user: Option<&str>) -> Result<Vec<Grant>, StoreError> {
        self.read("list permissions", |connection| {
            let id = user.map(|user| users::named(connection, user)).transpose()?.map(|user| user.id);
            let experiments = "SELECT users.name, experiments.id, experiments.name, permission
                FROM experiment_permissions
                JOIN users ON users.id = user_id JOIN experiments ON experiments.id = experiment
                WHERE (CAST(?1 AS BIGINT) IS NULL OR user_id = ?1) ORDER BY users.name, experiments.id";
            let models =
                "SELECT users.name, registered_models.id, registered_models.name, permission FROM model_permissions
                JOIN users ON users.id = user_id JOIN registered_models ON registered_models.id = model
                WHERE (CAST(?1 AS BIGINT) IS NULL OR user_id = ?1) ORDER BY users.name, registered_models.name";
            let mut grants = Vec::new();
            for row in connection.query(experiments, values![id])? {
                let resource = Resource::Experiment(row.get(1)?);
                grants.push(Grant { user: row.get(0)?, resource, name: row.get(2)?, permission: row.parsed(3)? });
            }
            for row in connection.query(models, values![id])? {
                let name: String = row.get(2)?;
                let resource = Resource::Model(name.clone());
                grants.push(Grant { user: row.get(0)?, resource, name, permission: row.parsed(3)? });
            }
            Ok(grants)
        })
    }

    /// Returns what a user may do with an experiment or a model. Administrators are like others
    /// here.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn permission(&self, user: &User, resource: &Resource) -> Result<Permission, StoreError> {
        self.read("look for a permission", |connection| match explicit(connection, user.id, resource)? {
            Some(permission) => Ok(permission),
            None => Ok(users::state(connection)?.default_permission),
        })
    }

    /// Returns the experiment of a run.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn experiment_of_run(&self, run: &RunId) -> Result<i64, StoreError> {
        self.read("look for a run", |connection| {
            let row = connection.first("SELECT experiment FROM runs WHERE run_id = ?1", values![run.as_str()])?;
            Ok(row.ok_or_else(|| StoreError::NoRun { id: run.to_string() })?.get(0)?)
        })
    }

    /// Returns the experiment of a logged model, even of a deleted one.
    ///
    /// # Errors
    /// [`TrackingError::NoLoggedModel`] or [`StoreError::Database`].
    pub fn experiment_of_logged_model(&self, model_id: &str) -> Result<i64, StoreError> {
        self.read("look for a logged model", |connection| {
            let query = "SELECT experiment FROM logged_models WHERE model_id = ?1";
            let row = connection.first(query, values![model_id])?;
            let missing = || StoreError::from(TrackingError::NoLoggedModel { model_id: shortened(model_id) });
            Ok(row.ok_or_else(missing)?.get(0)?)
        })
    }

    /// Returns the experiments that a user may not read.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn visible_experiments(&self, user: &User) -> Result<Visible<i64>, StoreError> {
        self.read("look for permissions", |connection| {
            let query = "SELECT experiment, permission FROM experiment_permissions WHERE user_id = ?1";
            let rows = connection.query(query, values![user.id])?;
            let granted = rows.iter().map(|row| Ok((row.get(0)?, row.parsed(1)?))).collect::<Outcome<Vec<_>>>()?;
            Ok(Visible::of(users::state(connection)?.default_permission, granted))
        })
    }

    /// Returns the registered models that a user may read, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn visible_models(&self, user: &User) -> Result<Visible<String>, StoreError> {
        self.read("look for permissions", |connection| {
            let query = "SELECT registered_models.name, permission FROM model_permissions
                JOIN registered_models ON registered_models.id = model WHERE user_id = ?1";
            let rows = connection.query(query, values![user.id])?;
            let granted = rows.iter().map(|row| Ok((row.get(0)?, row.parsed(1)?))).collect::<Outcome<Vec<_>>>()?;
            Ok(Visible::of(users::state(connection)?.default_permission, granted))
        })
    }

    /// Returns the experiments to which a path of the proxy of artifacts belongs: the one whose
    /// number it begins with, the one whose artifact location contains it most closely, and those
    /// whose locations are below it: whoever deletes a folder deletes what is in it. Whoever asks
    /// for the path needs a permission on all of them. A path of none is an administrator's, and so
    /// is the root.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiments_of_path(&self, path: &str) -> Result<Vec<i64>, StoreError> {
        if path.is_empty() {
            return Ok(Vec::new());
        }
        let first = path.split('/').next().unwrap_or_default();
        self.read("look for the experiment of a file", |connection| {
            let mut found: Vec<i64> = Vec::new();
            if let Ok(number) = first.parse::<i64>() {
                let row = connection.first("SELECT id FROM experiments WHERE id = ?1", values![number])?;
                found.extend(row.map(|row| row.get::<i64>(0)).transpose()?);
            }
            // Few experiments have a location, and of these few one with this server.
            let located = "SELECT id, artifact_location FROM experiments WHERE artifact_location IS NOT NULL";
            let (mut closest, mut below): (Option<(usize, Vec<i64>)>, Vec<i64>) = (None, Vec::new());
            for row in connection.query(located, &[])? {
                let (id, location): (i64, String) = (row.get(0)?, row.get(1)?);
                let Some(root) = proxied_path(&location) else { continue };
                if root != path && contains(path, &root) {
                    below.push(id);
                }
                if !contains(&root, path) {
                    continue;
                }
                match &mut closest {
                    Some((length, _)) if root.len() < *length => {}
                    Some((length, same)) if root.len() == *length => same.push(id),
                    _ => closest = Some((root.len(), vec![id])),
                }
            }
            found.extend(closest.into_iter().flat_map(|(_, ids)| ids).chain(below));
            Ok(found)
        })
    }
}

/// Returns whether a path is a folder or is below it.
fn contains(folder: &str, path: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The things that a user may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible<T> {
    /// These alone.
    Only(Vec<T>),
    /// All but these.
    AllBut(Vec<T>),
}

impl<T: Ord> Visible<T> {
    fn of(default: Permission, granted: Vec<(T, Permission)>) -> Self {
        let is_default = default >= Permission::Read;
        let others = granted.into_iter().filter(|(_, permission)| (*permission >= Permission::Read) != is_default);
        let mut others: Vec<T> = others.map(|(what, _)| what).collect();
        others.sort_unstable();
        if is_default { Self::AllBut(others) } else { Self::Only(others) }
    }

    /// Returns whether the user may read this.
    pub fn contains<Q: Ord + ?Sized>(&self, what: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
    {
        let is_among = |others: &[T]| others.binary_search_by(|other| other.borrow().cmp(what)).is_ok();
        match self {
            Self::Only(these) => is_among(these),
            Self::AllBut(others) => !is_among(others),
        }
    }
}

/// Returns what was granted to a user on something that exists.
fn explicit(connection: &mut Connection, user: i64, resource: &Resource) -> Outcome<Option<Permission>> {
    let row = match resource {
        Resource::Experiment(number) => {
            let query = "SELECT permission FROM experiments LEFT JOIN experiment_permissions
                ON experiment = experiments.id AND user_id = ?2 WHERE experiments.id = ?1";
            let row = connection.first(query, values![*number, user])?;
            row.ok_or_else(|| StoreError::NoExperiment { name: number.to_string() })?
        }
        Resource::Model(name) => {
            let query = "SELECT permission FROM registered_models LEFT JOIN model_permissions
                ON model = registered_models.id AND user_id = ?2 WHERE registered_models.name = ?1";
            let row = connection.first(query, values![name, user])?;
            row.ok_or_else(|| StoreError::NoModel { model: shortened(name) })?
        }
    };
    Ok(row.optional_parsed(0)?)
}

/// Sets a permission of a user on something that exists.
fn set(connection: &mut Connection, user: i64, resource: &Resource, permission: Permission) -> Outcome<()> {
    match resource {
        Resource::Experiment(number) => manage_experiment(connection, Some(user), *number, permission),
        Resource::Model(name) => {
            let model = ids::model(connection, name)?;
            manage_model(connection, Some(user), model, permission)
        }
    }
}

/// Gives the user on whose behalf an experiment is created a permission on it.
pub(in crate::registry) fn manage_experiment(
    connection: &mut Connection,
    user: Option<i64>,
    experiment: i64,
    permission: Permission,
) -> Outcome<()> {
    let Some(user) = user else { return Ok(()) };
    let upsert = "INSERT INTO experiment_permissions (user_id, experiment, permission) VALUES (?1, ?2, ?3)
        ON CONFLICT (user_id, experiment) DO UPDATE SET permission = excluded.permission";
    connection.execute(upsert, values![user, experiment, permission.name()])?;
    Ok(())
}

/// Gives the user on whose behalf a model is registered a permission on it.
pub(in crate::registry) fn manage_model(
    connection: &mut Connection,
    user: Option<i64>,
    model: i64,
    permission: Permission,
) -> Outcome<()> {
    let Some(user) = user else { return Ok(()) };
    let upsert = "INSERT INTO model_permissions (user_id, model, permission) VALUES (?1, ?2, ?3)
        ON CONFLICT (user_id, model) DO UPDATE SET permission = excluded.permission";
    connection.execute(upsert, values![user, model, permission.name()])?;
    Ok(())
}
