//! The steps of a pipeline and their inputs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::step_id::StepId;
use crate::world::World;

/// A step: one execution of a stage.
///
/// A stage is one step, except an evaluation of several models, which is one step for each model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name.
    pub id: StepId,
    /// The stage that it executes.
    pub stage: StepId,
    /// The world of the stage.
    pub world: World,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The steps that must succeed before it begins, besides those that make its inputs.
    pub after: Vec<StepId>,
    /// The steps that its data pass through, one for each world. The step that makes the table of
    /// rows is listed under [`World::Ingestion`], also if it is a preparation.
    pub line: BTreeMap<World, StepId>,
}

/// An input of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The name under `inputs`.
    pub name: String,
    /// The step that makes the artifact.
    pub step: StepId,
    /// The name of the artifact there.
    pub artifact: &'static str,
}

/// A dependency between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The step that comes first.
    pub from: StepId,
    /// The step that waits.
    pub to: StepId,
    /// The name of the input, if the second step reads an artifact of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The artifact that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<&'static str>,
}

/// The steps of a pipeline, in an order in which they can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    pub(super) steps: Vec<Step>,
}

impl Graph {
    /// Returns the steps in an order in which they can run. The order depends on the file alone.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the step of this name.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// Returns the steps of a world.
    pub fn of(&self, world: World) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.world == world)
    }

    /// Returns a step and all that depend on its artifacts, directly or indirectly.
    pub fn with_followers(&self, id: &StepId) -> BTreeSet<&StepId> {
        let mut found = BTreeSet::new();
        for step in &self.steps {
            if step.id == *id || step.inputs.iter().any(|input| found.contains(&input.step)) {
                found.insert(&step.id);
            }
        }
        found
    }

    /// Returns the dependencies between the steps.
    pub fn edges(&self) -> Vec<Edge> {
        let edges = self.steps.iter().flat_map(|step| {
            let worked_on = step.inputs.iter().map(|input| Edge {
                from: input.step.clone(),
                to: step.id.clone(),
                input: Some(input.name.clone()),
                artifact: Some(input.artifact),
            });
            let waited_for = step.after.iter().map(|from| Edge {
                from: from.clone(),
                to: step.id.clone(),
                input: None,
                artifact: None,
            });
            worked_on.chain(waited_for)
        });
        edges.collect()
    }
}
