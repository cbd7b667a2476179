//! `freshness`: the latest time of a column against `as-of`.

use stagewright_kit::{DataType, Failure, Values};

use crate::cells::{Cells, ColumnCheck, Found, Severity, Totals, verdict};
use crate::checks::NotCheckable;
use crate::duration::{self, moment, spoken};
use crate::parameters::Freshness;

struct FreshnessCheck {
    severity: Severity,
    as_of: i64,
    max_age: i64,
    max_ahead: i64,
    expected: String,
    latest: Option<i64>,
}

/// Returns the check of a column.
///
/// # Errors
/// `parameter`, below this name, if a duration is none.
pub(crate) fn of(
    severity: Severity,
    freshness: &Freshness,
    as_of: i64,
    parameter: &str,
    (column, found): (&str, DataType),
) -> Result<Box<dyn ColumnCheck>, Failure> {
    let max_age = duration::parse(&freshness.max_age, &format!("{parameter}.max_age"))?;
    let ahead = freshness.max_ahead.as_deref();
    let max_ahead = ahead.map_or(Ok(0), |text| duration::parse(text, &format!("{parameter}.max_ahead")))?;
    let ahead = ahead.map_or_else(|| "not after".to_owned(), |ahead| format!("at most {ahead} after"));
    let expected = format!("at most {} before {}, and {ahead}", freshness.max_age, moment(as_of));
    if found != DataType::Timestamp {
        return Ok(Box::new(NotCheckable::by_type(severity, "freshness", column, found, expected)));
    }
    Ok(Box::new(FreshnessCheck { severity, as_of, max_age, max_ahead, expected, latest: None }))
}

impl ColumnCheck for FreshnessCheck {
    fn see(&mut self, cells: &Cells<'_>) {
        let Values::Timestamp(values) = &cells.column.values else { return };
        let latest = match cells.column.validity {
            None => values.iter().copied().max(),
            Some(_) => (0..cells.rows).filter(|&row| !cells.column.is_null(row)).map(|row| values[row]).max(),
        };
        self.latest = self.latest.max(latest);
    }

    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>) {
        let (passed, observed) = match self.latest {
            None => (false, "no row has a time".to_owned()),
            Some(latest) => {
                let age = i128::from(self.as_of) - i128::from(latest);
                let passed = age <= i128::from(self.max_age) && -age <= i128::from(self.max_ahead);
                let side = if age < 0 { "after" } else { "before" };
                (passed, format!("the latest is {}, {} {side} `as-of`", moment(latest), spoken(age)))
            }
        };
        let check = verdict("freshness", Some(totals.column), passed, observed, self.expected);
        found.push(Found { severity: self.severity, check });
    }
}
