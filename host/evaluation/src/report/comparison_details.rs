//! How candidate and champion were compared: the policy, the rows, and the confidence of the
//! difference. Shared by the evaluation report and the card.

use serde::{Deserialize, Serialize};

use super::evaluated_model::Champion;
use crate::difference::MetricDifference;
use crate::gates::{ChampionComparison, Policy};
use crate::metrics::lower_is_better;
use crate::text::{aligned, count, number, trim_zeros};

/// How candidate and champion were compared. An unknown number of rows is `None`, never 0. It is
/// unknown if the version has no record of its rows, was imported, or has keys from other columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparisonDetails {
    /// The policy for the primary metric.
    pub policy: Policy,
    /// The number of test rows that the candidate learnt from. Its metrics exclude them.
    pub candidate_overlap_rows: Option<u64>,
    /// The number of test rows that the champion learnt from. The comparison excludes them. `None`
    /// also without a champion.
    pub champion_overlap_rows: Option<u64>,
    /// The number of test rows that equal, in every cell, a row with another key that one of the
    /// two learnt from. They are counted and not excluded.
    pub equal_content_rows: Option<u64>,
    /// Both on the rows that neither learnt from; `None` without a champion that can be compared.
    pub comparison: Option<ChampionComparison>,
}

impl ComparisonDetails {
    /// Returns the policy in words.
    pub(super) fn policy_text(&self) -> &'static str {
        match self.policy {
            Policy::Better => "better: more than the champion's figure and the margin",
            Policy::NoWorse => "no-worse: at least the champion's figure less the margin",
            Policy::Absolute => "absolute: not compared with the champion",
        }
    }

    /// Returns which rows were excluded and compared, by name.
    pub(super) fn rows_text(&self, champion: Option<&Champion>) -> Vec<(&'static str, String)> {
        let rows =
            |rows: Option<u64>| rows.map_or_else(|| "not known".to_owned(), |rows| format!("{} rows", count(rows)));
        let mut facts = vec![("Learnt from by the candidate", rows(self.candidate_overlap_rows))];
        if matches!(champion, Some(Champion::Evaluated(_))) {
            facts.push(("Learnt from by the champion", rows(self.champion_overlap_rows)));
        }
        facts.extend(self.comparison.as_ref().map(|it| ("Compared on", rows(Some(it.rows)))));
        facts.extend(self.equal_content_rows.map(|equal| ("Equal to rows learnt from", rows(Some(equal)))));
        facts
    }

    /// Returns the caveats. `test_rows` is the number of test rows, if it is known.
    pub(super) fn caveats(&self, champion: Option<&Champion>, test_rows: Option<u64>) -> Vec<String> {
        let of = |rows: u64| {
            let all = test_rows.map_or_else(String::new, |all| format!(" of the {}", count(all)));
            format!("{}{all} test rows", count(rows))
        };
        let evaluated = matches!(champion, Some(Champion::Evaluated(_)));
        let mut caveats = Vec::new();
        match self.candidate_overlap_rows {
            None if test_rows.is_some() => caveats.push(
                "It is not known how many of the test rows the candidate learnt from: its figures may be too good."
                    .to_owned(),
            ),
            Some(rows) if rows > 0 => {
                caveats.push(format!("The candidate learnt from {}: its figures leave them out.", of(rows)));
            }
            _ => {}
        }
        match self.champion_overlap_rows {
            None if evaluated => caveats.push(
                "It is not known how many of the test rows the champion learnt from: the comparison may favour it."
                    .to_owned(),
            ),
            Some(rows) if rows > 0 => {
                caveats.push(format!("The champion learnt from {}: the comparison leaves them out.", of(rows)));
            }
            _ => {}
        }
        if let Some(rows) = self.equal_content_rows.filter(|rows| *rows > 0) {
            let text = "equal, in every cell, a row that was learnt from under another key: they are left in";
            caveats.push(format!("{} {text}.", of(rows)));
        }
        if let Some(why) = self.comparison.as_ref().and_then(|it| it.undecided.as_ref()) {
            caveats.push(format!("The candidate could not be compared with the champion: {why}."));
        }
        caveats
    }
}

/// Returns a difference with its interval: `roc_auc +0.0121, 95 % interval -0.0013 to +0.0255
/// (DeLong, p 0.077)`.
pub(super) fn difference_text(difference: &MetricDifference) -> String {
    let MetricDifference { metric, value, low, high, confidence, p_value, method } = difference;
    let signed = |value: f64| if value > 0.0 { format!("+{}", aligned(value)) } else { aligned(value) };
    let percent = trim_zeros(&format!("{:.6}", confidence * 100.0));
    let p = p_value.map_or_else(String::new, |p| format!(", p {}", number(p)));
    let better = if lower_is_better(metric) { "; less is better" } else { "" };
    let interval = format!("{} to {}", signed(*low), signed(*high));
    format!("{metric} {}, {percent} % interval {interval} ({}{p}{better})", signed(*value), method.name())
}
