//! Opening a registry: its tables are brought up to date, and what dead processes left is settled.

use std::path::PathBuf;

use crate::database::{Database, Scope, is_url, without_password};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::names::shortened;
use crate::registry::{migrations, promotions, runs};

impl Registry {
    /// Opens the SQLite database at `path`, which is created if missing. Marks the runs of dead
    /// processes as killed and undoes their unfinished promotions. Otherwise, opening a database of
    /// today's format writes nothing.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], [`StoreError::Database`] or [`StoreError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::over(Database::open_file(path.into())?)
    }

    /// Opens a PostgreSQL database by its URL, `postgresql://USER@HOST/DATABASE`, as
    /// [`Registry::open`] does a file.
    ///
    /// # Errors
    /// As [`Registry::open`]; [`StoreError::BadRegistryUrl`] for another URL, or in a build without
    /// PostgreSQL.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, None)
    }

    /// As [`Registry::connect`], with the password to use if the URL has none. Without either, the
    /// variable `PGPASSWORD` gives it.
    ///
    /// # Errors
    /// As [`Registry::connect`].
    pub fn connect_with(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        if !is_url(url) {
            return Err(StoreError::BadRegistryUrl {
                url: shortened(&without_password(url)),
                built: cfg!(feature = "postgres"),
            });
        }
        #[cfg(feature = "postgres")]
        return Self::over(Database::open_server(url, password)?);
        #[cfg(not(feature = "postgres"))]
        let _ = password;
        #[cfg(not(feature = "postgres"))]
        Err(StoreError::BadRegistryUrl { url: "postgresql:".into(), built: false })
    }

    fn over(database: Database) -> Result<Self, StoreError> {
        migrations::bring_up_to_date(&database)?;
        let registry = Self::new(database);
        registry.settle_abandoned()?;
        Ok(registry)
    }

    /// Ends what processes that have died left unfinished: runs, promotions, collections.
    fn settle_abandoned(&self) -> Result<(), StoreError> {
        let owners: Vec<String> = self.read("look for abandoned runs", |connection| {
            let owners = "SELECT owner FROM runs WHERE status = 'running'
                UNION SELECT owner FROM promotions WHERE state = 'intended' UNION SELECT owner FROM collections";
            connection.query(owners, &[])?.iter().map(|row| Ok(row.get(0)?)).collect()
        })?;
        let dead = self.database().dead_owners(&owners)?;
        if dead.is_empty() {
            return Ok(());
        }
        self.write("settle what dead processes left", Scope::Models, |connection| {
            for owner in &dead {
                runs::kill_abandoned(connection, owner)?;
                promotions::settle_abandoned(connection, owner)?;
            }
            Ok(())
        })
    }
}
