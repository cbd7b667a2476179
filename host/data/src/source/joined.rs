//! Several parts that are read as one table.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::DataType;

use crate::cell::Cell;
use crate::dialect::Style;
use crate::error::{DataError, DataFault, listed, shown};
use crate::source::CellVisitor;

/// Passes the rows of several parts on as those of one table.
///
/// Every part must have the columns of the first one; their order may differ. Rows are counted
/// through all parts, lines within one.
pub(crate) struct Joined<'v, V> {
    visitor: &'v mut V,
    /// The part that is read.
    part: Arc<str>,
    /// The first part, its columns, and those of them that are wanted.
    first: Option<(Arc<str>, Vec<String>, Vec<usize>)>,
    /// The types of the columns by name, if the parts tell them.
    types: HashMap<String, DataType>,
    /// Rows of the parts that are complete.
    before: u64,
    /// Complete rows of this part.
    rows: u64,
    has_enough: bool,
}

impl<'v, V: CellVisitor> Joined<'v, V> {
    pub(crate) fn new(visitor: &'v mut V) -> Self {
        Self { visitor, part: "".into(), first: None, types: HashMap::new(), before: 0, rows: 0, has_enough: false }
    }

    /// Reads a part with `read`. Returns whether to go on.
    ///
    /// # Errors
    /// That of `read`, with the name of the part.
    pub(crate) fn part(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<(), DataError>,
    ) -> Result<bool, DataError> {
        self.part = name.into();
        self.before += std::mem::take(&mut self.rows);
        read(self).map_err(|error| match error {
            DataError::Fault(fault) => DataError::Fault(Box::new(self.placed(*fault))),
            error => error,
        })?;
        Ok(!self.has_enough)
    }

    /// Returns a fault of this part as one of the table.
    fn placed(&self, fault: DataFault) -> DataFault {
        let row = fault.row.map(|row| row + self.before);
        DataFault { row, part: Some(shown(&self.part).into()), ..fault }
    }
}

/// Returns the type of the values of a column, whatever the layout of texts.
fn of_values(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => of_values(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

impl<V: CellVisitor> CellVisitor for Joined<'_, V> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let Some((first, columns, wanted)) = &self.first else {
            let wanted = self.visitor.columns(names)?;
            self.first = Some((Arc::clone(&self.part), names.to_vec(), wanted.clone()));
            return Ok(wanted);
        };
        let without = |names: &[String], others: &[String]| -> Vec<String> {
            names.iter().filter(|name| !others.contains(name)).cloned().collect()
        };
        let (missing, more) = (without(columns, names), without(names, columns));
        if missing.is_empty() && more.is_empty() && names.len() == columns.len() {
            let place = |&column: &usize| names.iter().position(|name| *name == columns[column]);
            return Ok(wanted.iter().filter_map(place).collect());
        }
        let tell = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", listed(names)));
        let differences: Vec<String> =
            [tell("it lacks", &missing), tell("it also has", &more)].into_iter().flatten().collect();
        let differences = if differences.is_empty() { "it repeats one".to_owned() } else { differences.join("; ") };
        let message = format!(
            "its columns are not those of `{}`: {differences}\nhint: all parts of a source have the same columns; name each kind of them as a source of its own",
            shown(first)
        );
        Err(DataFault::new(message).into())
    }

    fn types(&mut self, fields: &[(&str, &DataType)]) -> Result<(), DataError> {
        for (name, data_type) in fields {
            let data_type = of_values(data_type);
            match (self.types.get(*name), &self.first) {
                (Some(known), Some((first, ..))) if *known != data_type => {
                    let (found, known) = (shown(&data_type.to_string()), shown(&known.to_string()));
                    let message = format!(
                        "its type is {found}, and in `{}` it is {known}\nhint: have all parts written with the same types",
                        shown(first)
                    );
                    return Err(DataFault::new(message).in_column(name).into());
                }
                (Some(_), _) => {}
                (None, _) => {
                    self.types.insert((*name).to_owned(), data_type);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        // The visitor counts rows through all parts, and readers those of theirs.
        self.visitor.cell(column, cell).map_err(|mut fault| {
            fault.row = fault.row.map(|row| row.saturating_sub(self.before));
            fault
        })
    }

    fn styled(&mut self, column: usize, text: &str, style: &Style) -> Result<(), Box<DataFault>> {
        let before = self.before;
        self.visitor.styled(column, text, style).map_err(|mut fault| {
            fault.row = fault.row.map(|row| row.saturating_sub(before));
            fault
        })
    }

    fn uneven_row(&mut self, fault: DataFault) -> Result<bool, DataError> {
        // A visitor may count such rows and go on.
        let goes_on = self.visitor.uneven_row(fault)?;
        self.rows += 1;
        self.has_enough |= !goes_on;
        Ok(goes_on)
    }

    #[inline]
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.rows += rows as u64;
        let goes_on = self.visitor.end_rows(rows)?;
        self.has_enough |= !goes_on;
        Ok(goes_on)
    }

    fn rows_at_once(&self) -> usize {
        self.visitor.rows_at_once()
    }
}
