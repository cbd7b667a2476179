//! Figures as SVG.
//!
//! SVG is written with maud, which escapes every text and attribute, rather than with a plotting
//! library: figures follow the reader's dark mode, share one style sheet with the HTML that embeds
//! them, and must be the same bytes on every machine.

use maud::{Markup, PreEscaped, html};

use super::canvas::{WIDTH, unit};
use super::{Figure, Plot, bars, lines, matrix, text_table};
use crate::text::printable;

/// The style sheet of all figures, written once into a page or into each SVG document.
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

/// Draws a figure as an SVG document. The same figure gives the same bytes.
///
/// Text is escaped, made printable and cut. Non-finite values and lists of unequal length are drawn
/// as far as possible; a figure that passed [`Figure::check`] has neither.
#[must_use]
pub fn svg(figure: &Figure) -> String {
    render(figure, Some(STYLE)).into_string()
}

/// Draws a figure for a page that contains [`STYLE`].
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

/// The height of the title.
const TITLE: f64 = 36.0;
