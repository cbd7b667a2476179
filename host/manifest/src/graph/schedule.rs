//! Turns connected stages into steps, in an order in which they can run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::drafts::{Draft, Wired};
use super::rules::tables_of;
use super::steps::{Input, Step};
use crate::step_id::StepId;
use crate::world::World;

/// Returns the steps in an order in which they can run; `None` if one of them has no valid name.
pub(super) fn steps(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> Option<Vec<Step>> {
    let mut ids: Vec<Vec<StepId>> = vec![Vec::new(); drafts.len()];
    let mut steps: Vec<Step> = Vec::new();
    let mut is_fine = true;
    for at in ordered(drafts, wired) {
        let draft = &drafts[at];
        let (world, stage) = (draft.world?, StepId::new(draft.name).ok()?);
        let split = wired[at].iter().find(|wired| is_split(world, wired));
        let after: Vec<StepId> = waited_for(drafts, wired, at).into_iter().flat_map(|at| ids[at].clone()).collect();
        let parts: Vec<Option<usize>> = split.map_or(vec![None], |it| it.from.iter().copied().map(Some).collect());
        for part in parts {
            let id = match part {
                None => stage.clone(),
                Some(part) => match of_model(drafts, draft, drafts[part].name) {
                    Some(id) => id,
                    None => {
                        is_fine = false;
                        continue;
                    }
                },
            };
            let inputs: Vec<Input> = wired[at]
                .iter()
                .flat_map(|it| {
                    it.from.iter().filter(|&&from| part.is_none_or(|part| part == from)).map(move |&from| (it, from))
                })
                .flat_map(|(it, from)| ids[from].iter().map(move |step| (it, step)))
                .map(|(it, step)| Input { name: it.name.clone(), step: step.clone(), artifact: it.artifact })
                .collect();
            let line = line(&steps, world, &inputs);
            ids[at].push(id.clone());
            steps.push(Step { id, stage: stage.clone(), world, inputs, after: after.clone(), line });
        }
    }
    is_fine.then_some(steps)
}

/// Returns whether a stage runs once for each of the stages that this input comes from.
fn is_split(world: World, wired: &Wired) -> bool {
    wired.from.len() > 1 && world.contract().inputs.iter().any(|port| port.is_many && port.name == wired.name)
}

/// Returns the name of the step that evaluates one of several models.
fn of_model(drafts: &[Draft<'_>], evaluation: &Draft<'_>, model: &str) -> Option<StepId> {
    let name = format!("{}-{model}", evaluation.name);
    if drafts.iter().any(|draft| draft.name == name) {
        let message = format!("`{name}` is the name of a stage, and of the step that evaluates `{model}`");
        evaluation.report(message, Some("give the stage another name".to_owned()));
        return None;
    }
    let id = StepId::new(&name);
    if let Err(error) = &id {
        evaluation.report(error.to_string(), Some("give the training a shorter name".to_owned()));
    }
    id.ok()
}

/// Returns the validations that a stage waits for: a transformation waits for all, other stages for
/// those of the tables that they read.
fn waited_for(drafts: &[Draft<'_>], wired: &[Vec<Wired>], at: usize) -> Vec<usize> {
    let own: Vec<usize> = wired[at].iter().flat_map(|it| it.from.iter().copied()).collect();
    let checks = tables_of(drafts, wired, World::Validation);
    let waits = |table: usize| match drafts[at].world {
        Some(World::Transformation) => true,
        Some(World::Validation) | None => false,
        Some(_) => own.contains(&table),
    };
    checks.into_iter().filter(|&(check, table)| check != at && waits(table)).map(|(check, _)| check).collect()
}

/// Returns an order in which each stage follows those that it waits for. Ties are broken by world,
/// then by the order of the file. There is no cycle.
fn ordered(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> Vec<usize> {
    let before: Vec<BTreeSet<usize>> = (0..drafts.len())
        .map(|at| {
            let worked_on = wired[at].iter().flat_map(|it| it.from.iter().copied());
            worked_on.chain(waited_for(drafts, wired, at)).collect()
        })
        .collect();
    let mut left: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    for (at, before) in before.iter().enumerate() {
        before.iter().for_each(|&before| followers[before].push(at));
    }
    let entry = |at: usize| Reverse((drafts[at].world, at));
    let mut ready: BinaryHeap<_> = (0..drafts.len()).filter(|&at| left[at] == 0).map(entry).collect();
    let mut order = Vec::with_capacity(drafts.len());
    while let Some(Reverse((_, at))) = ready.pop() {
        order.push(at);
        for &next in &followers[at] {
            left[next] -= 1;
            if left[next] == 0 {
                ready.push(entry(next));
            }
        }
    }
    order
}

/// Returns the steps that the data of a step pass through, by world. A world with several such
/// steps has no entry. Tables that a validation only compares with do not count.
fn line(steps: &[Step], world: World, inputs: &[Input]) -> BTreeMap<World, StepId> {
    let mut line: BTreeMap<World, Option<StepId>> = BTreeMap::new();
    let mut add = |world: World, id: &StepId| {
        let known = line.entry(world).or_insert_with(|| Some(id.clone()));
        if known.as_ref() != Some(id) {
            *known = None;
        }
    };
    let ports = world.contract().inputs;
    let is_worked_on = |input: &&Input| ports.is_empty() || ports.iter().any(|port| port.name == input.name);
    for input in inputs.iter().filter(is_worked_on) {
        let Some(before) = steps.iter().find(|step| step.id == input.step) else { continue };
        // A preparation makes a table as an ingestion does.
        if input.artifact == "table" {
            add(World::Ingestion, &before.id);
            continue;
        }
        before.line.iter().for_each(|(world, id)| add(*world, id));
        add(before.world, &before.id);
    }
    line.into_iter().filter_map(|(world, id)| Some((world, id?))).collect()
}
