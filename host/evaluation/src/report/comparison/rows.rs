//! The rows of a comparison: everything that the subjects have, and whether it differs.

use serde::Serialize;

use super::subject::Subject;
use crate::figure::scaled_importance;
use crate::report::{Dataset, WorkingTree};
use crate::text::{aligned, count};

/// The section of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonSection {
    /// Version, verdict, aliases and the like.
    Facts,
    /// Metrics on the test rows.
    Metrics,
    /// Parameters of the components.
    Parameters,
    /// Tables.
    Data,
    /// Components.
    Components,
    /// The working tree.
    Code,
    /// Limits.
    Limits,
    /// Feature importance, scaled to sum to 1.
    Importance,
}

impl ComparisonSection {
    /// The sections below the metrics.
    pub(super) const AFTER_METRICS: [Self; 6] =
        [Self::Parameters, Self::Data, Self::Components, Self::Code, Self::Limits, Self::Importance];

    /// Returns the heading.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Facts => "Facts",
            Self::Metrics => "Metrics",
            Self::Parameters => "Parameters",
            Self::Data => "Data",
            Self::Components => "Components",
            Self::Code => "Code",
            Self::Limits => "Limits",
            Self::Importance => "Feature importance",
        }
    }
}

/// A row as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparisonRow {
    /// The section.
    pub section: ComparisonSection,
    /// The name: `training.learning_rate`.
    pub key: String,
    /// One value per subject, in their order; `None` for a missing one.
    pub values: Vec<Option<String>>,
    /// Whether the values differ. A missing one differs from any other.
    pub differs: bool,
}

/// Returns the rows of a section: those that differ first, otherwise in the order of the subjects.
pub(super) fn rows(subjects: &[Subject], section: ComparisonSection) -> Vec<ComparisonRow> {
    let columns: Vec<Vec<(String, String)>> = subjects.iter().map(|subject| column(subject, section)).collect();
    let mut rows: Vec<ComparisonRow> = union(columns.iter().flatten().map(|(key, _)| key.as_str()))
        .into_iter()
        .map(|key| {
            let value = |column: &Vec<(String, String)>| {
                column.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
            };
            let values: Vec<Option<String>> = columns.iter().map(value).collect();
            let differs = values.iter().any(|value| *value != values[0]);
            ComparisonRow { section, key: key.to_owned(), values, differs }
        })
        .collect();
    rows.sort_by_key(|row| !row.differs);
    rows
}

/// Returns every key once, in the order of first appearance.
pub(super) fn union<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut union: Vec<&str> = Vec::new();
    for key in keys {
        if !union.contains(&key) {
            union.push(key);
        }
    }
    union
}

fn column(subject: &Subject, section: ComparisonSection) -> Vec<(String, String)> {
    match section {
        ComparisonSection::Facts => subject.facts.clone(),
        ComparisonSection::Parameters => subject.parameters.clone(),
        ComparisonSection::Limits => subject.limits.clone(),
        ComparisonSection::Data => subject.data.iter().map(|table| (table.name.clone(), shown(table))).collect(),
        ComparisonSection::Components => {
            let component = |name: &str, digest: &str| format!("{name} {digest}");
            subject.components.iter().map(|part| (part.stage.clone(), component(&part.name, &part.digest))).collect()
        }
        ComparisonSection::Code => subject.code.as_ref().map(code).unwrap_or_default(),
        ComparisonSection::Importance => scaled_importance(&subject.importance)
            .into_iter()
            .map(|(feature, share)| (feature, aligned(share)))
            .collect(),
        ComparisonSection::Metrics => Vec::new(),
    }
}

fn shown(table: &Dataset) -> String {
    table.rows.map_or_else(|| table.digest.clone(), |rows| format!("{} ({} rows)", table.digest, count(rows)))
}

fn code(code: &WorkingTree) -> Vec<(String, String)> {
    let WorkingTree { commit, branch, dirty } = code;
    let tree = match dirty {
        Some(true) => "changed since the commit",
        Some(false) => "clean",
        None => "unknown",
    };
    [("commit", commit.as_deref()), ("branch", branch.as_deref()), ("working tree", Some(tree))]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect()
}
