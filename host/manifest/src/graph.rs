//! The graph of a pipeline: which step works on which.
//!
//! Owns how names under `inputs` become steps, and everything that can be wrong about it: names of
//! nothing, worlds that do not fit, cycles, tables that nobody checks. Six stages without `inputs`
//! are the graph in which each works on the one that there is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use serde::Serialize;

use crate::nearest::{listed, nearest};
use crate::reader::Item;
use crate::step_id::StepId;
use crate::world::{Port, World};

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
    is_fine &= !refuse_cycles(drafts, &wired);
    is_fine &= !refuse_second(drafts);
    // What follows asks about the whole.
    if !is_fine || World::all().any(|world| world.contract().is_required && !names.has(world)) {
        return None;
    }
    let is_unfit =
        [refuse_unread(drafts, &wired), refuse_other_tables(drafts, &wired), refuse_unchecked(drafts, &wired)];
    let steps = steps(drafts, &wired);
    if is_unfit.contains(&true) {
        return None;
    }
    Some(Graph { steps: steps? })
}

/// The meanings of a reference under `inputs` or `outputs`.
pub(crate) struct Names<'a> {
    drafts: &'a [Draft<'a>],
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(drafts: &'a [Draft<'a>]) -> Self {
        Self { drafts, by_name: drafts.iter().enumerate().map(|(at, draft)| (draft.name, at)).collect() }
    }

    fn has(&self, world: World) -> bool {
        self.drafts.iter().any(|draft| draft.world == Some(world))
    }

    /// The stage and, if the reference names it, the artifact. References are `STAGE`,
    /// `WORLD.STAGE`, `STAGE.ARTIFACT` and `WORLD.STAGE.ARTIFACT`.
    ///
    /// # Errors
    /// The problem with it, and a hint.
    pub(crate) fn find(&self, reference: &'a str) -> Result<(usize, Option<&'a str>), (String, String)> {
        let parts: Vec<&str> = reference.split('.').collect();
        let is_of = |stage: &str, world: &str| {
            let at = self.by_name.get(stage).copied();
            at.filter(|&at| self.drafts[at].world.is_some_and(|it| it.as_str() == world))
        };
        let makes = |at: usize, artifact: &str| {
            // Of a stage whose world is not known, anything may be true.
            self.drafts[at].world.is_none_or(|world| world.contract().outputs.contains(&artifact))
        };
        match parts[..] {
            [stage] => self.by_name.get(stage).map(|&at| (at, None)).ok_or_else(|| self.nobody(stage)),
            [stage, artifact] => match (self.by_name.get(stage), is_of(artifact, stage)) {
                (Some(&at), _) if makes(at, artifact) => Ok((at, Some(artifact))),
                (_, Some(at)) => Ok((at, None)),
                (Some(&at), None) => Err(self.no_artifact(at, artifact)),
                (None, None) if World::from_name(stage).is_some() => Err(self.nobody(artifact)),
                (None, None) => Err(self.nobody(stage)),
            },
            [world, stage, artifact] => match is_of(stage, world) {
                Some(at) if makes(at, artifact) => Ok((at, Some(artifact))),
                Some(at) => Err(self.no_artifact(at, artifact)),
                None => Err(self.nobody(stage)),
            },
            _ => Err((
                format!("`{reference}` names nothing"),
                "write the name of a stage, or `STAGE.ARTIFACT`".to_owned(),
            )),
        }
    }

    /// The stage, its world and the artifact that a reference under `outputs` names.
    ///
    /// # Errors
    /// The problem with it, and a hint.
    pub(crate) fn artifact(&self, reference: &'a str) -> Result<(&'a str, World, &'a str), (String, String)> {
        let (at, artifact) = self.find(reference)?;
        let Draft { name, world, .. } = &self.drafts[at];
        match (world, artifact) {
            (Some(world), Some(artifact)) => Ok((*name, *world, artifact)),
            _ => {
                let made = world.map(|world| world.contract().outputs).unwrap_or_default();
                let hint = format!("write `{name}.ARTIFACT`: it makes {}", listed(made.iter().copied()));
                Err((format!("`{reference}` names no artifact"), hint))
            }
        }
    }

    fn nobody(&self, stage: &str) -> (String, String) {
        let names = || self.drafts.iter().map(|draft| draft.name);
        let hint = match nearest(stage, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the stages are {}", listed(names().take(20))),
        };
        (format!("no stage is named `{stage}`"), hint)
    }

    fn no_artifact(&self, at: usize, artifact: &str) -> (String, String) {
        let Draft { name, world, .. } = &self.drafts[at];
        let made = world.map(|world| world.contract().outputs).unwrap_or_default();
        (format!("stage `{name}` makes no `{artifact}`"), format!("it makes {}", listed(made.iter().copied())))
    }

    /// The inputs that a stage writes down; `None` if one of them is wrong.
    fn written(&self, draft: &Draft<'a>) -> Option<Vec<Wired>> {
        let Some(world) = draft.world else {
            // What it wants is not known, but names of nothing are.
            for wire in &draft.wires {
                if let Err((message, hint)) = self.find(wire.reference) {
                    wire.item.report_value(message, Some(hint));
                }
            }
            return None;
        };
        let ports = world.contract().inputs;
        let mut wired: Vec<Wired> = Vec::new();
        let mut is_fine = true;
        for wire in &draft.wires {
            let Some(port) = ports.iter().find(|port| port.name == wire.port) else {
                let names = ports.iter().map(|port| port.name);
                let hint = match names.clone().next() {
                    Some(_) => format!("its inputs are {}", listed(names)),
                    None => "remove it: it works on a source".to_owned(),
                };
                wire.item.report(format!("`{}` has no input `{}`", draft.name, wire.port), Some(hint));
                is_fine = false;
                continue;
            };
            let Some(from) = self.fitting(wire, port) else {
                is_fine = false;
                continue;
            };
            match wired.iter_mut().find(|it| it.name == wire.port) {
                None => wired.push(Wired { name: wire.port.to_owned(), artifact: port.artifact, from: vec![from] }),
                Some(_) if !port.is_many => {
                    let hint = "name one: `inputs = { ... = \"STAGE\" }`".to_owned();
                    wire.item.report_value(format!("`{}` of `{}` is one thing", wire.port, draft.name), Some(hint));
                    is_fine = false;
                }
                Some(it) if it.from.contains(&from) => {
                    wire.item.report_value(format!("`{}` is named twice", wire.reference), None);
                    is_fine = false;
                }
                Some(it) => it.from.push(from),
            }
        }
        is_fine.then_some(wired)
    }

    /// The stage that a wire names, if it makes what the port takes.
    fn fitting(&self, wire: &Wire<'a>, port: &Port) -> Option<usize> {
        let (at, artifact) = match self.find(wire.reference) {
            Ok(found) => found,
            Err((message, hint)) => {
                wire.item.report_value(message, Some(hint));
                return None;
            }
        };
        let Draft { name, world, .. } = &self.drafts[at];
        // That it has none was told where it stands.
        let world = (*world)?;
        let wanted = || port.from.iter().map(|world| format!("`{world}`")).collect::<Vec<_>>().join(" or ");
        if !port.from.contains(&world) {
            let message = format!("`{name}` is of the world `{world}`, which does not fit `{}`", wire.port);
            wire.item.report_value(message, Some(format!("name a stage of the world {}", wanted())));
            return None;
        }
        if artifact.is_some_and(|artifact| artifact != port.artifact) {
            let message = format!("`{}` does not fit `{}`", wire.reference, wire.port);
            wire.item.report_value(message, Some(format!("write `{name}` or `{name}.{}`", port.artifact)));
            return None;
        }
        Some(at)
    }

    /// Adds the inputs that a stage leaves out, if there is one thing that they can be. Whether it
    /// went well.
    fn implied(&self, at: usize, wired: &mut [Option<Vec<Wired>>]) -> bool {
        let draft = &self.drafts[at];
        let (Some(world), Some(own)) = (draft.world, &wired[at]) else { return false };
        let ports = world.contract().inputs.iter();
        let missing: Vec<&Port> = ports.filter(|port| own.iter().all(|it| it.name != port.name)).collect();
        let mut is_fine = true;
        for port in missing {
            let from = self.candidates(port, wired);
            if from.len() > 1 && !port.is_many {
                let names: Vec<&str> = from.iter().map(|&at| self.drafts[at].name).collect();
                let hint = format!("say which: `inputs = {{ {} = \"{}\" }}`", port.name, names[0]);
                let message = format!("stage `{}` could work on {}", draft.name, listed(names.into_iter().take(20)));
                draft.report(message, Some(hint));
                is_fine = false;
            } else if let (Some(own), false) = (&mut wired[at], from.is_empty()) {
                own.push(Wired { name: port.name.to_owned(), artifact: port.artifact, from });
            }
        }
        is_fine
    }

    /// The stages that a port can be wired to if nobody says. A table of which another one is made
    /// is on the way to that one.
    fn candidates(&self, port: &Port, wired: &[Option<Vec<Wired>>]) -> Vec<usize> {
        let is_on_the_way = |at: usize| {
            self.drafts.iter().zip(wired).any(|(draft, wired)| {
                draft.world.is_some_and(|world| port.from.contains(&world))
                    && wired.iter().flatten().any(|wired| wired.from.contains(&at))
            })
        };
        let fits = |at: &usize| self.drafts[*at].world.is_some_and(|world| port.from.contains(&world));
        (0..self.drafts.len()).filter(fits).filter(|&at| !is_on_the_way(at)).collect()
    }
}

impl Draft<'_> {
    fn report(&self, message: String, hint: Option<String>) {
        self.item.report(message, hint);
    }
}

/// Refuses stages that wait for themselves. Whether there was one.
fn refuse_cycles(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
    // 0: not looked at; 1: on the way that is being walked; 2: done.
    let mut state = vec![0_u8; drafts.len()];
    let mut found = false;
    for first in 0..drafts.len() {
        let mut way: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut next = (state[first] == 0).then_some(first);
        loop {
            if let Some(at) = next.take() {
                state[at] = 1;
                way.push((at, wired[at].iter().flat_map(|it| it.from.iter().copied()).collect()));
            }
            let Some((at, rest)) = way.last_mut() else { break };
            let Some(before) = rest.pop() else {
                state[*at] = 2;
                way.pop();
                continue;
            };
            if state[before] == 0 {
                next = Some(before);
            } else if state[before] == 1 {
                found = true;
                let start = way.iter().position(|(at, _)| *at == before).unwrap_or_default();
                let mut names: Vec<&str> = way[start..].iter().rev().map(|(at, _)| drafts[*at].name).collect();
                names.insert(0, drafts[before].name);
                let message = format!("stage `{}` waits for itself: {}", drafts[before].name, names.join(" -> "));
                drafts[before].report(message, Some("take one of these inputs away".to_owned()));
            }
        }
    }
    found
}

/// One evaluation judges all models, and one promotion decides. Whether there was a second.
fn refuse_second(drafts: &[Draft<'_>]) -> bool {
    let mut found = false;
    for (world, hint) in [
        (World::Evaluation, "one evaluation judges several models: `inputs = { models = [\"A\", \"B\"] }`"),
        (World::Promotion, "a run has one candidate, the best of its models"),
    ] {
        for second in drafts.iter().filter(|draft| draft.world == Some(world)).skip(1) {
            second.report(format!("`{}` is a second stage of the world `{world}`", second.name), Some(hint.to_owned()));
            found = true;
        }
    }
    found
}

/// An artifact that a stage makes for others must be read by one. Whether there was something else.
fn refuse_unread(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
    let read: BTreeSet<usize> = wired.iter().flatten().flat_map(|wired| wired.from.iter().copied()).collect();
    let is_for_others =
        |world: World| World::all().flat_map(|other| other.contract().inputs).any(|port| port.from.contains(&world));
    let unread = |(at, draft): &(usize, &Draft<'_>)| draft.world.is_some_and(is_for_others) && !read.contains(at);
    let mut found = false;
    for (_, draft) in drafts.iter().enumerate().filter(unread) {
        let hint = "name it under `inputs` of another stage, or remove it".to_owned();
        draft.report(format!("no stage works on what `{}` makes", draft.name), Some(hint));
        found = true;
    }
    found
}

/// The stages that a port of a stage comes from.
fn of_port<'a>(wired: &'a [Wired], name: &str) -> &'a [usize] {
    wired.iter().find(|it| it.name == name).map(|it| it.from.as_slice()).unwrap_or_default()
}

fn tables_of(drafts: &[Draft<'_>], wired: &[Vec<Wired>], world: World) -> Vec<(usize, usize)> {
    let of = (0..drafts.len()).filter(|&at| drafts[at].world == Some(world));
    of.filter_map(|at| Some((at, *of_port(&wired[at], "table").first()?))).collect()
}

/// All models are judged on the same rows, so all transformations work on one table. Whether they
/// do not.
fn refuse_other_tables(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
    let tables = tables_of(drafts, wired, World::Transformation);
    let Some(&(first, table)) = tables.first() else { return false };
    let mut found = false;
    for &(at, other) in tables.iter().filter(|(_, other)| *other != table) {
        let message = format!(
            "`{}` works on `{}`, and `{}` on `{}`: models are judged on the same rows",
            drafts[first].name, drafts[table].name, drafts[at].name, drafts[other].name
        );
        drafts[at].report(message, Some("let all transformations work on one table".to_owned()));
        found = true;
    }
    found
}

/// Nothing is learnt from a table that no validation looked at. Whether something would be.
fn refuse_unchecked(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
    let checked: BTreeSet<usize> =
        tables_of(drafts, wired, World::Validation).into_iter().map(|(_, table)| table).collect();
    let mut found = false;
    for (at, table) in tables_of(drafts, wired, World::Transformation) {
        if !checked.contains(&table) {
            let name = drafts[table].name;
            let hint = format!("add a validation with `inputs = {{ table = \"{name}\" }}`");
            let message =
                format!("no validation checks the table of `{name}`, from which `{}` learns", drafts[at].name);
            drafts[at].report(message, Some(hint));
            found = true;
        }
    }
    found
}

/// The stages as steps, in an order in which they can be done.
fn steps(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> Option<Vec<Step>> {
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
            let line = line(&steps, &inputs);
            ids[at].push(id.clone());
            steps.push(Step { id, stage: stage.clone(), world, inputs, after: after.clone(), line });
        }
    }
    is_fine.then_some(steps)
}

/// Whether a stage works once for each of the stages that this input comes from.
fn is_split(world: World, wired: &Wired) -> bool {
    wired.from.len() > 1 && world.contract().inputs.iter().any(|port| port.is_many && port.name == wired.name)
}

/// The name of the step that evaluates one model of several.
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

/// The validations that a stage waits for: of the tables that others are made of, those; before
/// anything is learnt, all.
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

/// An order in which each stage stands after those that it waits for: by world, then by the place
/// in the file. There is no cycle.
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

/// The steps that data come through, by those that come through its inputs. Where several steps of
/// a world lead to it, none of them is *the* one.
fn line(steps: &[Step], inputs: &[Input]) -> BTreeMap<World, StepId> {
    let mut line: BTreeMap<World, Option<StepId>> = BTreeMap::new();
    let mut add = |world: World, id: &StepId| {
        let known = line.entry(world).or_insert_with(|| Some(id.clone()));
        if known.as_ref() != Some(id) {
            *known = None;
        }
    };
    for input in inputs {
        let Some(before) = steps.iter().find(|step| step.id == input.step) else { continue };
        // A table is a table, whichever stage made it.
        if input.artifact == "table" {
            add(World::Ingestion, &before.id);
            continue;
        }
        before.line.iter().for_each(|(world, id)| add(*world, id));
        add(before.world, &before.id);
    }
    line.into_iter().filter_map(|(world, id)| Some((world, id?))).collect()
}
