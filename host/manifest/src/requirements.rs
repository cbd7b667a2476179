//! `[stages.NAME.requirements]`: what the table of an ingestion must at least be.
//!
//! The host checks it before any other stage begins. A table that does not meet it ends the run
//! with the figures. `validate-table` checks more, and later; these three say whether there is
//! enough to go on at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::problem::Condition;
use crate::reader::{Item, Section};
use crate::units;

/// The least that a table must be. Each limit is inclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Requirements {
    /// The least number of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// The least time between the first and the last row.
    #[serde(skip_serializing_if = "Option::is_none", with = "span")]
    pub min_span: Option<Duration>,
    /// The greatest age of the last row, against the manifest's `as-of`.
    #[serde(skip_serializing_if = "Option::is_none", with = "span")]
    pub max_age: Option<Duration>,
    /// The column with the time of a row; that of the role `time`, if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

impl Requirements {
    /// Reads the section; `None` if something is wrong, which is reported.
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let min_rows = section.get("min-rows").map(|item| item.integer(1, u64::MAX));
        let min_span = section.get("min-span").map(|item| duration(&item));
        let max_age = section.get("max-age").map(|item| duration(&item));
        let time = section.get("time").map(|item| item.text().map(str::to_owned));
        section.finish();
        Some(Self {
            min_rows: whole(min_rows)?,
            min_span: whole(min_span)?,
            max_age: whole(max_age)?,
            time: whole(time)?,
        })
    }

    /// Returns whether a column with times is needed.
    #[must_use]
    pub fn needs_times(&self) -> bool {
        self.min_span.is_some() || self.max_age.is_some()
    }
}

/// Reports an age that is told against no time: the default of `as-of` is a fixed moment.
pub(crate) fn check_time(stages: &Section<'_>, tells_time: bool) {
    for (stage, item) in stages.items() {
        let Some(entry) = stages.table.at(&[stage, "requirements", "max-age"]).filter(|_| !tells_time) else {
            continue;
        };
        let message = "`max-age` needs `as-of`: the time that the age is told against".to_owned();
        let hint = "add `as-of` at the top of the file, or tell the time to each run: `--set as-of=$(date -u +%Y-%m-%dT%H:%M:%SZ)`";
        let key = format!("{}.requirements.max-age", item.key);
        let collector = &stages.context.collector;
        collector.report_as(Condition::MissingKey, &entry.node.origin, &key, message, Some(hint.to_owned()));
    }
}

/// Returns a key that is absent or was read; `None` if it is wrong.
fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |read| read.map(Some))
}

fn duration(item: &Item<'_>) -> Option<Duration> {
    let text = item.string()?;
    match units::parse_span(text) {
        Ok(span) => Some(span),
        Err(error) => {
            item.report_value(
                format!("`{}` is not a duration such as `730 days`: `{text}`", item.key),
                Some(error.hint),
            );
            None
        }
    }
}

/// A duration as text: `730 days`.
mod span {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::units;

    // serde prescribes the signature.
    #[expect(clippy::ref_option, reason = "serde calls it with a reference")]
    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&span.map(units::span_text).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::parse_span(&text).map(Some).map_err(|error| D::Error::custom(error.hint))
    }
}
