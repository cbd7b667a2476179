//! Lines or points over common axes.

use maud::{Markup, html};

use super::axis::Axis;
use super::canvas::{Area, Mark, WIDTH, dash, fill_class, legend, line_class, unit};
use super::{LinePlot, Series};

/// A line of at most this many points shows each as a dot.
const DOTTED: usize = 20;
const HEIGHT: f64 = 330.0;

/// Draws each series as a line and returns the plot's height too.
pub(super) fn draw(plot: &LinePlot) -> (f64, Markup) {
    drawn(plot, line)
}

/// Draws each point of each series and returns the plot's height too.
pub(super) fn draw_points(plot: &LinePlot) -> (f64, Markup) {
    drawn(plot, dots)
}

type Drawn = fn(&Series, Mark, &Area, &Axis, &Axis) -> Markup;

fn drawn(plot: &LinePlot, draw: Drawn) -> (f64, Markup) {
    let marks = marks(plot);
    let entries: Vec<(String, Mark)> =
        plot.series.iter().zip(&marks).map(|(series, mark)| (series.name.clone(), *mark)).collect();
    let (top, legend) = legend(&entries);
    let points = || plot.series.iter().flat_map(finite_points);
    let (x_axis, y_axis) = if plot.unit_axes {
        (Axis::unit(), Axis::unit())
    } else {
        (Axis::around(points().map(|(x, _)| x)), Axis::around(points().map(|(_, y)| y)))
    };
    let widest = y_axis.ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    let left = 44.0 + widest as f64 * 6.6;
    let area = Area { left, top: top + 6.0, width: WIDTH - left - 24.0, height: HEIGHT };
    let body = html! {
        (legend)
        (area.x_axis(&x_axis, &plot.x_label))
        (area.y_axis(&y_axis, &plot.y_label))
        path class="sw-axis" fill="none" d={
            "M" (unit(area.left)) " " (unit(area.top)) "v" (unit(area.height)) "h" (unit(area.width))
        } {}
        @for (series, mark) in plot.series.iter().zip(&marks) {
            (draw(series, *mark, &area, &x_axis, &y_axis))
        }
    };
    (area.top + area.height + 52.0, body)
}

/// Reference lines look alike. The other series are numbered among themselves.
fn marks(plot: &LinePlot) -> Vec<Mark> {
    let mut number = 0;
    plot.series
        .iter()
        .map(|series| {
            if series.reference {
                return Mark::Reference;
            }
            number += 1;
            Mark::Line(number - 1)
        })
        .collect()
}

fn finite_points(series: &Series) -> impl Iterator<Item = (f64, f64)> {
    series.x.iter().copied().zip(series.y.iter().copied()).filter(|(x, y)| x.is_finite() && y.is_finite())
}

/// Returns the positions of a series' points, to a tenth of a unit.
fn places(series: &Series, area: &Area, x_axis: &Axis, y_axis: &Axis) -> Vec<(String, String)> {
    let mut places: Vec<(String, String)> = finite_points(series)
        .map(|(x, y)| (format!("{:.1}", area.x(x_axis, x)), format!("{:.1}", area.y(y_axis, y))))
        .collect();
    // Points at the same position as the one before are invisible.
    places.dedup();
    places
}

fn dots(series: &Series, mark: Mark, area: &Area, x_axis: &Axis, y_axis: &Axis) -> Markup {
    let class = match mark {
        Mark::Line(number) | Mark::Box(number) => fill_class(number),
        Mark::Reference => "sw-reference".to_owned(),
    };
    html! {
        @for (x, y) in &places(series, area, x_axis, y_axis) { circle class=(&class) r="2.5" cx=(x) cy=(y) {} }
    }
}

fn line(series: &Series, mark: Mark, area: &Area, x_axis: &Axis, y_axis: &Axis) -> Markup {
    let places = places(series, area, x_axis, y_axis);
    let path = match places.as_slice() {
        [] => String::new(),
        [first, others @ ..] => {
            let others: Vec<String> = others.iter().map(|(x, y)| format!("{x} {y}")).collect();
            format!("M{} {}L{}", first.0, first.1, others.join(" "))
        }
    };
    let path = path.trim_end_matches('L');
    html! {
        @match mark {
            Mark::Line(number) | Mark::Box(number) => {
                path class=(line_class(number)) stroke-dasharray=(dash(number)) d=(path) {}
                @if places.len() <= DOTTED {
                    @for (x, y) in &places { circle class=(fill_class(number)) r="3.5" cx=(x) cy=(y) {} }
                }
            }
            Mark::Reference => path class="sw-reference" d=(path) {},
        }
    }
}
