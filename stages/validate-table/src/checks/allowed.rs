//! `allowed_values`: values of a list.

use stagewright_kit::{DataType, Values};

use crate::cells::{Breaches, Cells, ColumnCheck, Found, Severity, Totals, but_for, check, counted};
use crate::checks::NotCheckable;
use crate::parameters::Allowed;
use crate::words::Words;

/// How many values a requirement names.
const SHOWN: usize = 10;

struct AllowedCheck {
    severity: Severity,
    texts: Words,
    /// As numbers, ascending: 0 and 1 for flags.
    numbers: Vec<f64>,
    ratio: f64,
    expected: String,
    breaches: Breaches,
}

/// Returns the check of a column, of which a share may be outside.
pub(crate) fn of(
    severity: Severity,
    allowed: &[Allowed],
    ratio: f64,
    column: &str,
    found: DataType,
) -> Box<dyn ColumnCheck> {
    let text = |allowed: &Allowed| match allowed {
        Allowed::Flag(flag) => flag.to_string(),
        Allowed::Number(number) => number.to_string(),
        Allowed::Text(text) => text.clone(),
    };
    let texts: Vec<String> = allowed.iter().map(text).collect();
    let expected = expected(&texts);
    // A list cannot name times.
    if found == DataType::Timestamp {
        return Box::new(NotCheckable::by_type(severity, "allowed_values", column, found, expected));
    }
    let number = |allowed: &Allowed| match allowed {
        Allowed::Flag(flag) => Some(f64::from(*flag)),
        Allowed::Number(number) => Some(*number),
        Allowed::Text(text) if found == DataType::Boolean => text.parse().ok().map(|flag: bool| f64::from(flag)),
        Allowed::Text(text) => text.parse().ok(),
    };
    // 0 and -0 are one value.
    let mut numbers: Vec<f64> =
        allowed.iter().filter_map(number).filter(|it| !it.is_nan()).map(|it| it + 0.0).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let texts = Words::of(texts.iter().map(String::as_str));
    Box::new(AllowedCheck { severity, texts, numbers, ratio, expected, breaches: Breaches::default() })
}

fn expected(texts: &[String]) -> String {
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    let more = if texts.len() > SHOWN { format!(" or {} more", texts.len() - SHOWN) } else { String::new() };
    texts.truncate(SHOWN);
    format!("one of `{}`{more}", texts.join("`, `"))
}

impl AllowedCheck {
    fn has(&self, number: f64) -> bool {
        match &self.numbers[..] {
            few if few.len() <= 8 => few.contains(&number),
            many => many.binary_search_by(|known| known.total_cmp(&(number + 0.0))).is_ok(),
        }
    }
}

impl ColumnCheck for AllowedCheck {
    fn see(&mut self, cells: &Cells<'_>) {
        let Self { texts, breaches, .. } = self;
        if matches!(cells.column.values, Values::Utf8(_) | Values::Categorical(_)) {
            let see = |row: usize, is_allowed: bool| {
                if !is_allowed {
                    breaches.add(cells.start + row as u64, || cells.column.display(row));
                }
            };
            cells.each_text(|text| texts.place(text).is_some(), see);
            return;
        }
        for (row, number) in cells.numbers.unwrap_or_default().iter().enumerate() {
            if !self.has(*number) && !cells.column.is_null(row) {
                self.breaches.add(cells.start + row as u64, || cells.column.display(row));
            }
        }
    }

    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>) {
        let observed = counted(self.breaches.rows, totals.values(), "value") + " not allowed";
        let tolerated = self.ratio * totals.values() as f64;
        let expected = but_for(self.expected, self.ratio);
        let check = check("allowed_values", totals.column, self.breaches, tolerated, observed, expected);
        found.push(Found { severity: self.severity, check });
    }
}
