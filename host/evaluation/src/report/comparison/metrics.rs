//! Metrics side by side: the difference to the first subject, and which is better if that is known.

use serde::Serialize;

use super::rows::{ComparisonRow, ComparisonSection, union};
use super::subject::Subject;
use crate::metrics::{Direction, direction};
use crate::report::document::{signed, signed_percent};
use crate::text::aligned;

/// How a value compares with the first subject's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is better.
    Better,
    /// It is worse.
    Worse,
    /// It is equal.
    Same,
}

/// A metric of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MetricCell {
    /// The value; `None` if it is missing or undefined.
    pub value: Option<f64>,
    /// The value minus the first subject's; `None` for the first, or if either is missing.
    pub difference: Option<f64>,
    /// The difference in per cent of the first subject's value; `None` if that is 0.
    pub percent: Option<f64>,
    /// Whether the value is better than the first subject's; `None` if that is unknown, because the
    /// direction of the metric is or because other test rows were used.
    pub standing: Option<Standing>,
    /// Whether the value is the best of all; false if that is unknown or all values are equal.
    pub best: bool,
}

/// A metric of all subjects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricRow {
    /// The name.
    pub metric: String,
    /// One cell per subject, in their order.
    pub cells: Vec<MetricCell>,
    /// Whether the values differ. A missing one differs from any other.
    pub differs: bool,
}

/// Returns the metrics of all subjects: those that differ first, otherwise in the order of the
/// subjects.
pub(super) fn rows(subjects: &[Subject]) -> Vec<MetricRow> {
    let names = union(subjects.iter().flat_map(|subject| subject.metrics.iter().map(|(name, _)| name)));
    let mut rows: Vec<MetricRow> = names.into_iter().map(|name| row(subjects, name)).collect();
    rows.sort_by_key(|row| !row.differs);
    rows
}

fn row(subjects: &[Subject], metric: &str) -> MetricRow {
    let values: Vec<Option<f64>> = subjects.iter().map(|subject| subject.metrics.get(metric)).collect();
    let differs = values.iter().any(|value| *value != values[0]);
    let direction = direction(metric);
    let all_comparable = subjects.iter().all(|subject| same_test_rows(subject, &subjects[0]));
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let has_best = all_comparable && known.iter().any(|value| *value != known[0]);
    let best = direction.filter(|_| has_best).and_then(|direction| {
        let better = if direction == Direction::Higher { f64::max } else { f64::min };
        known.iter().copied().reduce(better)
    });
    let cell = |(position, value): (usize, &Option<f64>)| {
        let base = if position == 0 { None } else { values[0] };
        let both = value.zip(base);
        let comparable = same_test_rows(&subjects[position], &subjects[0]);
        MetricCell {
            value: *value,
            difference: both.map(|(value, base)| value - base),
            percent: both.filter(|(_, base)| *base != 0.0).map(|(value, base)| (value - base) / base.abs() * 100.0),
            standing: both.filter(|_| comparable).and_then(|(value, base)| standing(direction, value, base)),
            best: value.is_some() && *value == best,
        }
    };
    MetricRow { metric: metric.to_owned(), cells: values.iter().enumerate().map(cell).collect(), differs }
}

fn standing(direction: Option<Direction>, value: f64, base: f64) -> Option<Standing> {
    if value == base {
        return Some(Standing::Same);
    }
    let better = (value > base) == (direction? == Direction::Higher);
    Some(if better { Standing::Better } else { Standing::Worse })
}

/// Returns whether two subjects are known to have been measured on the same rows.
fn same_test_rows(one: &Subject, other: &Subject) -> bool {
    one.measured_on().is_some() && one.measured_on() == other.measured_on()
}

impl MetricRow {
    /// Returns the row as text: `0.8461 (+0.0051, +0.61 %, better)`. `several` adds which is best.
    pub(super) fn text(&self, several: bool) -> ComparisonRow {
        ComparisonRow {
            section: ComparisonSection::Metrics,
            key: self.metric.clone(),
            values: self.cells.iter().map(|cell| cell.text(several)).collect(),
            differs: self.differs,
        }
    }
}

impl MetricCell {
    fn text(&self, several: bool) -> Option<String> {
        let value = aligned(self.value?);
        let standing = self.standing.map(|standing| match standing {
            Standing::Better => "better",
            Standing::Worse => "worse",
            Standing::Same => "same",
        });
        let notes: Vec<String> = [
            self.difference.filter(|difference| *difference != 0.0).map(signed),
            self.percent.filter(|percent| *percent != 0.0).map(signed_percent),
            standing.map(str::to_owned),
            (several && self.best).then(|| "best".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        Some(if notes.is_empty() { value } else { format!("{value} ({})", notes.join(", ")) })
    }
}
