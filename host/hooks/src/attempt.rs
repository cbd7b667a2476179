//! One attempt to tell a hook of an event.

use std::sync::atomic::AtomicBool;

use stagewright_manifest::{HookSection, HookTarget};

use crate::event::Event;
use crate::failure::Failure;
use crate::secret::Variables;
use crate::{command, request};

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
