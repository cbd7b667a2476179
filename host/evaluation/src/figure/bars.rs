//! Horizontal bars, one group per label, so that long names stay readable.

use maud::{Markup, html};

use super::BarPlot;
use super::axis::Axis;
use super::canvas::{Area, CHARACTER, Mark, WIDTH, fill_class, legend, unit};
use crate::text::{number, printable};

/// Characters after which a label is cut.
const LABEL: usize = 34;

/// Draws the plot and returns its height too.
pub(super) fn draw(plot: &BarPlot) -> (f64, Markup) {
    let entries: Vec<(String, Mark)> = if plot.series.len() > 1 {
        plot.series.iter().enumerate().map(|(number, series)| (series.name.clone(), Mark::Box(number))).collect()
    } else {
        Vec::new()
    };
    let (top, legend) = legend(&entries);
    let labels: Vec<String> = plot.labels.iter().map(|label| printable(label, LABEL)).collect();
    let values =
        || plot.series.iter().flat_map(|series| series.values.iter().copied()).filter(|value| value.is_finite());
    // Bars begin at zero, so the axis contains it.
    let axis = Axis::around(values().chain([0.0]));
    let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let left = 28.0 + widest as f64 * CHARACTER;
    let bar = if plot.series.len() > 1 { 9.0 } else { 14.0 };
    let group = bar * plot.series.len() as f64 + 8.0;
    let height = (group * labels.len() as f64).max(group);
    // The room to the right of the area is for the number at the longest bar.
    let area = Area { left, top: top + 6.0, width: WIDTH - left - 70.0, height };
    let zero = area.x(&axis, 0.0);
    let body = html! {
        (legend)
        (area.x_axis(&axis, &plot.value_label))
        @for (row, label) in labels.iter().enumerate() {
            @let y = area.top + row as f64 * group;
            text class="sw-text" text-anchor="end" x=(unit(left - 10.0)) y=(unit(y + group / 2.0 + 4.0)) { (label) }
            @for (series, values) in plot.series.iter().map(|series| &series.values).enumerate() {
                @if let Some(value) = values.get(row).copied().filter(|value| value.is_finite()) {
                    (one_bar(&area, zero, area.x(&axis, value), y + 4.0 + series as f64 * bar, bar, series, value))
                }
            }
        }
        path class="sw-axis" d={ "M" (unit(zero)) " " (unit(area.top)) "v" (unit(area.height)) } {}
    };
    (area.top + area.height + 52.0, body)
}

fn one_bar(area: &Area, zero: f64, end: f64, y: f64, height: f64, series: usize, value: f64) -> Markup {
    let (text_x, anchor) =
        if value < 0.0 && end - area.left > 48.0 { (end - 5.0, "end") } else { (end.max(zero) + 5.0, "start") };
    html! {
        rect class=(fill_class(series)) x=(unit(zero.min(end))) y=(unit(y)) width=(unit((end - zero).abs()))
            height=(unit(height - 1.0)) rx="1.5" {}
        text class="sw-muted" font-size=(unit(height.min(11.0))) text-anchor=(anchor) x=(unit(text_x))
            y=(unit(y + height / 2.0 + 3.0)) { (number(value)) }
    }
}
