//! Rules that a connected graph must obey. Each function reports its violations and returns whether
//! there were any.

use std::collections::BTreeSet;

use super::drafts::{Draft, Wired};
use crate::world::World;

/// Refuses cycles: a stage must not wait for itself.
pub(super) fn refuse_cycles(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
    // 0: not visited; 1: on the current path; 2: done.
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

/// Refuses a second evaluation or promotion: one evaluation judges all models, and one promotion
/// decides.
pub(super) fn refuse_second(drafts: &[Draft<'_>]) -> bool {
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

/// Refuses stages whose output nobody reads, if it is made for other stages.
pub(super) fn refuse_unread(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
    let read: BTreeSet<usize> = wired.iter().flatten().flat_map(|wired| wired.from.iter().copied()).collect();
    let is_for_others =
        |world: World| World::all().flat_map(|other| other.contract().ports()).any(|port| port.from.contains(&world));
    let unread = |(at, draft): &(usize, &Draft<'_>)| draft.world.is_some_and(is_for_others) && !read.contains(at);
    let mut found = false;
    for (_, draft) in drafts.iter().enumerate().filter(unread) {
        let hint = "name it under `inputs` of another stage, or remove it".to_owned();
        draft.report(format!("no stage works on what `{}` makes", draft.name), Some(hint));
        found = true;
    }
    found
}

/// Returns the stages that an input of a stage comes from.
fn of_port<'a>(wired: &'a [Wired], name: &str) -> &'a [usize] {
    wired.iter().find(|it| it.name == name).map(|it| it.from.as_slice()).unwrap_or_default()
}

pub(super) fn tables_of(drafts: &[Draft<'_>], wired: &[Vec<Wired>], world: World) -> Vec<(usize, usize)> {
    let of = (0..drafts.len()).filter(|&at| drafts[at].world == Some(world));
    of.filter_map(|at| Some((at, *of_port(&wired[at], "table").first()?))).collect()
}

/// Refuses transformations of different tables: all models are judged on the same rows.
pub(super) fn refuse_other_tables(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
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

/// Refuses to learn from a table that no validation checks.
pub(super) fn refuse_unchecked(drafts: &[Draft<'_>], wired: &[Vec<Wired>]) -> bool {
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
