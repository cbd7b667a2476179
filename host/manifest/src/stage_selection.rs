//! A part of a pipeline that is run alone, by the name that people type.

use crate::manifest::Manifest;
use crate::nearest::{listed, nearest};
use crate::step_id::StepId;
use crate::world::World;

/// A part of a pipeline that is run alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSelection {
    /// Its world.
    pub world: World,
    /// The stage, or the step of a stage that is several; `None`: all stages of the world.
    pub only: Option<StepId>,
}

impl Manifest {
    /// The part that a name means. A world is all its stages; `NAME` is the stage or the step of
    /// that name, and so is `WORLD.NAME`, for a stage that is named as a world.
    ///
    /// # Errors
    /// A hint, if there is nothing of this name.
    pub fn select_stages(&self, name: &str) -> Result<StageSelection, String> {
        if let Some(world) = World::from_name(name) {
            return Ok(StageSelection { world, only: None });
        }
        let (world, own) = match name.split_once('.') {
            Some((world, own)) => (World::from_name(world), own),
            // No name of a stage has a dot.
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
