//! `reference`: values that occur in another table. Rows with a null in one of the columns are left
//! out, as in SQL.

use stagewright_kit::{DataType, Failure, Table};

use crate::cells::{Breaches, Found, Rows, Severity, TableCheck, but_for, check, counted};
use crate::checks::NotCheckable;
use crate::checks::unique::shown;
use crate::keys::{KeyClass, KeySet, key};
use crate::parameters::Reference;

struct ReferenceCheck {
    severity: Severity,
    columns: Vec<(usize, String)>,
    known: KeySet,
    ratio: f64,
    expected: String,
    values: u64,
    breaches: Breaches,
}

/// Returns the check of columns with these places and types, after it has read the keys of the
/// other table. `slots` are left for keys.
///
/// # Errors
/// `parameter`, below this name, if the other table has no such column.
pub(crate) fn of(
    severity: Severity,
    reference: &Reference,
    parameter: &str,
    columns: &[(usize, DataType)],
    other: &dyn Table,
    slots: &mut u64,
) -> Result<Box<dyn TableCheck>, Failure> {
    let names = reference.columns.names();
    let keys = reference.key.as_ref().unwrap_or(&reference.columns).names();
    let expected = format!("a row of `{}` with the same `{}`", reference.table, keys.join("`, `"));
    let not = |reason: String| -> Box<dyn TableCheck> {
        let (column, expected) = (names.first().cloned(), expected.clone());
        Box::new(NotCheckable { severity, name: "reference", column, reason, expected })
    };
    let fields = other.fields();
    let mut selected = Vec::with_capacity(keys.len());
    for (name, (_, own)) in keys.iter().zip(columns) {
        let Some(place) = other.column_named(name) else {
            let message = format!("the table `{}` has no column `{name}`", reference.table);
            return Err(Failure::parameter(format!("{parameter}.key"), message));
        };
        if KeyClass::of(fields[place as usize].data_type) != KeyClass::of(*own) {
            return Ok(not(format!("`{name}` of `{}` is of another type", reference.table)));
        }
        selected.push(place);
    }
    let mut known = match KeySet::with_room(other.rows(), slots) {
        Ok(known) => known,
        Err(reason) => return Ok(not(reason)),
    };
    for batch in other.batches(Some(&selected)) {
        let (_, batch) = batch?;
        let texts = batch.columns.iter().map(|column| column.as_text()).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.len() {
            if let Some(key) = key(batch.columns.iter().zip(texts.iter().copied()), row) {
                known.insert(key);
            }
        }
    }
    let columns = columns.iter().map(|(place, _)| *place).zip(names.iter().cloned()).collect();
    let (ratio, breaches) = (reference.max_missing_ratio, Breaches::default());
    Ok(Box::new(ReferenceCheck { severity, columns, known, ratio, expected, values: 0, breaches }))
}

impl TableCheck for ReferenceCheck {
    fn see(&mut self, rows: &Rows<'_>) {
        let Self { columns, known, values, breaches, .. } = self;
        for row in 0..rows.batch.len() {
            let cells = columns.iter().map(|(place, _)| (&rows.batch.columns[*place], rows.texts[*place]));
            let Some(key) = key(cells, row) else { continue };
            *values += 1;
            if !known.has(key) {
                breaches.add(rows.start + row as u64, || shown(columns, rows, row));
            }
        }
    }

    fn finish(self: Box<Self>, _: u64, found: &mut Vec<Found>) {
        let observed = counted(self.breaches.rows, self.values, "row") + " without one";
        let column = self.columns.first().map(|(_, name)| name.clone()).unwrap_or_default();
        let tolerated = self.ratio * self.values as f64;
        let expected = but_for(self.expected, self.ratio);
        let check = check("reference", &column, self.breaches, tolerated, observed, expected);
        found.push(Found { severity: self.severity, check });
    }
}
