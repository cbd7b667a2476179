//! Why a hook was not told of an event.

use std::time::Duration;

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The hook did not take the event.
    Refused {
        /// The reason, for people.
        reason: String,
        /// The time that the hook asks to be left alone.
        after: Option<Duration>,
    },
    /// This process lacks what is needed, which another may have: a secret, the program.
    NotHere(String),
}

impl Failure {
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into(), after: None }
    }
}
