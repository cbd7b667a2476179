//! The graph of steps, as a drawing: each step to the right of those whose artifacts it read.

use std::collections::HashMap;

use maud::{Markup, html};
use stagewright_text::Untrusted;

use super::steps::{Step, state};

const WIDTH: usize = 156;
const HEIGHT: usize = 58;
const GAP_X: usize = 44;
const GAP_Y: usize = 18;
const EDGE: usize = 4;
/// The most steps of a drawing. The table has all.
const MOST: usize = 200;
/// The characters of a name for which there is room.
const LETTERS: usize = 19;

/// A place in the drawing.
#[derive(Clone, Copy)]
struct At {
    x: usize,
    y: usize,
}

/// Returns the drawing. `time` is what is written below a step's name.
pub(super) fn graph(steps: &[Step], time: impl Fn(&Step) -> String) -> Markup {
    let steps = steps.get(..MOST).unwrap_or(steps);
    let places = places(steps);
    let width = places.iter().map(|at| at.x + WIDTH).max().unwrap_or(0) + EDGE;
    let height = places.iter().map(|at| at.y + HEIGHT).max().unwrap_or(0) + EDGE;
    let of: HashMap<&str, At> = steps.iter().map(|step| step.name.as_str()).zip(places.iter().copied()).collect();
    html! {
        div.wide.graph tabindex="0" role="region" aria-label="Graph of the steps" {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img"
                aria-label={ "Graph of " (steps.len()) " steps; the table below says the same" } {
                @for (step, to) in steps.iter().zip(&places) {
                    @for from in step.after.iter().filter_map(|name| of.get(name.as_str())) {
                        path.edge d=(edge(*from, *to)) {}
                    }
                }
                @for (place, (step, at)) in steps.iter().zip(&places).enumerate() {
                    @let (class, word) = state(&step.status);
                    a href={ "#step-" (place) } {
                        title { (Untrusted::new(&step.name).cut(200)) ": " (Untrusted::new(word).cut(60)) ", " (time(step)) }
                        rect class={ "node " (class) } x=(at.x) y=(at.y) width=(WIDTH) height=(HEIGHT) rx="8" {}
                        text.name x=(at.x + 12) y=(at.y + 24) { (short(&step.name)) }
                        text.state x=(at.x + 12) y=(at.y + 44) { (Untrusted::new(word).cut(14)) " · " (time(step)) }
                    }
                }
            }
        }
    }
}

/// Returns the place of each step. Its column is the length of the longest way to it.
fn places(steps: &[Step]) -> Vec<At> {
    let mut columns: HashMap<&str, usize> = HashMap::new();
    let mut filled: Vec<usize> = Vec::new();
    let mut places = Vec::with_capacity(steps.len());
    for step in steps {
        let before = step.after.iter().filter_map(|name| columns.get(name.as_str()));
        let column = before.max().map_or(0, |column| column + 1);
        columns.insert(&step.name, column);
        if filled.len() <= column {
            filled.resize(column + 1, 0);
        }
        let row = filled[column];
        filled[column] += 1;
        places.push(At { x: EDGE + column * (WIDTH + GAP_X), y: EDGE + row * (HEIGHT + GAP_Y) });
    }
    places
}

/// Returns the way from the right of one step to the left of another.
fn edge(from: At, to: At) -> String {
    let (x1, y1) = (from.x + WIDTH, from.y + HEIGHT / 2);
    let (x2, y2) = (to.x, to.y + HEIGHT / 2);
    let bend = GAP_X / 2;
    // A long way stays in its row until it is beside the other step.
    let turn = x1.max(x2.saturating_sub(GAP_X));
    format!("M{x1} {y1}H{turn}C{} {y1} {} {y2} {x2} {y2}", turn + bend, x2.saturating_sub(bend))
}

/// Returns the beginning of a name, for which there is room.
fn short(name: &str) -> String {
    let shown = Untrusted::new(name).to_string();
    if shown.chars().count() <= LETTERS {
        return shown;
    }
    shown.chars().take(LETTERS - 1).chain(['…']).collect()
}
