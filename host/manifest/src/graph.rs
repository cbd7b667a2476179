//! The graph of a pipeline: which step works on which.
//!
//! Owns how names under `inputs` become steps, and everything that can be wrong about it: names of
//! nothing, worlds that do not fit, cycles, tables that nobody checks. Six stages without `inputs`
//! are the graph in which each works on the one that there is.

mod rules;
mod steps;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::reader::Item;
use crate::step_id::StepId;
use crate::world::World;
pub(crate) use wiring::Names;

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
    steps: Vec<Step>,
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

    /// The graph in the language of Mermaid, for documents that draw it.
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart TD\n".to_owned();
        for Step { id, world, .. } in &self.steps {
            let told = if id.as_str() == world.as_str() { String::new() } else { format!("<br/>{world}") };
            text.push_str(&format!("    s_{}[\"{id}{told}\"]\n", id.as_str().replace('-', "__")));
        }
        for Edge { from, to, input, .. } in self.edges() {
            let arrow = if input.is_some() { "-->" } else { "-.->" };
            let node = |id: &StepId| format!("s_{}", id.as_str().replace('-', "__"));
            text.push_str(&format!("    {} {arrow} {}\n", node(&from), node(&to)));
        }
        text
    }
}

/// A stage as far as its place is concerned.
pub(crate) struct Draft<'a> {
    pub(crate) name: &'a str,
    /// `None` if it could not be read.
    pub(crate) world: Option<World>,
    /// The stage where it stands.
    pub(crate) item: Item<'a>,
    pub(crate) wires: Vec<Wire<'a>>,
}

/// A name under `inputs`.
pub(crate) struct Wire<'a> {
    pub(crate) port: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) item: Item<'a>,
}

/// A port of a stage, and the stages that it comes from.
struct Wired {
    name: String,
    artifact: &'static str,
    from: Vec<usize>,
}

/// Wires the stages; `None` if something is wrong, which is reported.
pub(crate) fn resolve(drafts: &[Draft<'_>]) -> Option<Graph> {
    let names = Names::of(drafts);
    let is_whole = drafts.iter().all(|draft| draft.world.is_some());
    let mut wired: Vec<Option<Vec<Wired>>> = drafts.iter().map(|draft| names.written(draft)).collect();
    let mut is_fine = is_whole && wired.iter().all(Option::is_some);
    for at in 0..drafts.len() {
        is_fine &= names.implied(at, &mut wired);
    }
    let wired: Vec<Vec<Wired>> = wired.into_iter().map(Option::unwrap_or_default).collect();
    is_fine &= !rules::refuse_cycles(drafts, &wired);
    is_fine &= !rules::refuse_second(drafts);
    // What follows asks about the whole.
    if !is_fine || World::required().any(|world| !names.has(world)) {
        return None;
    }
    let is_unfit = [
        rules::refuse_unread(drafts, &wired),
        rules::refuse_other_tables(drafts, &wired),
        rules::refuse_unchecked(drafts, &wired),
    ];
    let steps = steps::of(drafts, &wired);
    if is_unfit.contains(&true) {
        return None;
    }
    Some(Graph { steps: steps? })
}
