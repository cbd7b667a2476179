//! The graph of a pipeline: which step works on which.
//!
//! Owns how names under `inputs` become steps, and everything that can be wrong about it: names of
//! nothing, worlds that do not fit, cycles, tables that nobody checks. Six stages without `inputs`
//! are the graph in which each works on the one that there is.

mod drafts;
mod rules;
mod schedule;
mod steps;
mod wiring;

use crate::world::World;

use drafts::Wired;
pub(crate) use drafts::{Draft, Wire};
pub use steps::{Edge, Graph, Input, Step};
pub(crate) use wiring::References;

/// Wires the stages; `None` if something is wrong, which is reported.
pub(crate) fn resolve(drafts: &[Draft<'_>]) -> Option<Graph> {
    let references = References::of(drafts);
    let is_whole = drafts.iter().all(|draft| draft.world.is_some());
    let mut wired: Vec<Option<Vec<Wired>>> = drafts.iter().map(|draft| references.written(draft)).collect();
    let mut is_fine = is_whole && wired.iter().all(Option::is_some);
    for at in 0..drafts.len() {
        is_fine &= references.implied(at, &mut wired);
    }
    let wired: Vec<Vec<Wired>> = wired.into_iter().map(Option::unwrap_or_default).collect();
    is_fine &= !rules::refuse_cycles(drafts, &wired);
    is_fine &= !rules::refuse_second(drafts);
    // What follows asks about the whole.
    if !is_fine || World::required().any(|world| !references.has(world)) {
        return None;
    }
    let is_unfit = [
        rules::refuse_unread(drafts, &wired),
        rules::refuse_other_tables(drafts, &wired),
        rules::refuse_unchecked(drafts, &wired),
    ];
    let steps = schedule::steps(drafts, &wired);
    if is_unfit.contains(&true) {
        return None;
    }
    Some(Graph { steps: steps? })
}
