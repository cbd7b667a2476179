//! `pattern`: texts that a regular expression matches as a whole.
//!
//! The crate `regex` takes time that is linear in the text. The size of a compiled expression is
//! bounded, and so is that of its caches.

use regex::bytes::{Regex, RegexBuilder};
use stagewright_kit::{DataType, Failure};

use crate::cells::{Breaches, Cells, ColumnCheck, Found, Severity, Totals, but_for, check, counted};
use crate::checks::NotCheckable;
use crate::checks::types::is_text;

/// The longest expression, in bytes.
const LONGEST: usize = 1000;

/// The largest compiled expression, in bytes. `[A-Za-z_][A-Za-z0-9_]{0,63}` takes about 20 KiB.
const MOST_PROGRAM: usize = 1 << 20;

/// The largest cache of an expression, in bytes.
const MOST_CACHE: usize = 2 << 20;

struct PatternCheck {
    severity: Severity,
    pattern: Regex,
    ratio: f64,
    expected: String,
    breaches: Breaches,
}

/// Returns the check of a column, of which a share may be outside.
///
/// # Errors
/// `parameter`, of this name, if the expression is none or is too large.
pub(crate) fn of(
    severity: Severity,
    pattern: &str,
    ratio: f64,
    parameter: &str,
    (column, found): (&str, DataType),
) -> Result<Box<dyn ColumnCheck>, Failure> {
    if pattern.len() > LONGEST {
        return Err(Failure::parameter(parameter, format!("an expression has at most {LONGEST} bytes")));
    }
    let build = |text: &str| RegexBuilder::new(text).size_limit(MOST_PROGRAM).dfa_size_limit(MOST_CACHE).build();
    // The expression is compiled alone too: `a)(b` would be valid within parentheses.
    let compiled = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z")));
    let pattern_text = pattern;
    let pattern = compiled.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
        Failure::parameter(parameter, format!("`{pattern_text}` is no regular expression: {reason}"))
    })?;
    let expected = format!("`{pattern_text}`");
    if !is_text(found) {
        return Ok(Box::new(NotCheckable::by_type(severity, "pattern", column, found, expected)));
    }
    Ok(Box::new(PatternCheck { severity, pattern, ratio, expected, breaches: Breaches::default() }))
}

impl ColumnCheck for PatternCheck {
    fn see(&mut self, cells: &Cells<'_>) {
        let Self { pattern, breaches, .. } = self;
        let see = |row: usize, is_match: bool| {
            if !is_match {
                breaches.add(cells.start + row as u64, || cells.column.display(row));
            }
        };
        cells.each_text(|text| pattern.is_match(text), see);
    }

    fn finish(self: Box<Self>, totals: &Totals<'_>, found: &mut Vec<Found>) {
        let observed = counted(self.breaches.rows, totals.values(), "value") + " of another form";
        let tolerated = self.ratio * totals.values() as f64;
        let expected = but_for(self.expected, self.ratio);
        let check = check("pattern", totals.column, self.breaches, tolerated, observed, expected);
        found.push(Found { severity: self.severity, check });
    }
}
