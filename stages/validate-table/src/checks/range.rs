//! `range`: numbers and times between two ends, both inclusive.

use stagewright_kit::DataType;

use crate::cells::{Breaches, Cells, ColumnCheck, Found, Severity, Totals, but_for, check, counted};
use crate::checks::NotCheckable;
use crate::parameters::Range;

struct RangeCheck {
    severity: Severity,
    low: f64,
    high: f64,
    ratio: f64,
    expected: String,
    breaches: Breaches,
}

/// Returns the check of a column, of which a share may be outside.
pub(crate) fn of(severity: Severity, range: Range, ratio: f64, column: &str, found: DataType) -> Box<dyn ColumnCheck> {
    let expected = match (range.min, range.max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any number".to_owned(),
    };
    if !matches!(found, DataType::Int64 | DataType::Float64 | DataType::Timestamp) {
        return Box::new(NotCheckable::by_type(severity, "range", column, found, expected));
    }
    let (low, high) = (range.min.unwrap_or(f64::NEG_INFINITY), range.max.unwrap_or(f64::INFINITY));
    Box::new(RangeCheck { severity, low, high, ratio, expected, breaches: Breaches::default() })
}

impl ColumnCheck for RangeCheck {
    fn see(&mut self, cells: &Cells<'_>) {
        for (row, number) in cells.numbers.unwrap_or_default().iter().enumerate() {
            // NaN is outside every range. The NaN of a null is skipped.
            if !(self.low..=self.high).contains(number) && !cells.column.is_null(row) {
                self.breaches.add(cells.start + row as u64, || cells.column.display(row));
            }
        }
    }

    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>) {
        let observed = counted(self.breaches.rows, totals.values(), "value") + " outside";
        let tolerated = self.ratio * totals.values() as f64;
        let expected = but_for(self.expected, self.ratio);
        let check = check("range", totals.column, self.breaches, tolerated, observed, expected);
        found.push(Found { severity: self.severity, check });
    }
}
