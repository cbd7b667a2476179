//! Connections that are kept for whoever comes next.
//!
//! A server lets a hundred in, from all hosts together: a process has a few, and its threads wait for each other. A file
//! lets everybody in.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex};

use super::{Backend, Connection, Database, DatabaseError, Location, Scope, lock, sqlite};

/// Connections that are kept, and the most that a process has to a server. A few write as fast as many.
const CONNECTIONS: usize = 8;

/// Who waits for a connection, and those that nobody uses.
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    taken: usize,
}

/// A connection on which a transaction has begun. Dropping it closes it, which rolls back; see [`Lease::keep`].
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Lease<'_> {
    /// Lets the next one have it.
    pub(super) fn keep(mut self) {
        let kept = self.connection.take().filter(Connection::is_usable);
        let mut state = lock(&self.pool.state);
        if state.idle.len() < CONNECTIONS {
            state.idle.extend(kept);
        }
    }
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("only `keep` takes it, which ends the lease")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("only `keep` takes it, which ends the lease")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // Closed before the next one may open another.
        self.connection = None;
        lock(&self.pool.state).taken -= 1;
        self.pool.returned.notify_one();
    }
}

impl Database {
    /// A connection on which `begin` was done: a kept one, or a new one.
    pub(super) fn begun(
        &self,
        begin: impl Fn(&mut Connection) -> Result<(), DatabaseError>,
    ) -> Result<Lease<'_>, DatabaseError> {
        loop {
            let mut lease = self.lease();
            let kept = lease.connection.is_some();
            if !kept {
                lease.connection = Some(self.connect()?);
            }
            match begin(&mut lease) {
                Ok(()) => return Ok(lease),
                // The server ended it while nobody used it: nothing has been done on it yet.
                Err(error) if kept && error.is_of_connection() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Leave to have a connection, with a kept one if there is any.
    fn lease(&self) -> Lease<'_> {
        let limit = if matches!(self.location, Location::File(_)) { usize::MAX } else { CONNECTIONS };
        let state = lock(&self.pool.state);
        let state = self.pool.returned.wait_while(state, |state| state.taken >= limit);
        // What is behind the lock is whole after a panic.
        let mut state = state.unwrap_or_else(std::sync::PoisonError::into_inner);
        state.taken += 1;
        Lease { pool: &self.pool, connection: state.idle.pop() }
    }

    fn connect(&self) -> Result<Connection, DatabaseError> {
        let backend = match &self.location {
            Location::File(path) => Backend::Sqlite(sqlite::Connection::open(path)?),
            #[cfg(feature = "postgres")]
            Location::Server(server) => Backend::Postgres(Box::new(server.connect()?)),
        };
        Ok(Connection { backend, scope: Scope::Runs })
    }
}
