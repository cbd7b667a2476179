//! Hooks of commands that may change a champion: they are told when the command is done.
//!
//! A command waits a bounded time for them. A hook that fails neither fails the command nor takes
//! anything back: it is a warning.

use stagewright_hooks::{Hooks, Report};
use stagewright_store::{Registry, StoreError};

use super::{deliver, hooks, open};
use crate::arguments::{Command, DeployCommand, ModelsArguments, ModelsCommand, StageCommand};
use crate::home::HomeLocation;
use crate::installation;

/// The hooks of a command that may change a champion.
pub(crate) struct HooksOfCommand {
    location: HomeLocation,
    hooks: Hooks,
    /// The audit's last place before the command; `None` if it is not known.
    place: Option<u64>,
}

impl HooksOfCommand {
    /// Prepares for a command. `None` if it changes no champion, or there are no hooks.
    ///
    /// A failure is not told: the command fails for the same reason, and says more of it.
    pub(crate) fn before(location: &HomeLocation, command: &Command) -> Option<Self> {
        if !may_change_champions(command) {
            return None;
        }
        let hooks = hooks(&installation::operator().ok().filter(|operator| !operator.hooks.is_empty())?);
        let place = match open(location) {
            Ok(registry) => hooks.begin(&registry, None).and_then(|()| last_place(&registry)).ok(),
            // The command makes the registry.
            Err(StoreError::NoRegistry { .. }) => Some(0),
            Err(_) => None,
        };
        Some(Self { location: location.clone(), hooks, place })
    }

    /// Tells the hooks, if a champion has changed since.
    pub(crate) fn after(self) {
        let told = open(&self.location).and_then(|registry| {
            let Some(place) = self.place else { return Ok(Vec::new()) };
            self.hooks.begin(&registry, Some(place))?;
            let is_changed = registry.count_champion_changes(place)? > 0;
            Ok(if is_changed { deliver(&self.hooks, &registry) } else { Vec::new() })
        });
        match told {
            Ok(reports) => reports.iter().for_each(warn),
            Err(StoreError::NoRegistry { .. }) => {}
            Err(error) => tracing::warn!("no hook was told: {error}"),
        }
    }
}

fn warn(report: &Report) {
    if let Some(problem) = &report.problem {
        tracing::warn!(
            "hook `{}`: {problem}\nhint: a running `stagewright serve` or `stagewright server` goes on trying, and so \
             does `stagewright hooks deliver`",
            report.name
        );
    }
}

fn last_place(registry: &Registry) -> Result<u64, StoreError> {
    Ok(registry.audit_entries(1)?.first().map_or(0, |entry| entry.seq))
}

fn may_change_champions(command: &Command) -> bool {
    match command {
        Command::Run(_) | Command::Resume(_) | Command::Gate(_) | Command::Stage(StageCommand::Run(_)) => true,
        Command::Models(ModelsArguments { command: Some(command), .. }) => {
            matches!(command, ModelsCommand::Promote { .. } | ModelsCommand::Rollback { .. } | ModelsCommand::Retire(_))
        }
        Command::Deploy(DeployCommand::Advance { .. }) => true,
        _ => false,
    }
}
