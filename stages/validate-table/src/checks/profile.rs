//! `psi` and `unseen`: the distribution of a column against a profile.
//!
//! The population stability index is the sum over all bins of `(a - e) * ln(a / e)`, for the actual
//! share `a` and the expected share `e` of each bin. A share below [`FLOOR`] counts as [`FLOOR`]:
//! an empty bin would make the index infinite. Nulls and NaN belong to no bin.

use stagewright_kit::{DataType, Values};

use crate::cells::{Breaches, Cells, ColumnCheck, Found, Severity, Totals, check, counted, verdict};
use crate::checks::NotCheckable;
use crate::checks::types::is_text;
use crate::parameters::Profile;
use crate::words::Words;

/// The least share in the index.
const FLOOR: f64 = 1e-4;

/// How many bins a finding names.
const SHOWN: usize = 3;

/// The least part of the index of a bin that a finding names.
const NAMED: f64 = 1e-3;

/// The limits of one severity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) severity: Severity,
    pub(crate) psi: Option<f64>,
    pub(crate) unseen: Option<f64>,
}

struct ProfileCheck {
    limits: Vec<Limits>,
    profile: Profile,
    values: Words,
    /// Of each bin; of each value, and then of all others.
    counts: Vec<u64>,
    unseen: Breaches,
}

/// Returns the check of a column.
pub(crate) fn of(limits: &[Limits], profile: &Profile, column: &str, found: DataType) -> Vec<Box<dyn ColumnCheck>> {
    let has_edges = profile.values.is_empty();
    let fits = if has_edges {
        !is_text(found) && found != DataType::Boolean
    } else {
        is_text(found) || found == DataType::Boolean
    };
    if fits {
        let counts = vec![0; profile.shares.len() + usize::from(!has_edges)];
        let values = Words::of(profile.values.iter().map(String::as_str));
        let (profile, limits) = (profile.clone(), limits.to_vec());
        return vec![Box::new(ProfileCheck { limits, profile, values, counts, unseen: Breaches::default() })];
    }
    let expected = || if has_edges { "a profile of numbers" } else { "a profile of texts or flags" }.to_owned();
    let not = |limits: &Limits| -> Box<dyn ColumnCheck> {
        Box::new(NotCheckable::by_type(limits.severity, "psi", column, found, expected()))
    };
    limits.iter().filter(|limits| limits.psi.is_some() || limits.unseen.is_some()).map(not).collect()
}

impl ColumnCheck for ProfileCheck {
    fn see(&mut self, cells: &Cells<'_>) {
        let Self { profile, values, counts, unseen, .. } = self;
        let others = values.len();
        match (&cells.column.values, cells.numbers) {
            (Values::Utf8(_) | Values::Categorical(_), _) => {
                cells.each_text(
                    |text| values.place(text).unwrap_or(others),
                    |row, place| {
                        counts[place] += 1;
                        if place == others {
                            unseen.add(cells.start + row as u64, || cells.column.display(row));
                        }
                    },
                );
            }
            (Values::Boolean(_), Some(numbers)) => {
                let places = [&b"false"[..], b"true"].map(|text| values.place(text).unwrap_or(others));
                for (row, number) in numbers.iter().enumerate().filter(|(row, _)| !cells.column.is_null(*row)) {
                    let place = places[usize::from(*number == 1.0)];
                    counts[place] += 1;
                    if place == others {
                        unseen.add(cells.start + row as u64, || cells.column.display(row));
                    }
                }
            }
            (_, Some(numbers)) => {
                for number in numbers.iter().filter(|number| !number.is_nan()) {
                    counts[profile.edges.partition_point(|edge| edge <= number)] += 1;
                }
            }
            _ => {}
        }
    }

    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>) {
        let all: u64 = self.counts.iter().sum();
        let Self { limits, profile, counts, unseen, .. } = *self;
        let (index, observed) = index(&profile, &counts, all);
        for limits in &limits {
            if let Some(most) = limits.psi {
                let (passed, observed) = match all {
                    0 => (false, "no row has a value".to_owned()),
                    _ => (index <= most, observed.clone()),
                };
                let expected = format!("an index of at most {most} against the profile");
                let check = verdict("psi", Some(totals.column), passed, observed, expected);
                found.push(Found { severity: limits.severity, check });
            }
            if let (Some(most), false) = (limits.unseen, profile.values.is_empty()) {
                let observed = counted(unseen.rows, all, "value") + " that the profile does not have";
                let breaches = Breaches { rows: unseen.rows, examples: unseen.examples.clone() };
                let expected = format!("at most {} %", 100.0 * most);
                let check = check("unseen", totals.column, breaches, most * all as f64, observed, expected);
                found.push(Found { severity: limits.severity, check });
            }
        }
    }
}

/// Returns the index and its greatest parts, for people.
fn index(profile: &Profile, counts: &[u64], all: u64) -> (f64, String) {
    let mut parts: Vec<(f64, String)> = Vec::with_capacity(counts.len());
    for (place, count) in counts.iter().enumerate() {
        // The values that the profile does not name had what was left.
        let expected = profile.shares.get(place).copied();
        let expected = expected.unwrap_or_else(|| (1.0 - profile.shares.iter().sum::<f64>()).max(0.0));
        let actual = if all == 0 { 0.0 } else { *count as f64 / all as f64 };
        let (floored, wanted) = (actual.max(FLOOR), expected.max(FLOOR));
        let part = (floored - wanted) * (floored / wanted).ln();
        let text = format!("{} {:.2} % instead of {:.2} %", bin(profile, place), 100.0 * actual, 100.0 * expected);
        parts.push((part, text));
    }
    let index: f64 = parts.iter().map(|(part, _)| part).sum();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown: Vec<&str> =
        parts.iter().take(SHOWN).filter(|(part, _)| *part >= NAMED).map(|(_, text)| text.as_str()).collect();
    let most = if shown.is_empty() { String::new() } else { format!(": {}", shown.join(", ")) };
    (index, format!("an index of {index:.4}{most}"))
}

/// Names a bin.
fn bin(profile: &Profile, place: usize) -> String {
    if !profile.values.is_empty() {
        return profile.values.get(place).map_or_else(|| "other values".to_owned(), |value| format!("`{value}`"));
    }
    let (below, above) = (place.checked_sub(1).and_then(|place| profile.edges.get(place)), profile.edges.get(place));
    match (below, above) {
        (None, Some(above)) => format!("below {above}"),
        (Some(below), None) => format!("from {below} on"),
        (Some(below), Some(above)) => format!("from {below} to below {above}"),
        (None, None) => "all".to_owned(),
    }
}
