//! A session lock that shows that this process lives, held on a connection of its own.
//!
//! The server releases the lock when the process dies or its network fails, but also when the
//! server itself restarts. So a thread checks the connection and takes the lock again, and for a
//! while after a start of the server no process counts as dead. Why not heartbeats in a table? They
//! would write every few seconds for every process, and depend on clocks.

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ::postgres::Client;

use super::{LOCKS, Server};
use crate::database::connection::Connection;
use crate::database::error::DatabaseError;
use crate::database::failure::Outcome;
use crate::database::value::values;

/// The interval between two checks of the connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long the server may take to answer a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a start of the server living processes may take to reconnect, in seconds: several
/// checks.
const RECONNECT_SECONDS: i64 = 10;
/// A session lock that shows that this process lives. Dropping it releases the lock.
pub(crate) struct SessionLock {
    number: i32,
    /// Dropped with the lock, which ends the thread that keeps it.
    _keeper: mpsc::Sender<()>,
}

impl SessionLock {
    pub(crate) fn take(server: &Server) -> Result<Self, DatabaseError> {
        let mut client = server.connect_idle()?;
        loop {
            let row = client.query_one("SELECT (random() * 2147483646)::int + 1", &[])?;
            let number: i32 = row.try_get(0)?;
            if !lock(&mut client, number)? {
                continue;
            }
            let (sender, ended) = mpsc::channel();
            let server = server.clone();
            let keeper = thread::Builder::new().name("registry-lock".into());
            // Without the thread, the lock still lasts as long as its connection.
            let _ = keeper.spawn(move || keep(&server, number, client, &ended));
            return Ok(Self { number, _keeper: sender });
        }
    }

    pub(crate) fn name(&self) -> String {
        self.number.to_string()
    }
}

impl fmt::Debug for SessionLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLock").field("number", &self.number).finish_non_exhaustive()
    }
}

fn lock(client: &mut Client, number: i32) -> Result<bool, DatabaseError> {
    Ok(client.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&LOCKS, &number])?.try_get(0)?)
}

/// Keeps the lock until it is dropped.
fn keep(server: &Server, number: i32, client: Client, ended: &Receiver<()>) {
    let mut holder = Some(client);
    while ended.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if holder.as_mut().is_some_and(|client| client.is_valid(CHECK_TIMEOUT).is_ok()) {
            continue;
        }
        // Whatever failed, the next check tries again.
        holder = server.connect_idle().ok();
        if !holder.as_mut().is_some_and(|client| lock(client, number).unwrap_or(false)) {
            holder = None;
        }
    }
}

/// Returns those of these owners whose session locks no session holds.
pub(crate) fn dead_owners(connection: &mut Connection, owners: &[String]) -> Outcome<Vec<String>> {
    // An owner that is not a number is from a registry on SQLite.
    let numbered = |owner: &&String| owner.parse::<i32>().is_ok();
    if !owners.iter().any(|owner| numbered(&owner)) {
        return Ok(Vec::new());
    }
    // After the crash of one of its processes, the server ends all sessions but does not restart
    // itself. Users who may see its checkpointer see it by the start of that.
    let started = "SELECT greatest(pg_postmaster_start_time(),
            (SELECT max(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer'))
        > now() - CAST(?1 AS BIGINT) * interval '1 second'";
    if connection.one(started, values![RECONNECT_SECONDS])?.get(0)? {
        return Ok(Vec::new());
    }
    let held = "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::bigint = ?1
        AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut living = Vec::new();
    for row in connection.query(held, values![i64::from(LOCKS)])? {
        living.push(row.get::<i64>(0)?.to_string());
    }
    Ok(owners.iter().filter(numbered).filter(|owner| !living.contains(owner)).cloned().collect())
}
