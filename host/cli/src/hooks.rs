//! The hooks of the operator's file, and their use by commands and by servers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use stagewright_hooks::{HookFollower, Hooks, Patience, Report};
use stagewright_manifest::Operator;
use stagewright_store::{Home, OpenMode, Registry, StoreError};

use crate::environment;
use crate::home::{HomeLocation, actor};

#[cfg(feature = "pipelines")]
mod of_command;

#[cfg(feature = "pipelines")]
pub(crate) use of_command::HooksOfCommand;

/// The time in which a command begins attempts. One that begins in it has the hook's timeout.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the hooks that the operator's file names.
pub(crate) fn hooks(operator: &Operator) -> Hooks {
    Hooks::new(operator.hooks.clone(), environment::own)
}

/// Tells hooks of everything that they were not told of, as a command does.
pub(crate) fn deliver(hooks: &Hooks, registry: &Registry) -> Vec<Report> {
    let stop = AtomicBool::new(false);
    hooks.deliver(registry, &Patience { until: Instant::now() + PATIENCE, is_eager: true, stop: &stop })
}

/// Starts to tell hooks of changes as they come, if there are hooks.
pub(crate) fn follow(location: &HomeLocation, operator: &Operator) -> std::io::Result<Option<HookFollower>> {
    if operator.hooks.is_empty() {
        return Ok(None);
    }
    let location = location.clone();
    HookFollower::start(&hooks(operator), Arc::new(move || open(&location))).map(Some)
}

/// Opens the registry, if there is one.
fn open(location: &HomeLocation) -> Result<Registry, StoreError> {
    let password = environment::variable("PGPASSWORD");
    let home = Home::open_as(&location.home, location.registry.as_deref(), password.as_deref(), OpenMode::Serving)?;
    Ok(home.registry.acting_as(&actor()))
}
