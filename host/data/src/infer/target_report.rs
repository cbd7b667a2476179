//! The classes of a target, with the names that [`crate::target`] will give them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stagewright_store::DataType;

use super::counts::{ColumnCounts, Labels};
use crate::cell::{parse_boolean, parse_float64, parse_int64};
use crate::error::shown;
use crate::target::number_class;

/// The values of the target column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The classes by name, with their numbers of rows. In a column of numbers, `1` and `1.0` are
    /// the same class.
    pub classes: Vec<(String, u64)>,
    /// Whether there are more than the thousand classes that a task may have. The rest is not
    /// listed.
    pub is_cut: bool,
    /// Rows without a value, and rows with a marker such as `NA` in a column of numbers.
    pub missing: u64,
    /// The markers that were found, escaped. The empty text is not listed.
    pub missing_as: Vec<String>,
}

impl TargetReport {
    pub(super) fn of(column: &ColumnCounts, labels: &Labels, data_type: DataType, tokens: &BTreeSet<String>) -> Self {
        // Among numbers and booleans a marker is no class. Among texts it may be one.
        let markers_are_missing = column.type_of_values().is_some();
        let is_missing =
            |text: &String| column.markers.contains_key(text) && (markers_are_missing || tokens.contains(text));
        let mut classes: BTreeMap<String, u64> = BTreeMap::new();
        let mut report = Self { missing: column.nulls, is_cut: labels.is_cut, ..Self::default() };
        for (text, count) in &labels.counts {
            if is_missing(text) {
                report.missing += count;
                report.missing_as.push(shown(text));
            } else {
                *classes.entry(class_of(text, data_type)).or_default() += count;
            }
        }
        report.classes = classes.into_iter().collect();
        report
    }
}

/// Returns the class of a cell with this text in a column of this type.
fn class_of(text: &str, data_type: DataType) -> String {
    let class = match data_type {
        DataType::Boolean => parse_boolean(text).ok().map(|value| value.to_string()),
        DataType::Int64 => parse_int64(text).ok().map(|number| number.to_string()),
        DataType::Float64 => parse_float64(text).ok().map(number_class),
        DataType::Utf8 | DataType::Categorical | DataType::Timestamp => None,
    };
    class.unwrap_or_else(|| text.to_owned())
}

impl ColumnCounts {
    /// Returns the type of a target whose values have the type `found` (`None`: text), with the
    /// reason.
    pub(super) fn label_type(&self, found: Option<DataType>) -> Option<(DataType, String)> {
        let labels = self.labels.as_ref()?;
        let is_finite =
            |text: &String| parse_float64(text).is_ok_and(f64::is_finite) || self.markers.contains_key(text);
        // A marker of missing values does not turn a column of numbers into text. The report
        // mentions it.
        match found.or_else(|| self.type_of_values()) {
            Some(DataType::Boolean) => Some((DataType::Boolean, "every value is true or false".to_owned())),
            Some(DataType::Int64) => Some((DataType::Int64, "every value is a whole number".to_owned())),
            // Infinities cannot be classes, and digits that a double would round are names.
            Some(DataType::Float64) if self.wide == 0 && (labels.is_cut || labels.counts.keys().all(is_finite)) => {
                Some((DataType::Float64, "every value is a number".to_owned()))
            }
            None if labels.counts.len() > 2 && self.labels_are_boolean() => {
                Some((DataType::Boolean, "every value is a spelling of true or false".to_owned()))
            }
            _ => None,
        }
    }
}
