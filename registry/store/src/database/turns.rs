//! Changes of one SQLite file, one after another. Those that come while others wait for the disk
//! share a transaction, and so its flush.
//!
//! A file has one writer at a time, and each commit waits for the disk. Sixty clients that each
//! waited for the flushes of all before them would wait for sixty; so whoever is next goes on in
//! the transaction of the one before, and the last commits for all. Each change is a savepoint:
//! one that fails or panics takes back itself alone. Nobody is answered before the commit, not even
//! one whose change was refused: what it saw may be what another one changed. If the commit fails,
//! all of its changes have failed.
//!
//! A foreign key that is checked at the commit would fail the changes of others with its own, so
//! the tables have none.
//!
//! Changes of models do not share: they are rare, may take long, and are told to others.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::ffi;

use crate::fsyncs::count_fsync;

use super::connection::{Connection, Scope};
use super::error::DatabaseError;
use super::failure::{Failure, Outcome};
use super::pool::Pool;

/// The most changes that share a transaction.
const MOST: usize = 64;
/// The age from which a transaction takes no further change, so that the first one does not wait
/// for many others.
const MOST_AGE: Duration = Duration::from_millis(5);

/// The order of the writers of a process.
pub(super) struct Turns {
    /// How many wait for their turn.
    waiting: AtomicUsize,
    /// The transaction that whoever is next goes on in.
    open: Mutex<Option<Open>>,
    most_age: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self { waiting: AtomicUsize::new(0), open: Mutex::new(None), most_age: MOST_AGE }
    }
}

/// A transaction that has begun.
struct Open {
    connection: Connection,
    began: Instant,
    /// How many changes it has. The first one succeeded, once another turn finds it open.
    changes: usize,
    end: Teller,
}

/// Tells all who take part in a transaction how it ended. If it is dropped before, it failed.
#[derive(Default)]
struct Teller(Arc<End>);

/// The end of a transaction, for all who take part in it.
#[derive(Default)]
struct End {
    result: Mutex<Option<Result<(), Broken>>>,
    told: Condvar,
}

/// Why a transaction failed: an error that each of several can be given.
#[derive(Clone)]
struct Broken {
    code: ffi::Error,
    text: Option<String>,
}

impl Turns {
    /// Changes the file in a transaction. When it returns, the change is durable; after an error,
    /// nothing of it remains.
    pub(super) fn write<T>(
        &self,
        pool: &Pool,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Outcome<T> {
        let mut turn = self.wait();
        if scope == Scope::Models || turn.open.as_ref().is_some_and(|open| !open.takes_more(self.most_age)) {
            turn.commit(pool);
        }
        let end = turn.begin(pool, scope)?;
        let carried_out = turn.carry_out(pool, scope, change);
        if scope == Scope::Models || self.waiting.load(Ordering::SeqCst) == 0 {
            turn.commit(pool);
        }
        drop(turn);
        let ended = end.wait();
        match carried_out {
            Err(panic) => resume_unwind(panic),
            // What the database says of this change tells more than what became of all.
            Ok(Err(Failure::Database(error))) => Err(error.into()),
            Ok(result) => {
                ended.map_err(DatabaseError::from)?;
                result
            }
        }
    }

    fn wait(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // A panic leaves no change behind that is half done.
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Turn { open }
    }
}

/// The turn of one writer.
struct Turn<'a> {
    open: MutexGuard<'a, Option<Open>>,
}

impl Turn<'_> {
    /// Goes on in the open transaction, or begins one.
    fn begin(&mut self, pool: &Pool, scope: Scope) -> Result<Arc<End>, DatabaseError> {
        if self.open.is_none() {
            let connection = pool.begin(|connection| connection.begin_writing(scope))?.detach();
            let (began, end) = (Instant::now(), Teller::default());
            *self.open = Some(Open { connection, began, changes: 0, end });
        }
        let open = self.open.as_ref().expect("it has begun");
        Ok(open.end.0.clone())
    }

    /// Carries a change out. One that fails or panics leaves nothing.
    fn carry_out<T>(
        &mut self,
        pool: &Pool,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> thread::Result<Outcome<T>> {
        let open = self.open.as_mut().expect("it has begun");
        // The first change is the whole transaction, until another follows.
        let is_first = open.changes == 0;
        open.changes += 1;
        if !is_first && let Err(error) = open.connection.set_savepoint(scope) {
            return Ok(Err(error.into()));
        }
        // A panic ends the statements that it interrupts, as an error does.
        let result = catch_unwind(AssertUnwindSafe(|| change(&mut open.connection)));
        let is_done = matches!(result, Ok(Ok(_)));
        let settled = match (is_done, is_first) {
            (true, true) => Ok(()),
            (true, false) => open.connection.release_savepoint(),
            (false, false) => open.connection.roll_back_to_savepoint(),
            (false, true) => {
                self.give_up(pool);
                return result;
            }
        };
        // A full disk, for example, ends the whole transaction.
        if settled.is_err() || !open.connection.is_in_transaction() {
            let broken = settled.err().map_or_else(Broken::unknown, Broken::from);
            self.fail(broken);
        }
        result
    }

    /// Ends a transaction of which nothing remains.
    fn give_up(&mut self, pool: &Pool) {
        let Some(mut open) = self.open.take() else { return };
        if open.connection.roll_back().is_ok() {
            pool.give_back(open.connection);
        }
        open.end.0.tell(Ok(()));
    }

    /// Commits what is open, if anything is.
    fn commit(&mut self, pool: &Pool) {
        let Some(mut open) = self.open.take() else { return };
        count_fsync();
        let committed = open.connection.commit();
        // After an error the connection is closed, which rolls back.
        if committed.is_ok() {
            pool.give_back(open.connection);
        }
        open.end.0.tell(committed.map_err(Broken::from));
    }

    /// Closes what is open, which rolls back.
    fn fail(&mut self, broken: Broken) {
        let Some(open) = self.open.take() else { return };
        drop(open.connection);
        open.end.0.tell(Err(broken));
    }
}

impl Open {
    fn takes_more(&self, most_age: Duration) -> bool {
        self.changes < MOST && self.began.elapsed() < most_age
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.tell(Err(Broken::unknown()));
    }
}

impl End {
    /// Tells the result, unless one was told before.
    fn tell(&self, result: Result<(), Broken>) {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(result);
        self.told.notify_all();
    }

    fn wait(&self) -> Result<(), Broken> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self.told.wait_while(result, |result| result.is_none());
        told.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(|| Err(Broken::unknown()))
    }
}

impl Broken {
    /// The transaction is gone, and SQLite does not say why.
    fn unknown() -> Self {
        Self { code: ffi::Error::new(ffi::SQLITE_ABORT), text: Some("the transaction was rolled back".to_owned()) }
    }
}

impl From<DatabaseError> for Broken {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Sqlite { source: rusqlite::Error::SqliteFailure(code, text) } => Self { code, text },
            other => Self { code: ffi::Error::new(ffi::SQLITE_ABORT), text: Some(other.to_string()) },
        }
    }
}

impl From<Broken> for DatabaseError {
    fn from(broken: Broken) -> Self {
        Self::Sqlite { source: rusqlite::Error::SqliteFailure(broken.code, broken.text) }
    }
}

#[cfg(test)]
mod tests;
