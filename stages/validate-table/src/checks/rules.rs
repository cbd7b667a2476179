//! `rule`: a comparison of two values of each row.

use crate::cells::{Breaches, Found, Rows, Severity, TableCheck, but_for, check, counted};
use crate::checks::NotCheckable;
use crate::checks::unique::shown;
use crate::rule::{Rule, Side, fits};

struct RuleCheck {
    severity: Severity,
    rule: Rule,
    columns: Vec<(usize, String)>,
    ratio: f64,
    text: String,
    breaches: Breaches,
}

/// Returns the check of a rule, of which a share of rows may break it. `columns` are those of the
/// rule, with their places; `unfit` says why they cannot be compared.
pub(crate) fn of(
    severity: Severity,
    text: &str,
    rule: Rule,
    columns: Vec<(usize, String)>,
    ratio: f64,
    unfit: Option<String>,
) -> Box<dyn TableCheck> {
    let text = text.trim().to_owned();
    if let Some(reason) = unfit {
        let column = columns.first().map(|(_, name)| name.clone());
        return Box::new(NotCheckable { severity, name: "rule", column, reason, expected: text });
    }
    Box::new(RuleCheck { severity, rule, columns, ratio, text, breaches: Breaches::default() })
}

impl TableCheck for RuleCheck {
    fn see(&mut self, rows: &Rows<'_>) {
        let Self { rule, columns, breaches, .. } = self;
        let column = |name: &str| {
            let (place, _) = columns.iter().find(|(_, known)| known == name)?;
            Some((&rows.batch.columns[*place], rows.texts[*place]))
        };
        let (Some(left), Some(right)) = (Side::of(&rule.left, column), Side::of(&rule.right, column)) else { return };
        for row in 0..rows.batch.len() {
            if !fits(&left, rule.operator, &right, row) {
                breaches.add(rows.start + row as u64, || shown(columns, rows, row));
            }
        }
    }

    fn finish(self: Box<Self>, rows: u64, found: &mut Vec<Found>) {
        let observed = counted(self.breaches.rows, rows, "row") + " break it";
        let column = self.columns.first().map(|(_, name)| name.clone()).unwrap_or_default();
        let expected = but_for(self.text, self.ratio);
        let check = check("rule", &column, self.breaches, self.ratio * rows as f64, observed, expected);
        found.push(Found { severity: self.severity, check });
    }
}
