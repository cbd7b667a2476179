//! The lock by which a process that owns unfinished records shows that it lives.

use std::path::{Path, PathBuf};

#[cfg(feature = "postgres")]
use super::error::DatabaseError;
#[cfg(feature = "postgres")]
use super::postgres::{Server, SessionLock};
use crate::error::{StoreError, io_error};
use crate::files::create_private;
use crate::liveness::{self, AbandonedLock, LivenessLock};

/// Shows whoever opens the same database that this process lives. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) enum OwnerLock {
    /// A locked file beside a SQLite database.
    File(LivenessLock),
    /// An advisory lock of a session on a server.
    #[cfg(feature = "postgres")]
    Session(SessionLock),
}

impl OwnerLock {
    pub(super) fn beside(database: &Path) -> Result<Self, StoreError> {
        Ok(Self::File(LivenessLock::create(&lock_directory(database)?)?))
    }

    #[cfg(feature = "postgres")]
    pub(super) fn on(server: &Server) -> Result<Self, DatabaseError> {
        SessionLock::take(server).map(Self::Session)
    }

    /// Returns the name that records give to this process as their owner.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(lock) => lock.name(),
            #[cfg(feature = "postgres")]
            Self::Session(lock) => lock.name(),
        }
    }
}

/// Returns those of these owners whose locks beside a SQLite database are released, and removes the
/// files of such locks.
pub(super) fn dead_beside(database: &Path, owners: &[String]) -> Result<Vec<String>, StoreError> {
    let directory = lock_directory(database)?;
    let abandoned = liveness::abandoned_locks(&directory)?;
    let is_dead = |owner: &&String| {
        abandoned.iter().any(|lock| lock.name() == **owner) || liveness::is_gone(&directory.join(owner))
    };
    let dead = owners.iter().filter(is_dead).cloned().collect();
    // A record whose lock file is gone counts as dead too, so that the files are not needed any
    // more, even if another process settles the same records now.
    abandoned.into_iter().for_each(AbandonedLock::remove);
    Ok(dead)
}

/// Returns the directory of the locks beside a SQLite file, which is created if missing.
fn lock_directory(database: &Path) -> Result<PathBuf, StoreError> {
    let locks = database.with_extension("live");
    create_private(&locks).map_err(io_error("create", &locks))?;
    Ok(locks)
}
