//! The checks of values: one file for each.

pub(crate) mod allowed;
pub(crate) mod balance;
pub(crate) mod freshness;
pub(crate) mod pattern;
pub(crate) mod profile;
pub(crate) mod range;
pub(crate) mod reference;
pub(crate) mod rules;
pub(crate) mod types;
pub(crate) mod unique;

use stagewright_kit::DataType;

use crate::cells::{Cells, ColumnCheck, Found, Rows, Severity, TableCheck, Totals, verdict};

/// A check that cannot be made, since the type of its column leaves it nothing to look at or since
/// there is too much to look at. It fails: it is unknown whether the data is right.
pub(crate) struct NotCheckable {
    pub(crate) severity: Severity,
    pub(crate) name: &'static str,
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
    pub(crate) expected: String,
}

impl NotCheckable {
    /// Returns the check of a column whose type it does not apply to.
    pub(crate) fn by_type(
        severity: Severity,
        name: &'static str,
        column: &str,
        found: DataType,
        expected: String,
    ) -> Self {
        let reason = format!("the column is of type {}", types::type_name(found));
        Self { severity, name, column: Some(column.to_owned()), reason, expected }
    }

    fn found(self) -> Found {
        let observed = format!("not checkable: {}", self.reason);
        let check = verdict(self.name, self.column.as_deref(), false, observed, self.expected);
        Found { severity: self.severity, check }
    }
}

impl ColumnCheck for NotCheckable {
    fn see(&mut self, _: &Cells<'_>) {}
    fn finish(self: Box<Self>, _: &Totals<'_>, found: &mut Vec<Found>) {
        found.push(self.found());
    }
}

impl TableCheck for NotCheckable {
    fn see(&mut self, _: &Rows<'_>) {}
    fn finish(self: Box<Self>, _: u64, found: &mut Vec<Found>) {
        found.push(self.found());
    }
}
