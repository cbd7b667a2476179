//! The stages that a command names.

use crate::manifest::Manifest;
use crate::nearest::{listed, nearest};
use crate::step_id::StepId;
use crate::world::World;

/// The stages that a command selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSelection {
    /// The world.
    pub world: World,
    /// The stage, or one step of a stage with several; `None` for all stages of the world.
    pub only: Option<StepId>,
}

impl Manifest {
    /// Returns the stages that a name selects. The name of a world selects all its stages. `NAME`
    /// selects the stage or the step of that name. `WORLD.NAME` does too, for a stage that is named
    /// after a world.
    ///
    /// # Errors
    /// A hint, if there is nothing of this name.
    pub fn select_stages(&self, name: &str) -> Result<StageSelection, String> {
        if let Some(world) = World::from_name(name) {
            return Ok(StageSelection { world, only: None });
        }
        let (world, own) = match name.split_once('.') {
            Some((world, own)) => (World::from_name(world), own),
            // Names of stages have no dots.
            None => (None, name),
        };
        let is_meant = |of: World| world.is_none_or(|world| world == of);
        for step in self.graph.steps().iter().filter(|step| is_meant(step.world)) {
            for id in [&step.stage, &step.id] {
                if id.as_str() == own && (world.is_some() || own == name) {
                    return Ok(StageSelection { world: step.world, only: Some(id.clone()) });
                }
            }
        }
        let stages = || self.stages.iter().map(|stage| stage.name.as_str());
        Err(match nearest(own, stages()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the stages are {}", listed(stages().take(20))),
        })
    }
}
