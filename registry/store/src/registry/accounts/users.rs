//! Users: names, passwords, and who administers.
//!
//! The tracking server asks its callers who they are as soon as there is a user, and goes on asking
//! until the accounts are switched off: what is switched on by its first use cannot be forgotten.

use serde::Serialize;

use super::{AccountError, Permission, password};
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::shortened;

/// The most characters in a user's name.
const MAX_NAME: usize = 100;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its number.
    #[serde(skip)]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub is_admin: bool,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
}

/// The facts that all accounts have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountsState {
    /// Grows with every change of users, passwords and tokens, so that what was verified before is
    /// verified again.
    pub revision: i64,
    /// Whether callers must say who they are.
    pub is_required: bool,
    /// The permission on an experiment or a model for which nothing else is said.
    pub default_permission: Permission,
}

const COLUMNS: &str = "id, name, is_admin, created_ms FROM users";

impl Registry {
    /// Returns the same registry on behalf of a user: the audit attributes its changes to the user,
    /// who manages what is created through it.
    #[must_use]
    pub fn on_behalf_of(&self, user: &User) -> Self {
        let mut registry = self.acting_as(&user.name);
        registry.creator = Some(user.id);
        registry
    }

    /// Returns what all accounts have in common.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn accounts(&self) -> Result<AccountsState, StoreError> {
        self.read("read the state of accounts", state)
    }

    /// Sets what users may do with an experiment or a model for which nothing else is said.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn set_default_permission(&self, permission: Permission) -> Result<(), StoreError> {
        self.write("set the default permission", Scope::Runs, |connection| {
            connection.execute("UPDATE accounts SET default_permission = ?1", values![permission.name()])?;
            changed(connection)
        })
    }

    /// Creates a user. The first one is an administrator, and from then on servers ask their
    /// callers who they are.
    ///
    /// # Errors
    /// [`AccountError::BadUserName`], [`AccountError::BadPassword`], [`AccountError::UserExists`],
    /// [`AccountError::FirstIsNoAdmin`] or [`StoreError::Database`].
    pub fn create_user(&self, name: &str, password: &str, is_admin: bool) -> Result<User, StoreError> {
        check_name(name)?;
        let hash = password::hash(password)?;
        self.write("create a user", Scope::Runs, |connection| {
            // Before the first question, so that two who create the first user are in line.
            connection.execute("UPDATE accounts SET revision = revision + 1", &[])?;
            if !is_admin && admins(connection)?.is_empty() {
                return Err(StoreError::from(AccountError::FirstIsNoAdmin { name: name.to_owned() }).into());
            }
            let insert = "INSERT INTO users (name, password_hash, is_admin, created_ms) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT DO NOTHING RETURNING id";
            let created_ms = now_ms();
            let Some(row) = connection.first(insert, values![name, hash, i64::from(is_admin), created_ms])? else {
                return Err(StoreError::from(AccountError::UserExists { name: name.to_owned() }).into());
            };
            connection.execute("UPDATE accounts SET is_required = 1", &[])?;
            Ok(User { id: row.get(0)?, name: name.to_owned(), is_admin, created_ms })
        })
    }

    /// Returns all users, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn users(&self) -> Result<Vec<User>, StoreError> {
        self.read("list users", |connection| {
            connection.query(&format!("SELECT {COLUMNS} ORDER BY name"), &[])?.iter().map(user).collect()
        })
    }

    /// Returns the user of this name.
    ///
    /// # Errors
    /// [`AccountError::NoUser`] or [`StoreError::Database`].
    pub fn user(&self, name: &str) -> Result<User, StoreError> {
        self.read("read a user", |connection| named(connection, name))
    }

    /// Deletes a user with its tokens and permissions. What it logged stays.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::LastAdmin`] or [`StoreError::Database`].
    pub fn delete_user(&self, name: &str) -> Result<(), StoreError> {
        self.write("delete a user", Scope::Runs, |connection| {
            changed(connection)?;
            let user = named(connection, name)?;
            check_not_last(connection, &user)?;
            connection.execute("DELETE FROM users WHERE id = ?1", values![user.id])?;
            Ok(())
        })
    }

    /// Deletes all users with their tokens and permissions. Servers that are started from then on
    /// ask nobody who they are; those that run go on asking.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn switch_accounts_off(&self) -> Result<(), StoreError> {
        self.write("switch accounts off", Scope::Runs, |connection| {
            connection.execute("DELETE FROM users", &[])?;
            connection.execute("UPDATE accounts SET is_required = 0", &[])?;
            changed(connection)
        })
    }

    /// Gives a user another password. Its sessions in browsers end; its tokens stay.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::BadPassword`] or [`StoreError::Database`].
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), StoreError> {
        let hash = password::hash(password)?;
        self.write("change a password", Scope::Runs, |connection| {
            changed(connection)?;
            let user = named(connection, name)?;
            connection.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", values![user.id, hash])?;
            connection.execute("DELETE FROM tokens WHERE user_id = ?1 AND is_session = 1", values![user.id])?;
            Ok(())
        })
    }

    /// Makes a user an administrator, or ends that.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::LastAdmin`] or [`StoreError::Database`].
    pub fn set_admin(&self, name: &str, is_admin: bool) -> Result<(), StoreError> {
        self.write("change who administers", Scope::Runs, |connection| {
            changed(connection)?;
            let user = named(connection, name)?;
            if !is_admin {
                check_not_last(connection, &user)?;
            }
            connection
                .execute("UPDATE users SET is_admin = ?2 WHERE id = ?1", values![user.id, i64::from(is_admin)])?;
            Ok(())
        })
    }

    /// Returns the user with this name and password, if there is one. Takes as long if there is no
    /// such user: some 20 ms of a core, and 19 MiB.
    ///
    /// # Errors
    /// [`AccountError::Hash`] or [`StoreError::Database`].
    pub fn user_with_password(&self, name: &str, password: &str) -> Result<Option<User>, StoreError> {
        let found = self.read("read a user", |connection| {
            let query =
                format!("SELECT {}, password_hash FROM users WHERE name = ?1", "id, name, is_admin, created_ms");
            let row = connection.first(&query, values![name])?;
            row.map(|row| Ok((user(&row)?, row.get::<String>(4)?))).transpose()
        })?;
        let is_right = password::matches(password, found.as_ref().map(|(_, hash)| hash.as_str()))?;
        Ok(found.filter(|_| is_right).map(|(user, _)| user))
    }
}

pub(super) fn state(connection: &mut Connection) -> Outcome<AccountsState> {
    let row = connection.one("SELECT revision, is_required, default_permission FROM accounts", &[])?;
    Ok(AccountsState { revision: row.get(0)?, is_required: row.get(1)?, default_permission: row.parsed(2)? })
}

/// Notes a change, so that servers verify again what they verified before.
pub(super) fn changed(connection: &mut Connection) -> Outcome<()> {
    connection.execute("UPDATE accounts SET revision = revision + 1", &[])?;
    Ok(())
}

pub(super) fn named(connection: &mut Connection, name: &str) -> Outcome<User> {
    let row = connection.first(&format!("SELECT {COLUMNS} WHERE name = ?1"), values![name])?;
    let row = row.ok_or_else(|| StoreError::from(AccountError::NoUser { name: shortened(name) }))?;
    user(&row)
}

pub(super) fn user(row: &Row) -> Outcome<User> {
    Ok(User { id: row.get(0)?, name: row.get(1)?, is_admin: row.get(2)?, created_ms: row.get(3)? })
}

fn admins(connection: &mut Connection) -> Outcome<Vec<i64>> {
    let rows = connection.query("SELECT id FROM users WHERE is_admin = 1", &[])?;
    rows.iter().map(|row| Ok(row.get(0)?)).collect()
}

fn check_not_last(connection: &mut Connection, user: &User) -> Outcome<()> {
    if user.is_admin && admins(connection)?.len() == 1 {
        return Err(StoreError::from(AccountError::LastAdmin { name: user.name.clone() }).into());
    }
    Ok(())
}

/// A name stands before a `:` in a header, in paths, and in messages.
fn check_name(name: &str) -> Result<(), StoreError> {
    let is_allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '@' | '+');
    if (1..=MAX_NAME).contains(&name.chars().count()) && name.chars().all(is_allowed) && !name.starts_with('-') {
        return Ok(());
    }
    Err(AccountError::BadUserName { name: shortened(name) }.into())
}
