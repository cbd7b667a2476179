//! The figures of a comparison, with one series per subject.

use super::metrics::MetricRow;
use super::subject::Subject;
use crate::figure::{BarPlot, BarSeries, Figure, LinePlot, Plot, Series, scaled_importance};
use crate::report::comparison::rows::union;

/// The most features that are shown.
const FEATURES: usize = 20;

/// Returns metrics as grouped bars: those between 0 and 1 on one axis, all others on another, so
/// that an error of thousands does not hide them.
pub(super) fn metric_bars(subjects: &[Subject], rows: &[MetricRow]) -> Vec<Figure> {
    let is_share =
        |row: &&MetricRow| row.cells.iter().filter_map(|cell| cell.value).all(|value| (0.0..=1.0).contains(&value));
    let known = rows.iter().filter(|row| row.cells.iter().any(|cell| cell.value.is_some()));
    let (shares, others): (Vec<&MetricRow>, Vec<&MetricRow>) = known.partition(is_share);
    let bars = |name: &str, title: &str, value_label: &str, rows: &[&MetricRow]| {
        (!rows.is_empty()).then(|| {
            let labels = rows.iter().map(|row| row.metric.clone()).collect();
            let values = |subject: usize| rows.iter().map(|row| row.cells[subject].value.unwrap_or(f64::NAN)).collect();
            bar_figure(name, title, value_label, labels, subjects, values)
        })
    };
    [
        bars("metrics", "Metrics from 0 to 1", "On the test rows", &shares),
        bars("other-metrics", "Other metrics", "On the test rows", &others),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the features that are among the twenty most important of any subject; `None` if no
/// subject names any.
pub(super) fn importance_bars(subjects: &[Subject]) -> Option<Figure> {
    let scaled: Vec<Vec<(String, f64)>> =
        subjects.iter().map(|subject| scaled_importance(&subject.importance)).collect();
    let share = |subject: usize, feature: &str| {
        scaled[subject].iter().find(|(name, _)| name == feature).map_or(0.0, |(_, share)| *share)
    };
    let greatest = |feature: &str| (0..subjects.len()).map(|subject| share(subject, feature)).fold(0.0, f64::max);
    let mut features = union(scaled.iter().flatten().map(|(feature, _)| feature.as_str()));
    features.sort_by(|a, b| greatest(b).total_cmp(&greatest(a)).then_with(|| a.cmp(b)));
    features.truncate(FEATURES);
    if features.is_empty() {
        return None;
    }
    let labels = features.iter().map(|feature| (*feature).to_owned()).collect();
    let values = |subject: usize| features.iter().map(|feature| share(subject, feature)).collect();
    let value_label = "Share of the model's total importance";
    Some(bar_figure("importance", "Feature importance", value_label, labels, subjects, values))
}

/// Returns the curves of all subjects, one plot for each name, with the references of the first
/// subject that has it.
pub(super) fn curves(subjects: &[Subject]) -> Vec<Figure> {
    let mut drawn: Vec<(Figure, LinePlot)> = Vec::new();
    for subject in subjects {
        for figure in &subject.curves {
            let Plot::Lines(plot) = &figure.plot else { continue };
            let Some(finding) = plot.series.iter().find(|series| !series.reference) else { continue };
            let series = Series { name: renamed(&finding.name, &subject.title), ..finding.clone() };
            match drawn.iter_mut().find(|(known, _)| known.name == figure.name) {
                Some((_, common)) => common.series.push(series),
                None => {
                    let references = plot.series.iter().filter(|series| series.reference).cloned();
                    drawn.push((
                        figure.clone(),
                        LinePlot { series: references.chain([series]).collect(), ..plot.clone() },
                    ));
                }
            }
        }
    }
    drawn.into_iter().map(|(figure, plot)| Figure { plot: Plot::Lines(plot), ..figure }).collect()
}

/// Replaces the model in `candidate (AUC 0.84)` by the subject: `churn-classifier/3 (AUC 0.84)`.
fn renamed(series: &str, title: &str) -> String {
    series.find(" (").map_or_else(|| title.to_owned(), |suffix| format!("{title}{}", &series[suffix..]))
}

fn bar_figure(
    name: &str,
    title: &str,
    value_label: &str,
    labels: Vec<String>,
    subjects: &[Subject],
    values: impl Fn(usize) -> Vec<f64>,
) -> Figure {
    let series = subjects
        .iter()
        .enumerate()
        .map(|(position, subject)| BarSeries { name: subject.title.clone(), values: values(position) })
        .collect();
    let plot = Plot::Bars(BarPlot { value_label: value_label.to_owned(), labels, series });
    Figure { name: name.to_owned(), title: title.to_owned(), plot }
}
