//! A connection that listens for notifications of changed models.
//!
//! Triggers of the database notify ([`crate::registry`] creates them), so that a change wakes
//! listeners on all hosts when it is committed. The session holds no transaction, and so no lock.

use std::time::{Duration, Instant};

use ::postgres::Client;
use ::postgres::fallible_iterator::FallibleIterator as _;

use super::Server;
use crate::database::error::DatabaseError;

/// The interval between two checks of a connection on which nothing arrives.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long the server may take to answer a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that listens.
pub(crate) struct Listener {
    client: Client,
    checked: Instant,
}

impl Listener {
    /// Connects, and hears of all changes that are committed from now on.
    pub(crate) fn begin(server: &Server) -> Result<Self, DatabaseError> {
        let mut client = server.connect_idle()?;
        client.batch_execute("LISTEN stagewright")?;
        Ok(Self { client, checked: Instant::now() })
    }

    /// Waits for a notification until `deadline`. Returns whether one came. After an error, the
    /// connection is of no more use.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Result<bool, DatabaseError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.hears(left.min(CHECK_INTERVAL))? {
                return Ok(true);
            }
            if self.client.is_closed() || self.checked.elapsed() >= CHECK_INTERVAL {
                // Fails if the connection was lost without a word.
                self.client.is_valid(CHECK_TIMEOUT)?;
                self.checked = Instant::now();
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Waits for a notification and takes all that have arrived.
    fn hears(&mut self, most: Duration) -> Result<bool, DatabaseError> {
        let mut notifications = self.client.notifications();
        if notifications.timeout_iter(most).next()?.is_none() {
            return Ok(false);
        }
        while notifications.iter().next()?.is_some() {}
        Ok(true)
    }
}
