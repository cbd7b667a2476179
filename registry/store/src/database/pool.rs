//! Connections that are kept open for the next transaction.
//!
//! A PostgreSQL server accepts a hundred connections from all hosts together. So a process opens a
//! few, and its threads wait for each other. SQLite has no such limit.
//!
//! Why not a crate? See docs/decisions/own-pools.md.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::connection::{Address, Connection};
use super::error::DatabaseError;

/// The most idle connections that are kept, and the most that a process opens to a server. More
/// would not make writing faster.
const MAX_CONNECTIONS: usize = 8;

/// Opens connections to one database and keeps those that are idle.
pub(super) struct Pool {
    address: Address,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// How many connections are in use.
    leased: usize,
}

/// A connection on which a transaction has begun. Dropping it closes the connection, which rolls
/// back; [`Lease::keep`] returns the connection to the pool instead.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(address: Address) -> Self {
        Self { address, state: Mutex::default(), returned: Condvar::new() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Begins a transaction on an idle connection, or on a new one if there is none.
    pub(super) fn begin(
        &self,
        begin: impl Fn(&mut Connection) -> Result<(), DatabaseError>,
    ) -> Result<Lease<'_>, DatabaseError> {
        loop {
            let mut lease = self.lease();
            let was_idle = lease.connection.is_some();
            if !was_idle {
                lease.connection = Some(self.address.connect()?);
            }
            match begin(&mut lease) {
                Ok(()) => return Ok(lease),
                // The server closed it while it was idle. Nothing has been done on it yet.
                Err(error) if was_idle && error.is_of_connection() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until this process may use another connection, and takes an idle one if there is any.
    fn lease(&self) -> Lease<'_> {
        let limit = if self.address.is_file() { usize::MAX } else { MAX_CONNECTIONS };
        let state = self.returned.wait_while(self.state(), |state| state.leased >= limit);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.leased += 1;
        Lease { pool: self, connection: state.idle.pop() }
    }

    /// Takes back a connection that was [detached](Lease::detach).
    pub(super) fn give_back(&self, connection: Connection) {
        let mut state = self.state();
        if state.idle.len() < MAX_CONNECTIONS && connection.is_usable() {
            state.idle.push(connection);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Returns the connection itself, which outlives the lease.
    pub(super) fn detach(mut self) -> Connection {
        self.connection.take().expect("only this and `keep` take it, which end the lease")
    }

    /// Returns the connection to the pool.
    pub(super) fn keep(mut self) {
        let usable = self.connection.take().filter(Connection::is_usable);
        let mut state = self.pool.state();
        if state.idle.len() < MAX_CONNECTIONS {
            state.idle.extend(usable);
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
        // Closed before another thread may open one.
        self.connection = None;
        self.pool.state().leased -= 1;
        self.pool.returned.notify_one();
    }
}
