//! Who looks at a page, and what they may do.

use std::collections::BTreeSet;
use std::fmt;

use crate::access::{Level, Resource};
use crate::fault::Fault;

/// The answer to what somebody may do.
pub trait May: Send + Sync {
    /// Returns the level that they have of a resource; `None`: they may not know that it exists.
    fn level(&self, of: Resource<'_>) -> Option<Level>;

    /// Returns whether they may do everything.
    fn is_admin(&self) -> bool;

    /// Returns the experiments that they may read; `None`: all. Lists are searched within these.
    fn experiments(&self) -> Option<BTreeSet<i64>>;
}

/// The right to everything: where there are no accounts.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl May for Everything {
    fn level(&self, _: Resource<'_>) -> Option<Level> {
        Some(Level::Manage)
    }

    fn is_admin(&self) -> bool {
        true
    }

    fn experiments(&self) -> Option<BTreeSet<i64>> {
        None
    }
}

/// The session of a browser.
#[derive(Clone)]
pub struct Session {
    /// The text that every form of the session carries in the field [`Session::FIELD`], by which
    /// one of another site is told from it.
    pub form_token: String,
}

impl Session {
    /// The name of the field.
    pub const FIELD: &'static str = "form_token";
}

/// Whoever looks at a page.
pub struct Viewer {
    /// The name of their account; `None` where there are no accounts.
    pub name: Option<String>,
    /// Their session, if they signed in with a browser.
    pub session: Option<Session>,
    /// Their rights.
    pub may: Box<dyn May>,
}

impl Viewer {
    /// Returns whoever looks where there are no accounts: they may do everything.
    pub fn anybody() -> Self {
        Self { name: None, session: None, may: Box::new(Everything) }
    }

    /// Returns whether they have a level of a resource.
    pub fn may(&self, level: Level, of: Resource<'_>) -> bool {
        self.may.level(of).is_some_and(|has| has >= level)
    }

    /// # Errors
    /// They may not read the resource, which is as if it did not exist.
    pub fn check_read(&self, of: Resource<'_>) -> Result<(), Fault> {
        if self.may(Level::Read, of) { Ok(()) } else { Err(Fault::missing("There is nothing here that you may see.")) }
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").field("name", &self.name).finish_non_exhaustive()
    }
}
