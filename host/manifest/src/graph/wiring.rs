//! Resolves names under `inputs` and `outputs`, and finds the inputs that a stage does not name.

use std::collections::BTreeMap;

use super::drafts::{Draft, Wire, Wired};
use crate::names::Identifier;
use crate::nearest::{listed, nearest};
use crate::problem::Condition;
use crate::world::{Port, World};

/// Resolves references under `inputs` and `outputs`.
pub(crate) struct References<'a> {
    drafts: &'a [Draft<'a>],
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> References<'a> {
    pub(crate) fn of(drafts: &'a [Draft<'a>]) -> Self {
        Self { drafts, by_name: drafts.iter().enumerate().map(|(at, draft)| (draft.name, at)).collect() }
    }

    pub(super) fn has(&self, world: World) -> bool {
        self.drafts.iter().any(|draft| draft.world == Some(world))
    }

    /// Returns the index of the stage and, if the reference names one, the artifact. References are
    /// `STAGE`, `WORLD.STAGE`, `STAGE.ARTIFACT` and `WORLD.STAGE.ARTIFACT`.
    ///
    /// # Errors
    /// A message and a hint.
    pub(crate) fn find(&self, reference: &'a str) -> Result<(usize, Option<&'a str>), (String, String)> {
        let parts: Vec<&str> = reference.split('.').collect();
        let is_of = |stage: &str, world: &str| {
            let at = self.by_name.get(stage).copied();
            at.filter(|&at| self.drafts[at].world.is_some_and(|it| it.as_str() == world))
        };
        let makes = |at: usize, artifact: &str| {
            // If the world is not known, the artifact may exist.
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

    /// Returns the stage, its world and the artifact that a reference under `outputs` names.
    ///
    /// # Errors
    /// A message and a hint.
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

    /// Returns the inputs that a stage names; `None` if one of them is wrong.
    pub(super) fn written(&self, draft: &Draft<'a>) -> Option<Vec<Wired>> {
        let Some(world) = draft.world else {
            // The inputs of an unknown world are not known, but unknown names can be reported.
            for wire in &draft.wires {
                if let Err((message, hint)) = self.find(wire.reference) {
                    wire.item.report_value(message, Some(hint));
                }
            }
            return None;
        };
        let mut wired: Vec<Wired> = Vec::new();
        let mut is_fine = true;
        for wire in &draft.wires {
            let Some(port) = port_of(draft, world, wire) else {
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

    /// Returns the stage that an input names, if its artifact fits the port.
    fn fitting(&self, wire: &Wire<'a>, port: &Port) -> Option<usize> {
        let (at, artifact) = match self.find(wire.reference) {
            Ok(found) => found,
            Err((message, hint)) => {
                wire.item.report_value(message, Some(hint));
                return None;
            }
        };
        let Draft { name, world, .. } = &self.drafts[at];
        // An unknown world was reported at its stage.
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

    /// Adds the inputs that a stage does not name, where exactly one source fits. Returns whether
    /// all were found.
    pub(super) fn implied(&self, at: usize, wired: &mut [Option<Vec<Wired>>]) -> bool {
        let draft = &self.drafts[at];
        let (Some(world), Some(own)) = (draft.world, &wired[at]) else { return false };
        let ports = world.contract().inputs.iter();
        let missing: Vec<&Port> = ports.filter(|port| own.iter().all(|it| it.name != port.name)).collect();
        let mut is_fine = true;
        let contract = world.contract();
        if contract.named_inputs.is_some() && contract.inputs.is_empty() && own.is_empty() {
            let hint = "name the tables that it works on: `inputs = { NAME = \"STAGE\" }`".to_owned();
            draft.report(format!("stage `{}` has no inputs", draft.name), Some(hint));
            is_fine = false;
        }
        for port in missing {
            let from = self.candidates(port, wired);
            if from.len() > 1 && !port.is_many && self.is_astray(port, wired) {
                // Which tables others are made of is not known, so the choice cannot be made.
                is_fine = false;
            } else if from.len() > 1 && !port.is_many {
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

    /// Returns whether a stage that could make what a port takes has wrong inputs.
    fn is_astray(&self, port: &Port, wired: &[Option<Vec<Wired>>]) -> bool {
        let mut stages = self.drafts.iter().zip(wired);
        stages.any(|(draft, wired)| wired.is_none() && draft.world.is_none_or(|world| port.from.contains(&world)))
    }

    /// Returns the stages that a port can be connected to by default. A table that another one is
    /// made of does not count.
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

/// Returns the port that an input is for; reports an unknown one. A name that is almost that of a
/// port is no name of the manifest's own, but a slip.
fn port_of(draft: &Draft<'_>, world: World, wire: &Wire<'_>) -> Option<&'static Port> {
    let contract = world.contract();
    let is_slip =
        |port: &&Port| port.name.is_empty() && nearest(wire.port, contract.inputs.iter().map(|it| it.name)).is_some();
    let Some(port) = contract.port(wire.port).filter(|port| !is_slip(port)) else {
        let names = contract.inputs.iter().map(|port| port.name);
        let hint = match names.clone().next() {
            Some(_) => format!("its inputs are {}", listed(names)),
            None => "remove it: it works on a source".to_owned(),
        };
        wire.item.report_as(Condition::Wiring, format!("`{}` has no input `{}`", draft.name, wire.port), Some(hint));
        return None;
    };
    if let (true, Err(rule)) = (port.name.is_empty(), Identifier::new(wire.port)) {
        let message = format!("`{}` is not a name for an input", crate::document::key_text(wire.port));
        wire.item.report(message, Some(rule.to_owned()));
        return None;
    }
    Some(port)
}
