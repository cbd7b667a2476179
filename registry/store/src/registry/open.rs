//! Opening a registry: its tables are brought up to date, and what dead processes left is settled.

use std::path::PathBuf;

use crate::database::{Access, Database, Scope, is_url, without_password};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::names::shortened;
use crate::registry::{migrations, promotions, runs};

/// The use that a process makes of a registry. A registry of a newer format that this program may
/// only read is opened in each of these modes as if it were [`OpenMode::Reading`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Everything: creates what is missing, brings the tables up to date, and settles what dead
    /// processes left.
    #[default]
    Full,
    /// Serving: the registry must exist. Brings the tables up to date, and settles nothing, which
    /// is for those who begin runs and promotions.
    Serving,
    /// Reading: the registry must exist, in today's format. Neither it nor a file beside it is
    /// changed, so that a read-only medium will do. Methods that write fail.
    Reading,
}

impl OpenMode {
    /// Returns whether nothing is changed.
    pub fn only_reads(self) -> bool {
        self == Self::Reading
    }

    fn access(self) -> Access {
        if self.only_reads() { Access::Read } else { Access::Write }
    }
}

impl Registry {
    /// Opens the SQLite database at `path`, which is created if missing. Marks the runs of dead
    /// processes as killed and undoes their unfinished promotions. Otherwise, opening a database of
    /// today's format writes nothing.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] if the registry's format is newer and its maker lets no program of
    /// this format read it, [`StoreError::Database`] or [`StoreError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_as(path, OpenMode::Full)
    }

    /// Opens the SQLite database at `path` for a use.
    ///
    /// # Errors
    /// Those of [`Registry::open`]; [`StoreError::NoRegistry`] if it must exist and does not;
    /// [`StoreError::TooOld`] if it is only read.
    pub fn open_as(path: impl Into<PathBuf>, mode: OpenMode) -> Result<Self, StoreError> {
        let path = path.into();
        let database = match mode {
            OpenMode::Full => Database::open_file(path)?,
            OpenMode::Serving | OpenMode::Reading => Database::open_existing_file(path, mode.access())?,
        };
        Self::over(database, mode)
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
        Self::connect_as(url, password, OpenMode::Full)
    }

    /// As [`Registry::connect_with`], for a use.
    ///
    /// # Errors
    /// Those of [`Registry::connect`]; [`StoreError::NoRegistry`] if the tables must exist and do
    /// not; [`StoreError::TooOld`] if they are only read.
    pub fn connect_as(url: &str, password: Option<&str>, mode: OpenMode) -> Result<Self, StoreError> {
        if !is_url(url) {
            return Err(StoreError::BadRegistryUrl {
                url: shortened(&without_password(url)),
                built: cfg!(feature = "postgres"),
            });
        }
        #[cfg(feature = "postgres")]
        return Self::over(Database::open_server(url, password, mode.access())?, mode);
        #[cfg(not(feature = "postgres"))]
        let _ = (password, mode);
        #[cfg(not(feature = "postgres"))]
        Err(StoreError::BadRegistryUrl { url: "postgresql:".into(), built: false })
    }

    fn over(database: Database, mode: OpenMode) -> Result<Self, StoreError> {
        let newer = match mode {
            OpenMode::Full => migrations::bring_up_to_date(&database)?,
            OpenMode::Serving => {
                migrations::check_existing(&database)?;
                migrations::bring_up_to_date(&database)?
            }
            OpenMode::Reading => migrations::check_current(&database)?,
        };
        let database = match newer {
            Some(newer) => database.only_reading(newer),
            None => database,
        };
        let settles = mode == OpenMode::Full && !database.is_read_only();
        let registry = Self::new(database);
        if settles {
            registry.settle_abandoned()?;
        }
        Ok(registry)
    }

    /// Ends what processes that have died left unfinished: runs, promotions, collections.
    fn settle_abandoned(&self) -> Result<(), StoreError> {
        let owners: Vec<String> = self.read("look for abandoned runs", |connection| {
            // Runs of clients belong to no process.
            let owners = "SELECT owner FROM runs WHERE status = 'running' AND owner <> ''
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
