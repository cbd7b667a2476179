//! `unique`: no value of a column, or no combination of values of several, occurs twice. Rows with
//! a null in one of the columns are left out, as in SQL.

use crate::cells::{Breaches, Found, Rows, Severity, TableCheck, check, counted};
use crate::checks::NotCheckable;
use crate::keys::{KeySet, key};
use crate::parameters::Columns;

struct UniqueCheck {
    severity: Severity,
    columns: Vec<(usize, String)>,
    seen: KeySet,
    breaches: Breaches,
}

fn expected(columns: &Columns) -> String {
    match columns.names() {
        [_] => "no value twice".to_owned(),
        names => format!("no combination of `{}` twice", names.join("`, `")),
    }
}

/// Returns the check of columns with these places, of a table of so many rows. `slots` are left for
/// keys.
pub(crate) fn of(
    severity: Severity,
    columns: &Columns,
    places: &[usize],
    rows: u64,
    slots: &mut u64,
) -> Box<dyn TableCheck> {
    match KeySet::with_room(rows, slots) {
        Ok(seen) => {
            let columns = places.iter().copied().zip(columns.names().iter().cloned()).collect();
            Box::new(UniqueCheck { severity, columns, seen, breaches: Breaches::default() })
        }
        Err(reason) => {
            let column = columns.names().first().cloned();
            Box::new(NotCheckable { severity, name: "unique", column, reason, expected: expected(columns) })
        }
    }
}

impl TableCheck for UniqueCheck {
    fn see(&mut self, rows: &Rows<'_>) {
        let Self { columns, seen, breaches, .. } = self;
        for row in 0..rows.batch.len() {
            let cells = columns.iter().map(|(place, _)| (&rows.batch.columns[*place], rows.texts[*place]));
            let Some(key) = key(cells, row) else { continue };
            if !seen.insert(key) {
                breaches.add(rows.start + row as u64, || shown(columns, rows, row));
            }
        }
    }

    fn finish(self: Box<Self>, rows: u64, found: &mut Vec<Found>) {
        let observed = counted(self.breaches.rows, rows, "duplicate");
        let names: Vec<String> = self.columns.into_iter().map(|(_, name)| name).collect();
        let column = names.first().cloned().unwrap_or_default();
        let expected = expected(&Columns::Several(names));
        let check = check("unique", &column, self.breaches, 0.0, observed, expected);
        found.push(Found { severity: self.severity, check });
    }
}

/// Formats the values of a row: that of one column alone, those of several with their names.
pub(crate) fn shown(columns: &[(usize, String)], rows: &Rows<'_>, row: usize) -> Option<String> {
    let value = |place: usize| rows.batch.columns[place].display(row);
    match columns {
        [(place, _)] => value(*place),
        several => {
            let named = |(place, name): &(usize, String)| {
                format!("{name} = {}", value(*place).unwrap_or_else(|| "null".to_owned()))
            };
            Some(several.iter().map(named).collect::<Vec<_>>().join(", "))
        }
    }
}
