//! A figure as SVG: the frame that all kinds of plots share (size, colours, title, legend, axes).
//!
//! SVG is written with maud, which escapes every text and attribute, rather than with a plotting library: figures are
//! restyled by the reader's dark mode, embedded in HTML with one style sheet, and must be the same bytes everywhere.
//! Nothing is measured with fonts: room for text is taken from its number of characters, and text is cut to its room.
//!
//! Colours are Okabe and Ito's ("Color Universal Design", 2008), darkened or lightened to show against their
//! background, each with a dash pattern of its own, so that lines are told apart without colour too.

use maud::{Markup, PreEscaped, html};

use super::axis::Axis;
use super::{Figure, Plot, bars, lines, matrix, text_table};
use crate::text::{printable, trim_zeros};

/// How wide every figure is, in its own units; it scales with the page.
pub(super) const WIDTH: f64 = 640.0;
/// About how wide a character of 12 units' height is.
pub(super) const CHARACTER: f64 = 6.6;
/// How many colours there are; after these only the dash pattern differs.
pub(super) const COLOURS: usize = 8;
/// Dash patterns, by number.
pub(super) const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];

/// The style sheet of all figures. Written once into a page, or into each SVG that stands alone.
pub(crate) const STYLE: &str = "\
.sw-figure{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;background:#fff}\
.sw-paper{fill:#fff}.sw-text{fill:#1f2328}.sw-muted{fill:#59636e}.sw-title{font-size:15px;font-weight:600}.sw-head{font-weight:600}\
.sw-grid{stroke:#e3e6ea}.sw-axis{stroke:#8c959f}.sw-line{fill:none;stroke-width:2;stroke-linejoin:round}\
.sw-reference{fill:none;stroke:#8c959f;stroke-width:1.5;stroke-dasharray:4 4}.sw-stripe{fill:#f6f8fa}\
.sw-l0{stroke:#0072b2}.sw-l1{stroke:#d55e00}.sw-l2{stroke:#00845f}.sw-l3{stroke:#a8518a}\
.sw-l4{stroke:#8a6d00}.sw-l5{stroke:#3a8fc7}.sw-l6{stroke:#5b4b9a}.sw-l7{stroke:#5c5c5c}\
.sw-f0{fill:#0072b2}.sw-f1{fill:#d55e00}.sw-f2{fill:#00845f}.sw-f3{fill:#a8518a}\
.sw-f4{fill:#8a6d00}.sw-f5{fill:#3a8fc7}.sw-f6{fill:#5b4b9a}.sw-f7{fill:#5c5c5c}\
@media(prefers-color-scheme:dark){.sw-figure{background:#161b22}.sw-paper{fill:#161b22}.sw-text{fill:#e6edf3}\
.sw-muted{fill:#9da7b3}.sw-grid{stroke:#2b323b}.sw-axis,.sw-reference{stroke:#7d8590}.sw-stripe{fill:#1c2129}\
.sw-l0{stroke:#56b4e9}.sw-l1{stroke:#f28e3c}.sw-l2{stroke:#35c99a}.sw-l3{stroke:#e3a0c8}\
.sw-l4{stroke:#f0e442}.sw-l5{stroke:#9ccff0}.sw-l6{stroke:#b6a8f0}.sw-l7{stroke:#b8b8b8}\
.sw-f0{fill:#56b4e9}.sw-f1{fill:#f28e3c}.sw-f2{fill:#35c99a}.sw-f3{fill:#e3a0c8}\
.sw-f4{fill:#f0e442}.sw-f5{fill:#9ccff0}.sw-f6{fill:#b6a8f0}.sw-f7{fill:#b8b8b8}}";

/// How a series looks in the legend.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A line in colour and dash pattern of this number.
    Line(usize),
    /// A line to compare with.
    Reference,
    /// A box in the colour of this number.
    Box(usize),
}

/// Draws a figure as an SVG document of its own. The same figure gives the same bytes.
///
/// Text is escaped, made printable and cut; values that are not finite, or lists of unequal length, are drawn as far
/// as they go (a figure that passed [`Figure::check`] has none).
#[must_use]
pub fn svg(figure: &Figure) -> String {
    render(figure, Some(STYLE)).into_string()
}

/// Draws a figure for a page that has [`STYLE`] already.
pub(crate) fn drawing(figure: &Figure) -> Markup {
    render(figure, None)
}

fn render(figure: &Figure, style: Option<&str>) -> Markup {
    let (height, body) = match &figure.plot {
        Plot::Lines(plot) => lines::draw(plot),
        Plot::Points(plot) => lines::draw_points(plot),
        Plot::Bars(plot) => bars::draw(plot),
        Plot::Matrix(plot) => matrix::draw(plot),
        Plot::Text(table) => text_table::draw(table),
    };
    let title = printable(&figure.title, 80);
    let height = height + TITLE;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" class="sw-figure" role="img" aria-label=(title)
            width=(unit(WIDTH)) height=(unit(height)) viewBox={ "0 0 " (unit(WIDTH)) " " (unit(height)) } {
            @if let Some(style) = style { style { (PreEscaped(style)) } }
            rect class="sw-paper" width=(unit(WIDTH)) height=(unit(height)) {}
            text class="sw-text sw-title" x="16" y="24" { (title) }
            g transform={ "translate(0 " (unit(TITLE)) ")" } { (body) }
        }
    }
}

/// The room of the title.
const TITLE: f64 = 36.0;

/// A coordinate: two decimals at most.
pub(super) fn unit(value: f64) -> String {
    trim_zeros(&format!("{value:.2}"))
}

/// A legend, in as many lines as it takes, and its height.
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

/// The dash pattern of a series: another for neighbours, and another when the colours start over.
pub(super) fn dash(number: usize) -> &'static str {
    DASHES[(number + number / COLOURS) % DASHES.len()]
}

/// The rectangle that data is drawn in.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    /// The horizontal position of a value.
    pub(super) fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * self.width
    }

    /// The vertical position of a value.
    pub(super) fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.top + (1.0 - axis.place(value)) * self.height
    }

    /// A horizontal axis below the area, with vertical grid lines.
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

    /// A vertical axis left of the area, with horizontal grid lines.
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
