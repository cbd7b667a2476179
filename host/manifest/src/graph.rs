//! The graph of a pipeline: which step works on which.
//!
//! Owns how names under `inputs` become steps, and everything that can be wrong with them: unknown
//! names, worlds that do not fit, cycles, tables without a validation. In a pipeline of six stages
//! without `inputs`, each input has exactly one possible source.

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

/// Connects the stages. Reports what is wrong and then returns `None`.
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
    // The rules below need the complete graph.
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
