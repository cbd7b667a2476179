//! Signals that something was committed to a database, for those who follow it.
//!
//! A signal may come without a change that its receiver cares about, and a single one may stand for
//! many changes. None is missing as long as [`Signal::wait`] returns no error; after one, the
//! receiver begins another signal and looks at everything again.
//!
//! SQLite has no notifications between processes. `PRAGMA data_version` reads a counter of the
//! log's index in shared memory, which takes some microseconds. Why not let the system watch the
//! files? It watches names, and a database is replaced and restored under the same name.

use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Access, Address};
use super::error::DatabaseError;
#[cfg(feature = "postgres")]
use super::postgres::Listener;
use super::sqlite;

/// The interval between two looks at a file.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A connection of its own that learns of commits.
pub(crate) enum Signal {
    /// A connection to a file.
    File(Commits),
    /// A connection to a server that listens.
    #[cfg(feature = "postgres")]
    Server(Box<Listener>),
}

/// The commits to a file, as one of its connections sees them.
pub(crate) struct Commits {
    connection: sqlite::Connection,
    seen: i64,
    /// When it last looked. It looks again after an interval, also while others commit all the
    /// time.
    looked: Instant,
}

impl Signal {
    /// Learns of all that is committed from now on.
    pub(super) fn begin(address: &Address) -> Result<Self, DatabaseError> {
        match address {
            Address::File(path, access) => {
                let connection = match access {
                    Access::Write => sqlite::Connection::open(path)?,
                    Access::Read => sqlite::Connection::open_to_read(path)?,
                };
                let seen = connection.commits_of_others()?;
                Ok(Self::File(Commits { connection, seen, looked: Instant::now() }))
            }
            #[cfg(feature = "postgres")]
            Address::Server(server) => Ok(Self::Server(Box::new(Listener::begin(server)?))),
        }
    }

    /// Waits for a commit until `deadline`. Returns whether there was one.
    pub(super) fn wait(&mut self, deadline: Instant) -> Result<bool, DatabaseError> {
        match self {
            Self::File(commits) => commits.wait(deadline),
            #[cfg(feature = "postgres")]
            Self::Server(listener) => listener.wait(deadline),
        }
    }
}

impl Commits {
    fn wait(&mut self, deadline: Instant) -> Result<bool, DatabaseError> {
        loop {
            let next = self.looked + POLL_INTERVAL;
            let now = Instant::now();
            if now < next {
                thread::sleep(next.min(deadline).saturating_duration_since(now));
                if deadline < next {
                    return Ok(false);
                }
            }
            self.looked = Instant::now();
            let commits = self.connection.commits_of_others()?;
            if commits != self.seen {
                self.seen = commits;
                return Ok(true);
            }
            if self.looked >= deadline {
                return Ok(false);
            }
        }
    }
}
