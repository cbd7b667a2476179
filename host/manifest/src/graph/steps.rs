//! The steps of a pipeline and what each works on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::step_id::StepId;
use crate::world::World;

/// A step: a stage at work in its place.
///
/// A stage is one step, but for an evaluation of several models: that is a step for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// The stage that says what it does.
    pub stage: StepId,
    /// The contract of its component.
    pub world: World,
    /// The things that it works on.
    pub inputs: Vec<Input>,
    /// The steps that must have ended well before it begins, besides those that it works on.
    pub after: Vec<StepId>,
    /// The steps that its data come through, one for each world: the table that rows come from
    /// stands under ingestion.
    pub line: BTreeMap<World, StepId>,
}

/// A thing that a step works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name under `inputs`.
    pub name: String,
    /// The step that makes it.
    pub step: StepId,
    /// The name of the artifact there.
    pub artifact: &'static str,
}

/// One step waits for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The step that comes first.
    pub from: StepId,
    /// The step that waits.
    pub to: StepId,
    /// The name of the input, if the second works on what the first makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The artifact that is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<&'static str>,
}

/// The steps of a pipeline, each after those that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    pub(super) steps: Vec<Step>,
}

impl Graph {
    /// The steps, each after those that it waits for. The order hangs on the file alone.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step of this name.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// The steps of a world.
    pub fn of(&self, world: World) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.world == world)
    }

    /// A step and those that work on what it makes, or on what is made of that.
    pub fn with_followers(&self, id: &StepId) -> BTreeSet<&StepId> {
        let mut found = BTreeSet::new();
        for step in &self.steps {
            if step.id == *id || step.inputs.iter().any(|input| found.contains(&input.step)) {
                found.insert(&step.id);
            }
        }
        found
    }

    /// Who waits for whom.
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
