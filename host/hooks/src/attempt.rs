//! One attempt to tell a hook of an event.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use stagewright_manifest::{HookSection, HookTarget};

use crate::event::Event;
use crate::secret::Variables;
use crate::{command, request};

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

/// Tells a hook of an event, in at most its timeout. `stop` ends a program before that.
pub(crate) fn attempt(
    hook: &HookSection,
    event: &Event,
    variables: &Variables,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let body = serde_json::to_vec(event).map_err(|error| Failure::refused(error.to_string()))?;
    match &hook.target {
        HookTarget::Request(target) => request::send(target, event, &body, hook.timeout, variables),
        HookTarget::Command(target) => command::run(target, event, &body, hook.timeout, variables, stop),
    }
}
