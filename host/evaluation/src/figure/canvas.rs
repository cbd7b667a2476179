//! The parts that all plots share: size, colours, legend, axes.
//!
//! The width of text is estimated from its number of characters, without fonts, and text is cut to
//! fit.
//!
//! The colours are those of Okabe and Ito ("Color Universal Design", 2008), darkened or lightened
//! for contrast with the background. Neighbouring series also differ in their dash pattern, so that
//! they can be told apart without colour.

use maud::{Markup, html};

use super::axis::Axis;
use crate::text::{printable, trim_zeros};

/// The width of every figure in its own units. It scales with the page.
pub(super) const WIDTH: f64 = 640.0;
/// The approximate width of a character at a height of 12 units.
pub(super) const CHARACTER: f64 = 6.6;
/// The number of colours. Further series differ in the dash pattern alone.
pub(super) const COLOURS: usize = 8;
/// Dash patterns, by number.
pub(super) const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];

/// The appearance of a series in the legend.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A line with the colour and dash pattern of this number.
    Line(usize),
    /// A reference line.
    Reference,
    /// A box in the colour of this number.
    Box(usize),
}

/// Formats a coordinate with at most two decimals.
pub(super) fn unit(value: f64) -> String {
    trim_zeros(&format!("{value:.2}"))
}

/// Returns the height of a legend, in as many lines as it needs, and the legend.
pub(super) fn legend(entries: &[(String, Mark)]) -> (f64, Markup) {
    let (mut x, mut y) = (16.0, 0.0);
    let mut placed = Vec::with_capacity(entries.len());
    for (name, mark) in entries {
        let name = printable(name, 48);
        let room = 46.0 + name.chars().count() as f64 * CHARACTER;
        if x + room > WIDTH && x > 16.0 {
            (x, y) = (16.0, y + 20.0);
        }
        placed.push((x, y + 10.0, name, *mark));
        x += room;
    }
    let height = if entries.is_empty() { 0.0 } else { y + 28.0 };
    let markup = html! {
        @for (x, y, name, mark) in placed {
            @match mark {
                Mark::Line(number) => path class=(line_class(number)) stroke-dasharray=(dash(number)) d=(dash_path(x, y)) {},
                Mark::Reference => path class="sw-reference" d=(dash_path(x, y)) {},
                Mark::Box(number) => rect class=(fill_class(number)) x=(unit(x + 8.0)) y=(unit(y - 6.0)) width="12" height="12" rx="2" {},
            }
            text class="sw-text" x=(unit(x + 30.0)) y=(unit(y + 4.0)) { (name) }
        }
    };
    (height, markup)
}

fn dash_path(x: f64, y: f64) -> String {
    format!("M{} {}h24", unit(x), unit(y))
}

pub(super) fn line_class(number: usize) -> String {
    format!("sw-line sw-l{}", number % COLOURS)
}

pub(super) fn fill_class(number: usize) -> String {
    format!("sw-f{}", number % COLOURS)
}

/// Returns the dash pattern of a series. Neighbours differ, and so do series of the same colour.
pub(super) fn dash(number: usize) -> &'static str {
    DASHES[(number + number / COLOURS) % DASHES.len()]
}

/// The rectangle of the data.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    /// Returns the horizontal position of a value.
    pub(super) fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * self.width
    }

    /// Returns the vertical position of a value.
    pub(super) fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.top + (1.0 - axis.place(value)) * self.height
    }

    /// Draws a horizontal axis below the area, with vertical grid lines.
    pub(super) fn x_axis(&self, axis: &Axis, title: &str) -> Markup {
        let bottom = self.top + self.height;
        html! {
            @for (value, text) in &axis.ticks {
                @let x = self.x(axis, *value);
                path class="sw-grid" d={ "M" (unit(x)) " " (unit(self.top)) "V" (unit(bottom)) } {}
                text class="sw-muted" text-anchor="middle" x=(unit(x)) y=(unit(bottom + 17.0)) { (text) }
            }
            text class="sw-text" text-anchor="middle" x=(unit(self.left + self.width / 2.0)) y=(unit(bottom + 38.0)) {
                (printable(title, 80))
            }
        }
    }

    /// Draws a vertical axis left of the area, with horizontal grid lines.
    pub(super) fn y_axis(&self, axis: &Axis, title: &str) -> Markup {
        let middle = unit(self.top + self.height / 2.0);
        html! {
            @for (value, text) in &axis.ticks {
                @let y = self.y(axis, *value);
                path class="sw-grid" d={ "M" (unit(self.left)) " " (unit(y)) "h" (unit(self.width)) } {}
                text class="sw-muted" text-anchor="end" x=(unit(self.left - 8.0)) y=(unit(y + 4.0)) { (text) }
            }
            text class="sw-text" text-anchor="middle" x="18" y=(middle) transform={ "rotate(-90 18 " (middle) ")" } {
                (printable(title, 48))
            }
        }
    }
}
