//! Changes of one SQLite file, one after another. Those that come while others wait for the disk
//! share a transaction, and so its flush.
//!
//! A file has one writer at a time, and each commit waits for the disk. Sixty clients that each
//! waited for the flushes of all before them would wait for sixty; so whoever is next goes on in
//! the transaction of the one before, and the last commits for all. Each change is a savepoint:
//! one that fails takes back itself alone. Nobody is answered before the commit, and if that fails,
//! all of its changes have failed.
//!
//! Changes of models do not share: they are rare, may take long, and are told to others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::ffi;

use crate::fsyncs::count_fsync;

use super::connection::{Connection, Scope};
use super::error::DatabaseError;
use super::failure::Outcome;
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
    /// How many changes it has, and whether any of them succeeded.
    changes: usize,
    is_changed: bool,
    end: Arc<End>,
}

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
        let result = turn.carry_out(pool, scope, change);
        if scope == Scope::Models || self.waiting.load(Ordering::SeqCst) == 0 {
            turn.commit(pool);
        }
        drop(turn);
        let ended = end.wait();
        let changed = result?;
        ended.map_err(DatabaseError::from)?;
        Ok(changed)
    }

    fn wait(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // A panic leaves no transaction behind.
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Turn { open, is_settled: true }
    }
}

/// The turn of one writer. If it panics, its transaction fails.
struct Turn<'a> {
    open: MutexGuard<'a, Option<Open>>,
    /// Whether the transaction is as it should be: not in the midst of a change.
    is_settled: bool,
}

impl Turn<'_> {
    /// Goes on in the open transaction, or begins one.
    fn begin(&mut self, pool: &Pool, scope: Scope) -> Result<Arc<End>, DatabaseError> {
        if self.open.is_none() {
            let connection = pool.begin(|connection| connection.begin_writing(scope))?.detach();
            let (began, end) = (Instant::now(), Arc::default());
            *self.open = Some(Open { connection, began, changes: 0, is_changed: false, end });
        }
        let open = self.open.as_ref().expect("it has begun");
        Ok(open.end.clone())
    }

    /// Carries a change out. One that fails leaves nothing.
    fn carry_out<T>(
        &mut self,
        pool: &Pool,
        scope: Scope,
        change: impl FnOnce(&mut Connection) -> Outcome<T>,
    ) -> Outcome<T> {
        let open = self.open.as_mut().expect("it has begun");
        // The first change is the whole transaction, until another follows.
        let is_first = open.changes == 0;
        open.changes += 1;
        if !is_first {
            open.connection.set_savepoint(scope)?;
        }
        self.is_settled = false;
        let result = change(&mut open.connection);
        self.is_settled = true;
        let settled = match (&result, is_first) {
            (Ok(_), true) => Ok(()),
            (Ok(_), false) => open.connection.release_savepoint(),
            (Err(_), false) => open.connection.roll_back_to_savepoint(),
            (Err(_), true) => {
                self.give_up(pool);
                return result;
            }
        };
        open.is_changed |= result.is_ok();
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
        open.end.tell(Ok(()));
    }

    /// Commits what is open, if anything is.
    fn commit(&mut self, pool: &Pool) {
        if self.open.as_ref().is_some_and(|open| !open.is_changed) {
            return self.give_up(pool);
        }
        let Some(mut open) = self.open.take() else { return };
        count_fsync();
        let committed = open.connection.commit();
        // After an error the connection is closed, which rolls back.
        if committed.is_ok() {
            pool.give_back(open.connection);
        }
        open.end.tell(committed.map_err(Broken::from));
    }

    /// Closes what is open, which rolls back.
    fn fail(&mut self, broken: Broken) {
        let Some(open) = self.open.take() else { return };
        drop(open.connection);
        open.end.tell(Err(broken));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.fail(Broken::unknown());
        }
    }
}

impl Open {
    fn takes_more(&self, most_age: Duration) -> bool {
        self.changes < MOST && self.began.elapsed() < most_age
    }
}

impl End {
    fn tell(&self, result: Result<(), Broken>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
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
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::mpsc;
    use std::thread;

    use super::super::Database;
    use super::super::value::values;
    use super::*;
    use crate::error::StoreError;

    const WRITERS: i64 = 40;
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Opens a database with an empty table, in which changes share whatever comes together.
    fn database(folder: &Path) -> Database {
        let mut database = Database::open_file(folder.join("registry.db")).expect("a file");
        database.turns.most_age = PATIENCE;
        let made = database.write("make a table", Scope::Models, |connection| {
            Ok(connection.batch("CREATE TABLE done (number INTEGER PRIMARY KEY) STRICT")?)
        });
        made.expect("a table");
        database
    }

    fn done(database: &Database) -> BTreeSet<i64> {
        let numbers = database.read("look", |connection| {
            connection.query("SELECT number FROM done", &[])?.iter().map(|row| Ok(row.get(0)?)).collect()
        });
        numbers.expect("numbers")
    }

    fn insert(connection: &mut Connection, number: i64) -> Outcome<i64> {
        connection.execute("INSERT INTO done (number) VALUES (?1)", values![number])?;
        Ok(number)
    }

    /// Returns how many commits are in the log: its frames that tell the size of the database.
    fn commits(folder: &Path) -> usize {
        let log = std::fs::read(folder.join("registry.db-wal")).expect("a log");
        log[32..].chunks(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    /// Has writers come while another one is at work, so that all wait for their turn. Returns what
    /// each was told; `None` of one that panicked.
    fn at_once(
        database: &Database,
        change: impl Fn(&mut Connection, i64) -> Outcome<i64> + Sync,
    ) -> Vec<Option<Result<i64, StoreError>>> {
        let (begun, has_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let change = &change;
            let first = scope.spawn(move || {
                database.write("wait", Scope::Runs, |connection| {
                    begun.send(()).expect("the test waits");
                    may_go.recv_timeout(PATIENCE).expect("the test goes on");
                    insert(connection, -1)
                })
            });
            has_begun.recv_timeout(PATIENCE).expect("it begins");
            let writers: Vec<_> = (0..WRITERS)
                .map(|number| {
                    scope.spawn(move || database.write("insert", Scope::Runs, |connection| change(connection, number)))
                })
                .collect();
            let began = Instant::now();
            while database.turns.waiting.load(Ordering::SeqCst) < WRITERS as usize {
                assert!(began.elapsed() < PATIENCE, "the writers do not come");
                thread::yield_now();
            }
            go.send(()).expect("the first waits");
            let told: Vec<_> = writers.into_iter().map(|writer| writer.join().ok()).collect();
            // Of a transaction in which another one panics, nothing remains.
            let _ = first.join().expect("no panic");
            told
        })
    }

    // invariant: Changes that wait for each other share a commit, and each is whole or not there.
    #[test]
    fn changes_that_wait_share_a_commit_and_one_that_fails_takes_back_itself_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(folder.path());
        let before = commits(folder.path());
        let told = at_once(&database, |connection, number| {
            insert(connection, number)?;
            // What it inserted goes with it, whether it is refused or the database fails.
            match number % 4 {
                0 => Err(StoreError::NoRun { id: number.to_string() }.into()),
                1 => insert(connection, number),
                _ => Ok(number),
            }
        });
        let expected: BTreeSet<i64> = (0..WRITERS).filter(|number| number % 4 > 1).chain([-1]).collect();
        assert_eq!(done(&database), expected);
        for (number, told) in (0..).zip(told) {
            let told = told.expect("no panic");
            match number % 4 {
                0 => assert!(matches!(told, Err(StoreError::NoRun { .. })), "{told:?}"),
                1 => assert!(matches!(told, Err(StoreError::Database { .. })), "{told:?}"),
                _ => assert_eq!(told.expect("it is recorded"), number),
            }
        }
        assert_eq!(commits(folder.path()) - before, 1, "one for all");
    }

    // invariant: as `changes_that_wait_share_a_commit_and_one_that_fails_takes_back_itself_alone`
    #[test]
    fn after_a_panic_whoever_was_told_of_success_is_recorded_and_nobody_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(folder.path());
        let told = at_once(&database, |connection, number| {
            insert(connection, number)?;
            assert_ne!(number, WRITERS / 2, "a fault of the program");
            Ok(number)
        });
        assert_eq!(told.iter().filter(|told| told.is_none()).count(), 1);
        let recorded: BTreeSet<i64> = told.into_iter().flatten().filter_map(Result::ok).collect();
        let mut there = done(&database);
        there.remove(&-1);
        assert_eq!(there, recorded);
        // The next writers do not notice.
        database.write("insert", Scope::Runs, |connection| insert(connection, 1000)).expect("it is recorded");
        assert!(done(&database).contains(&1000));
    }

    #[test]
    fn a_change_of_models_shares_with_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(folder.path());
        let before = commits(folder.path());
        thread::scope(|scope| {
            for number in 0..WRITERS {
                let database = &database;
                scope.spawn(move || {
                    let change = |connection: &mut Connection| {
                        assert_eq!(connection.scope(), Scope::Models);
                        insert(connection, number)
                    };
                    database.write("insert", Scope::Models, change).expect("it is recorded");
                });
            }
        });
        assert_eq!(done(&database).len(), WRITERS as usize);
        assert_eq!(commits(folder.path()) - before, WRITERS as usize);
    }
}
