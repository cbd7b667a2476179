//! Watching: learning soon, and cheaply, that models have changed.
//!
//! Every change of models, versions, aliases and deployments adds an entry to the audit, and
//! everything else that a server keeps of a deployment raises its revision. So two numbers tell
//! whether anything changed. A [`Signal`](crate::database::Signal) of the database says when to
//! look at them. Runs, outcomes and counters wake nobody.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::database::Signal;
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::migrations;

/// The interval between two attempts to reach a registry that is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The longest wait, for callers without a bound: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A view of a registry that tells when models change ([`Registry::watch`]).
pub struct RegistryWatch {
    registry: Registry,
    /// `None` after the connection was lost.
    signal: Option<Signal>,
    seen: Changes,
    /// Whether the registry could not be reached since the last change that was told.
    missed: bool,
}

/// Two numbers, of which one differs after each change of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Changes {
    /// The last entry of the audit.
    audit: u64,
    /// The sum of the revisions of active deployments.
    revisions: u64,
}

impl Registry {
    /// Begins to watch for changes of models, on a connection of its own. Whoever then reads what
    /// it follows, and after each [`RegistryWatch::wait`] that returns true reads it again, misses
    /// no change.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn watch(&self) -> Result<RegistryWatch, StoreError> {
        // First the signal, then the numbers: what changes in between gives a signal too many.
        let signal = Some(self.database().signal()?);
        Ok(RegistryWatch { registry: self.clone(), signal, seen: self.changes()?, missed: false })
    }

    fn changes(&self) -> Result<Changes, StoreError> {
        // A program of a newer format may have converted the tables meanwhile, to some that this
        // one may not read.
        migrations::check_current(self.database())?;
        self.read("look for changes of models", |connection| {
            let query = "SELECT seq, (SELECT CAST(coalesce(sum(revision), 0) AS BIGINT) FROM deployments
                WHERE status = 'active') FROM audit_head";
            let row = connection.one(query, &[])?;
            Ok(Changes { audit: row.get(0)?, revisions: row.get(1)? })
        })
    }
}

impl RegistryWatch {
    /// Waits for a change of any model, version, alias or deployment, at most for `timeout`.
    /// Returns true if there was one since this last returned true, or if the registry was away and
    /// is back, because then there may have been one.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the registry is away until the end of `timeout`, or longer where
    /// the system takes longer to tell; the next call goes on trying. [`StoreError::TooNew`] if a
    /// newer program has converted its tables to some that this one may not read.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let deadline = begun.checked_add(timeout.min(LONGEST)).unwrap_or(begun);
        loop {
            match self.try_wait(deadline) {
                Ok(Some(changed)) => return Ok(changed),
                // A signal of something else.
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) => return Ok(false),
                Err(error) => {
                    (self.signal, self.missed) = (None, true);
                    let left = deadline.saturating_duration_since(Instant::now());
                    thread::sleep(left.min(RETRY_INTERVAL));
                    if left <= RETRY_INTERVAL {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Waits for a signal. Returns whether models changed; `None` if it was of something else.
    fn try_wait(&mut self, deadline: Instant) -> Result<Option<bool>, StoreError> {
        let signal = match &mut self.signal {
            Some(signal) => signal,
            none => none.insert(self.registry.database().signal()?),
        };
        if !self.missed && !self.registry.database().wait(signal, deadline)? {
            return Ok(Some(false));
        }
        let now = self.registry.changes()?;
        let changed = self.missed || now != self.seen;
        (self.seen, self.missed) = (now, false);
        Ok(changed.then_some(true))
    }
}

impl fmt::Debug for RegistryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryWatch").field("place", &self.registry.place()).finish_non_exhaustive()
    }
}
